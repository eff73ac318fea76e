import Testing

@testable import HTTP1

@Suite("Heads that come again")
struct RecentHeadsTests {
  private final class Mark: Sendable {}

  private static func message(_ path: String, _ more: String = "") -> [UInt8] {
    Array("POST \(path) HTTP/1.1\r\nHost: a\r\n\(more)Content-Length: 3\r\n\r\n".utf8)
  }

  /// Reads a head the long way, as a connection does for one it does not know.
  private func read(_ bytes: [UInt8]) throws -> KnownHead {
    var parser = RequestParser()
    guard case .head(let head, let byteCount) = try parser.parse(bytes) else {
      throw FramingError("incomplete")
    }
    return try KnownHead(head, bytes: bytes[..<byteCount]) { _, _ in Mark() }
  }

  @Test(
    "The same bytes are the same head, with all that was made of it, wherever they stand and whatever follows"
  )
  func again() throws {
    var recent = RecentHeads()
    let known = try read(Self.message("/prune?keep_tokens=64"))
    recent.remember(known)
    let buffer = Array("abc".utf8) + Self.message("/prune?keep_tokens=64") + Array("GET /".utf8)
    let match = recent.match(buffer, from: 3)
    let found = try #require(match)
    #expect(found === known && found.framing == .length(3) && found.wantsKeepAlive && found.hasBody)
    #expect(found.head.resolution === known.head.resolution && known.head.resolution is Mark)
    #expect(found.byteCount == Self.message("/prune?keep_tokens=64").count)
  }

  @Test("A head that differs in any byte, or is not whole, is another one")
  func different() throws {
    var recent = RecentHeads()
    let bytes = Self.message("/prune", "X-API-Key: 0123456789abcdef\r\n")
    recent.remember(try read(bytes))
    for index in bytes.indices {
      var other = bytes
      other[index] ^= 1
      let ofOther = recent.match(other, from: 0)
      let ofPart = recent.match(Array(bytes[..<index]), from: 0)
      #expect(ofOther == nil && ofPart == nil)
    }
    let ofSame = recent.match(bytes, from: 0)
    #expect(ofSame != nil)
  }

  @Test("Eight heads are remembered, the latest ones, and no long one")
  func bound() throws {
    var recent = RecentHeads()
    for index in 0..<20 { recent.remember(try read(Self.message("/\(index)"))) }
    let found = (0..<20).filter { recent.match(Self.message("/\($0)"), from: 0) != nil }
    #expect(found == Array(12..<20))
    let long = Self.message("/", "Cookie: \(String(repeating: "x", count: 4096))\r\n")
    recent.remember(try read(long))
    let ofLong = recent.match(long, from: 0)
    #expect(ofLong == nil)
  }

  @Test("What a head's framing refuses is not known")
  func refused() {
    let bytes = Array("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n".utf8)
    #expect(throws: FramingError.self) { try read(bytes) }
  }
}
