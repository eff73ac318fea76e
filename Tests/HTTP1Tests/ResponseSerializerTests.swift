import HTTP1
import Testing

@Suite("Response heads")
struct ResponseSerializerTests {
  private func head(
    _ response: Response, keepAlive: Bool = true, version: HTTPVersion = .http11, date: String? = nil
  ) -> String {
    var output: [UInt8] = bytes("before")
    ResponseSerializer.appendHead(response, keepAlive: keepAlive, version: version, date: date, to: &output)
    return String(decoding: output.dropFirst("before".utf8.count), as: UTF8.self)
  }

  @Test("a head is a status line, the fields in order, Date, Content-Length and an empty line")
  func wholeHead() {
    let response = Response(
      status: 200, fields: [.init("Content-Type", "application/json"), .init("X", "")], body: bytes("{}"))
    #expect(
      head(response, date: "Sun, 06 Nov 1994 08:49:37 GMT")
        == "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX: \r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
        + "Content-Length: 2\r\n\r\n")
  }

  @Test("an empty body has a length, and statuses that forbid one have none", arguments: [100, 204, 304])
  func lengths(status: Int) {
    #expect(head(Response(status: 404)) == "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    #expect(!head(Response(status: status)).contains("Content-Length"))
  }

  @Test("lengths are written in full", arguments: [0, 9, 10, 99, 100, 1000, 12_345])
  func numbers(count: Int) {
    let response = Response(status: 200, body: [UInt8](repeating: 0, count: count))
    #expect(head(response).contains("\r\nContent-Length: \(count)\r\n"))
  }

  @Test("the connection is announced when it closes, and to HTTP/1.0 when it stays")
  func connection() {
    let response = Response(status: 204)
    #expect(!head(response).contains("Connection"))
    #expect(head(response, version: .http10).contains("\r\nConnection: keep-alive\r\n"))
    #expect(head(response, keepAlive: false).contains("\r\nConnection: close\r\n"))
    #expect(head(response, keepAlive: false, version: .http10).contains("\r\nConnection: close\r\n"))
    let last = Response(status: 204, closesConnection: true)
    #expect(head(last).contains("\r\nConnection: close\r\n"))
  }

  @Test("a status without a registered phrase keeps the space before it")
  func unknownStatus() {
    #expect(head(Response(status: 299)).hasPrefix("HTTP/1.1 299 \r\n"))
  }

  @Test("the invitation to continue is a complete head")
  func continueLine() {
    #expect(ResponseSerializer.continueLine == bytes("HTTP/1.1 100 Continue\r\n\r\n"))
  }

  @Test(
    "a field that would split the response stops the program",
    arguments: ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\u{0}b"])
  func splitting(value: String) async {
    await #expect(processExitsWith: .failure) { [value] in
      var output: [UInt8] = []
      let response = Response(status: 200, fields: [.init("X", value)])
      ResponseSerializer.appendHead(response, keepAlive: true, version: .http11, date: nil, to: &output)
    }
  }

  @Test("text of a client is fit for a field once sanitized")
  func sanitizing() {
    #expect(FieldValue.sanitized("req-42 ok") == "req-42 ok")
    #expect(FieldValue.sanitized("a\r\nSet-Cookie: b\u{0}\u{7f}\t") == "a??Set-Cookie: b???")
    #expect(FieldValue.sanitized("  café ") == "caf??")
    #expect(FieldValue.sanitized(String(repeating: "x", count: 500)).utf8.count == 256)
    let field = Response.Field("X", FieldValue.sanitized("a\r\nb"))
    #expect(head(Response(status: 204, fields: [field])).contains("\r\nX: a??b\r\n"))
  }
}
