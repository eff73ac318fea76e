import HTTP1
import Testing

@Suite("Media types, negotiation and query strings")
struct NegotiationTests {
  private func head(_ fields: (String, String)...) -> RequestHead {
    var lines = HeaderFields()
    for (name, value) in fields { lines.append(name: name.utf8, value: value.utf8) }
    return RequestHead(
      method: "GET", target: "/", path: "/", query: nil, version: .http11, fields: lines)
  }

  @Test("a media type is read without regard to case, its parameter values as they are")
  func mediaTypes() throws {
    let type = try #require(MediaType("Application/JSON ; Charset=UTF-8;\tx=\"a;\\\"b\""))
    #expect(type.essence == "application/json")
    #expect(type.parameter("charset") == "UTF-8")
    #expect(type.parameter("x") == "a;\"b")
    #expect(type.parameter("y") == nil)
    #expect(MediaType("text/plain;") == MediaType(type: "text", subtype: "plain"))
    #expect(MediaType("application/vnd.x+json;a=\"\"")?.parameter("a") == "")
  }

  @Test(
    "what is not a media type is refused",
    arguments: [
      "", "json", "a/", "/b", "a/b/c", "a /b", "a/b c", "a/b;c", "a/b;=d", "a/b;c=", "a/b;c =d", "a/b;c= d",
      "a/b;c=\"d", "a/b;c=\"d\\\"", "a/b;c=d\"", "a/b;c=1;C=2", "a/b,c/d", "é/b",
    ])
  func badMediaTypes(text: String) { #expect(MediaType(text) == nil) }

  @Test("a media type has at most 16 parameters and 1 KiB")
  func longMediaTypes() {
    let parameters = (0..<17).map { ";a\($0)=1" }
    #expect(MediaType("a/b" + parameters.dropLast().joined())?.parameters.count == 16)
    #expect(MediaType("a/b" + parameters.joined()) == nil)
    #expect(MediaType("a/b;c=" + String(repeating: "d", count: 1018)) != nil)
    #expect(MediaType("a/b;c=" + String(repeating: "d", count: 1019)) == nil)
  }

  @Test("an Accept of more than 1 KiB, in one line or several, is as none")
  func longAccept() {
    let offers = ["application/json", "text/csv"].compactMap { MediaType($0) }
    let long = "text/csv" + String(repeating: ",x/y", count: 254)
    #expect(head(("Accept", long)).bestOffer(among: offers) == offers[1])
    #expect(head(("Accept", long + ",")).bestOffer(among: offers) == offers[0])
    #expect(head(("Accept", long), ("Accept", "z")).bestOffer(among: offers) == offers[0])
  }

  @Test("a quotation mark hides no token", arguments: ["\"x, close", "x\", close, \"", "close, \""])
  func strayQuotes(value: String) {
    #expect(head(("Connection", value)).fields.hasToken("close", in: "connection"))
    #expect(!head(("Connection", value)).wantsKeepAlive)
  }

  @Test("a request has one Content-Type or none")
  func contentType() {
    #expect(head(("content-type", "text/csv")).contentType?.essence == "text/csv")
    #expect(head(("Content-Type", "a/b"), ("Content-Type", "a/b")).contentType == nil)
    #expect(head().contentType == nil)
    #expect(
      head(("Content-Encoding", "GZip, identity"), ("content-encoding", "x")).contentCodings == ["gzip", "x"])
  }

