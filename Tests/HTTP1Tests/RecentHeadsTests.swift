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
    let found = try #require(match).known
    #expect(found === known && found.framing == .length(3) && found.wantsKeepAlive && found.hasBody)
    #expect(found.head.resolution === known.head.resolution && known.head.resolution is Mark)
    #expect(found.byteCount == Self.message("/prune?keep_tokens=64").count && match?.head == known.head)
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

  @Test(
    "A head may differ in what tells requests apart: it is known, and says what this message says",
    arguments: ["X-Request-Id", "traceparent", "x-b3-TRACEID"])
  func varying(name: String) throws {
    var recent = RecentHeads()
    recent.remember(try read(Self.message("/prune", "\(name): id-0001\r\nX-API-Key: k\r\n")))
    var earlier: [RequestHead] = []
    for value in ["id-0002", "=,;\"~!{", "id-0002", "id-0003"] {
      let message = Self.message("/prune", "\(name): \(value)\r\nX-API-Key: k\r\n")
      let match = recent.match(message + Array("abc".utf8), from: 0)
      let found = try #require(match)
      let parsed = try read(message)
      #expect(found.head == parsed.head && found.head.resolution is Mark)
      #expect(found.head.fields.first(name) == value && found.known.byteCount == message.count)
      #expect(found.known.framing == parsed.framing)
      earlier.append(found.head)
    }
    #expect(earlier.map { $0.fields.first(name) } == ["id-0002", "=,;\"~!{", "id-0002", "id-0003"])
  }

  @Test(
    "A varying value of another length, or with a byte that reading might trim or refuse, is read anew",
    arguments: [
      "id-001", "id-00012", "id 0002", " id0002", "id0002 ", "id\t0002", "id-00\r\n", "id-000\u{7f}",
      "é-0002",
    ])
  func notOfTheForm(value: String) throws {
    var recent = RecentHeads()
    recent.remember(try read(Self.message("/prune", "X-Request-Id: id-0001\r\n")))
    let match = recent.match(Self.message("/prune", "X-Request-Id: \(value)\r\n"), from: 0)
    #expect(match == nil)
  }

  @Test("Around a varying value, every byte counts, and the head must be whole")
  func aroundVarying() throws {
    var recent = RecentHeads()
    let bytes = Self.message("/prune", "X-Request-Id: id-0001\r\ntraceparent: 00-1\r\nX-API-Key: secret\r\n")
    recent.remember(try read(bytes))
    let text = String(decoding: bytes, as: UTF8.self)
    for index in bytes.indices {
      var other = bytes
      other[index] = other[index] == UInt8(ascii: "z") ? UInt8(ascii: "y") : UInt8(ascii: "z")
      let isVarying = [("id-0001", 7), ("00-1", 4)].contains { value, count in
        let start = text.utf8.distance(
          from: text.startIndex, to: text.firstRange(of: value)?.lowerBound ?? text.endIndex)
        return (start..<(start + count)).contains(index)
      }
      let ofOther = recent.match(other, from: 0)
      let ofPart = recent.match(Array(bytes[..<index]), from: 0)
      #expect((ofOther != nil) == isVarying && ofPart == nil)
    }
  }

  @Test("The fields that decide something are none of those that vary")
  func deciding() {
    for name in [
      "host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection",
      "expect",
      "accept", "accept-encoding", "authorization", "x-api-key", "origin", "access-control-request-method",
    ] {
      #expect(!KnownHead.varyingFields.contains(name))
    }
    #expect(KnownHead.varyingFields.allSatisfy { $0 == $0.lowercased() })
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
