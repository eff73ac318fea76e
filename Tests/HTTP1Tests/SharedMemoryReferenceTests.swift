import Testing

@testable import HTTP1

@Suite("Where a request says that its body lies in shared memory")
struct SharedMemoryReferenceTests {
  private func framing(_ lines: String...) throws -> BodyFraming {
    var parser = RequestParser()
    let text = (["POST /prune HTTP/1.1", "Host: a"] + lines).joined(separator: "\r\n") + "\r\n\r\n"
    guard case .head(let head, _) = try parser.parse(Array(text.utf8)) else {
      throw FramingError("not a whole head")
    }
    return try BodyFraming(of: head)
  }

  @Test(
    "is read in any order and spacing",
    arguments: [
      ("length=31", SharedMemoryReference(length: 31)),
      ("offset=7,length=31", SharedMemoryReference(offset: 7, length: 31)),
      ("length=0 ,\toffset=0", SharedMemoryReference(length: 0)),
      (
        "name=\"in 0, [a]\", length=999999999999999, offset=999999999999999",
        SharedMemoryReference(
          name: "in 0, [a]", offset: 999_999_999_999_999, length: 999_999_999_999_999)
      ),
    ])
  func wellFormed(_ value: String, _ reference: SharedMemoryReference) throws {
    let found = try framing("crop-shared-memory: \(value)", "Content-Length: 0")
    #expect(found == .shared(reference) && !found.isOnTheWire && found.length == reference.length)
    #expect(try framing("Crop-Shared-Memory: \(value)") == found)
  }

  @Test(
    "is refused when it is no dictionary of its members",
    arguments: [
      "", "31", "length", "length=+1", "length=0x1f", "length=1000000000000000", "length=1, length=1",
      "offset=1", "length=1, other=2", "length=1;a", "length=1, name=a", "length=1, name=\"\"",
      "length=1, name=\"\\a\"", "length=1, name=\"\u{e9}\"",
      "length=1, name=\"" + String(repeating: "a", count: 257) + "\"",
    ])
  func malformed(_ value: String) {
    let error = #expect(throws: FramingError.self) { try framing("Crop-Shared-Memory: \(value)") }
    #expect(error?.status == 400 && error?.reason.contains("Crop-Shared-Memory must be like") == true)
  }

  @Test("is refused beside a body on the connection, and twice")
  func elsewhere() {
    for other in ["Content-Length: 1", "Transfer-Encoding: chunked", "Crop-Shared-Memory: length=1"] {
      #expect(throws: FramingError.self, "\(other)") {
        try framing("Crop-Shared-Memory: length=1", other)
      }
    }
  }
}