  static let negotiations: [(accept: String?, chosen: String?)] = [
    (nil, "application/json"), ("", "application/json"), ("*/*", "application/json"),
    ("rubbish", "application/json"),
    ("application/*", "application/json"), ("text/csv", "text/csv"), ("TEXT/CSV", "text/csv"),
    ("image/png", nil),
    ("text/*", "text/csv"), ("text/csv;q=0", nil), ("*/*;q=0", nil),
    ("text/csv;q=0, */*", "application/json"),
    ("application/json;q=0, */*", "application/octet-stream"),
    ("application/json;q=0.5, text/csv", "text/csv"),
    ("application/json;q=0.5, text/csv;q=0.5", "application/json"),
    ("application/json;q=0.001, text/csv;Q=0.002", "text/csv"),
    ("application/*;q=0.9, application/json;q=0.1, text/csv;q=0.5", "application/octet-stream"),
    ("application/json;q=1.0001, text/csv", "text/csv"), ("application/json;q=2, text/csv", "text/csv"),
    ("application/json;q=1.5, text/csv", "text/csv"), ("application/json;q=, text/csv", "text/csv"),
    ("text/csv;header=present", "text/csv"), ("text/csv;header=absent", nil),
    ("text/csv;header=present;q=0.1, text/csv;q=0.9, application/json;q=0.5", "application/json"),
    ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", "application/json"),
    ("*/csv", "application/json"),
  ]

  @Test("the best offer follows precision, then quality, then our order", arguments: negotiations)
  func negotiation(_ example: (accept: String?, chosen: String?)) {
    let offers = [
      MediaType(type: "application", subtype: "json"),
      MediaType(type: "application", subtype: "octet-stream"),
      MediaType(type: "text", subtype: "csv", parameters: [.init("header", "present")]),
    ]
    let request = example.accept.map { head(("Accept", $0)) } ?? head()
    #expect(request.bestOffer(among: offers)?.essence == example.chosen)
  }

  @Test("list members over several lines are found in any case, and quoted commas do not separate")
  func lists() {
    let request = head(("Connection", "close , x"), ("X", "y"), ("connection", ",\"a,b\", Keep-Alive"))
    #expect(
      request.fields.list("connection").map { String(decoding: $0, as: UTF8.self) }
        == ["close", "x", "\"a,b\"", "Keep-Alive"])
    #expect(request.fields.hasToken("keep-alive", in: "CONNECTION"))
    #expect(!request.fields.hasToken("keep", in: "connection"))
  }

  @Test("fields are equal when names and values are, however they were stored")
  func fieldEquality() throws {
    var parser = RequestParser()
    let input = bytes("GET / HTTP/1.1\r\nHost: \t a \r\nX:b\r\n\r\n")
    guard case .head(let parsed, _) = try parser.parse(input.span.bytes) else {
      Issue.record("the head is not complete")
      return
    }
    #expect(parsed.fields == head(("Host", "a"), ("X", "b")).fields)
    #expect(parsed.fields != head(("Host", "a"), ("x", "b")).fields)
    #expect(parsed.fields != head(("X", "b"), ("Host", "a")).fields)
    #expect(parsed.fields != head(("Host", "a")).fields)
    #expect(parsed.fields.first("x") == "b")
    #expect(parsed.fields.first("y") == nil)
  }

  @Test("a query string is decoded the way forms encode it")
  func query() throws {
    let items = try QueryItem.decode("a=1&b=x+y%20z&&c&=d&a=%C3%A9&e=f=g&%3D=%26")
    #expect(
      items == [
        .init("a", "1"), .init("b", "x y z"), .init("c", ""), .init("", "d"), .init("a", "é"),
        .init("e", "f=g"),
        .init("=", "&"),
      ])
    #expect(try QueryItem.decode("").isEmpty)
    #expect(try PercentEncoding.decode("a+b%2fc".utf8) == "a+b/c")
  }

  @Test(
    "broken escapes and bytes that are not UTF-8 are refused",
    arguments: ["%", "a=%4", "%zz=1", "a=%+1", "a=%ff", "%C3"])
  func badQuery(text: String) {
    #expect(throws: PercentEncodingError.self) { try QueryItem.decode(text) }
  }

  @Test("a query may have as many parameters as its limit and not one more")
  func queryLimit() throws {
    #expect(try QueryItem.decode("a&b&c", maximumCount: 3).count == 3)
    #expect(throws: PercentEncodingError.self) { try QueryItem.decode("a&b&c&d", maximumCount: 3) }
    #expect(try QueryItem.decode(String(repeating: "&", count: 10_000)).isEmpty)
  }
}
