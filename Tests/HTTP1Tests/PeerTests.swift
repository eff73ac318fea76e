import Testing

@testable import HTTP1

@Suite("Who a client is behind proxies")
struct PeerTests {
  private func read(_ text: String) -> IPAddress? { IPAddress(Array(text.utf8)) }

  @Test(
    "addresses are read in every spelling and written in one",
    arguments: [
      ("0.0.0.0", "0.0.0.0"), ("192.0.2.255", "192.0.2.255"), ("::", "::"), ("::1", "::1"),
      ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
      ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("1::8", "1::8"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
      ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("fe80::", "fe80::"),
      ("64:ff9b::192.0.2.1", "64:ff9b::c000:201"),
      ("::ffff:192.0.2.1", "192.0.2.1"), ("::ffff:c000:201", "192.0.2.1"),
    ])
  func spellings(text: String, canonical: String) throws {
    let address = try #require(read(text))
    #expect(address.description == canonical)
    #expect(IPAddress(Array(canonical.utf8)) == address)
  }

  @Test(
    "what is no address is refused",
    arguments: [
      "", "1", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.", ".1.2.3", "1.2.3.4 ", "+1.2.3.4",
      "a.b.c.d",
      "1.2.3.4444444444444444444444", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::",
      "::g",
      "::1.2.3", "1.2.3.4::", "::1.2.3.4:5", "1:2:3:4:5:6:7:8::", "1:2:3:4:5:6:7:1.2.3.4", "[::1]", "::1%lo",
      "::1/64",
    ])
  func noAddress(text: String) { #expect(read(text) == nil) }

  @Test(
    "a network holds the addresses that begin with its bits",
    arguments: [
      ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.0", false),
      ("0.0.0.0/0", "255.255.255.255", true),
      ("192.0.2.7", "192.0.2.7", true), ("192.0.2.7/32", "192.0.2.6", false), ("::/0", "::1", true),
      ("::/0", "192.0.2.1", false), ("0.0.0.0/0", "::1", false), ("fd00::/8", "fdff::1", true),
      ("fd00::/8", "fe00::1", false), ("2001:db8::/127", "2001:db8::1", true),
      ("10.0.0.0/8", "::ffff:10.1.1.1", true),
    ])
  func networks(network: String, member: String, holds: Bool) throws {
    let network = try #require(IPNetwork(network))
    #expect(network.contains(try #require(read(member))) == holds)
    #expect(IPNetwork(network.description) == network)
  }

  @Test(
    "bits behind the prefix, and prefixes beyond the address, are refused",
    arguments: [
      "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", "::1/127", "::/129", "/8", "",
    ])
  func noNetwork(text: String) { #expect(IPNetwork(text) == nil) }

  @Test("a header read bytewise is the header read whole, and what follows is left alone")
  func bytewise() throws {
    let line = Array("PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n".utf8)
    let binary: [UInt8] =
      [
        13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10, 0x21, 0x11, 0, 15, 192, 0, 2, 7, 198, 51, 100,
        1, 18, 103, 1, 187,
      ]
      + [4, 0, 0]
    let expected = ProxyHeader(source: PeerAddress(address: try #require(read("192.0.2.7")), port: 4711))
    for header in [line, binary] {
      for count in 0..<header.count { #expect(try ProxyHeader.parse(Array(header[..<count])) == .incomplete) }
      #expect(try ProxyHeader.parse(header) == .complete(expected, byteCount: header.count))
      #expect(try ProxyHeader.parse(header + line) == .complete(expected, byteCount: header.count))
    }
  }

  @Test("the longest header of version 2 is read, a longer one is refused from its sixteenth byte on")
  func longest() throws {
    func header(_ rest: Int) -> [UInt8] {
      [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10, 0x20, 0, UInt8(rest >> 8), UInt8(rest & 255)]
    }
    let longest = ProxyHeader.maximumByteCount - 16
    let parsed = try ProxyHeader.parse(header(longest) + [UInt8](repeating: 0, count: longest))
    #expect(parsed == .complete(ProxyHeader(source: nil), byteCount: ProxyHeader.maximumByteCount))
    #expect(throws: FramingError.self) { try ProxyHeader.parse(header(longest + 1)) }
  }
}
