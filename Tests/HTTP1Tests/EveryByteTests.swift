import HTTP1
import Testing

@Suite("Every byte value at every place")
struct EveryByteTests {
  private func isAccepted(_ input: [UInt8]) -> Bool {
    var parser = RequestParser()
    guard case .head? = try? parser.parse(input.span.bytes) else { return false }
    return true
  }

  @Test("a value holds tabs, visible ASCII, spaces and obs-text, wherever in it the byte stands")
  func values() {
    for byte in UInt8.min...UInt8.max {
      let isAllowed = byte == 0x09 || (byte >= 0x20 && byte != 0x7f)
      for place in 0..<17 {
        var value = [UInt8](repeating: 0x61, count: 17)
        value[place] = byte
        let input = bytes("GET / HTTP/1.1\r\nHost: a\r\nX: ") + value + bytes("\r\n\r\n")
        #expect(isAccepted(input) == isAllowed, "\(byte) at \(place)")
      }
    }
  }

  @Test("names and methods hold the bytes of a token and no others")
  func tokens() {
    let token = Set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
    for byte in UInt8.min...UInt8.max {
      let method = bytes("a") + [byte] + bytes("b / HTTP/1.1\r\nHost: a\r\n\r\n")
      #expect(isAccepted(method) == token.contains(byte), "\(byte) in a method")
      // A colon ends the name: what follows is the value.
      let name = bytes("GET / HTTP/1.1\r\nHost: a\r\na") + [byte] + bytes("b: c\r\n\r\n")
      #expect(isAccepted(name) == (token.contains(byte) || byte == UInt8(ascii: ":")), "\(byte) in a name")
    }
  }

  @Test("a target holds visible ASCII but no #")
  func targets() {
    for byte in UInt8.min...UInt8.max {
      let input = bytes("GET /a") + [byte] + bytes("b HTTP/1.1\r\nHost: a\r\n\r\n")
      #expect(isAccepted(input) == (byte > 0x20 && byte < 0x7f && byte != UInt8(ascii: "#")), "\(byte)")
    }
  }
}
