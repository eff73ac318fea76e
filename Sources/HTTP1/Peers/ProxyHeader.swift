/// What a balancer sends before a client's first byte: the PROXY protocol, versions 1 and 2.
///
/// Source: "The PROXY protocol, versions 1 & 2" (haproxy.org/download/3.0/doc/proxy-protocol.txt), sections 2.1 and 2.2.
/// A listener that expects it rejects connections without it (section 2: "the receiver MUST NOT try to guess").
public struct ProxyHeader: Sendable, Equatable {
  /// Of whom the balancer speaks; nil for a connection of its own, such as a health check, and for a client that has no
  /// IP address.
  public let source: PeerAddress?

  public enum Progress: Sendable, Equatable {
    case incomplete
    /// The header takes that many bytes; what follows is the client's.
    case complete(ProxyHeader, byteCount: Int)
  }

  /// Of version 1, with its line end.
  static let longestLine = 107
  /// Of version 2, with the additional fields (TLVs) that balancers add: those in use take some hundred bytes.
  public static let maximumByteCount = 4096

  private static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]
  private static let fixedCount = 16

  /// Reads as much of a header as `bytes` begin with.
  ///
  /// - Complexity: linear in the header.
  /// - Throws: as soon as `bytes` cannot become a header any more.
  public static func parse(_ bytes: [UInt8]) throws(FramingError) -> Progress {
    guard let first = bytes.first else { return .incomplete }
    return first == signature[0] ? try parseBinary(bytes) : try parseLine(bytes)
  }

  // MARK: Version 1

  private static func parseLine(_ bytes: [UInt8]) throws(FramingError) -> Progress {
    let keyword = Array("PROXY ".utf8)
    guard bytes.prefix(keyword.count).elementsEqual(keyword.prefix(bytes.count)) else {
      throw FramingError(
        "this listener expects the PROXY protocol, and the connection does not begin with it; "
          + "send it (send-proxy-v2 in HAProxy), or connect to a listener without proxy+")
    }
    guard let end = bytes.prefix(longestLine).firstIndex(of: ASCII.lineFeed) else {
      guard bytes.count < longestLine else {
        throw invalid("the line has no end within \(longestLine) bytes")
      }
      return .incomplete
    }
    guard bytes[end - 1] == ASCII.carriageReturn else { throw invalid("the line must end with CR LF") }
    let words = bytes[keyword.count..<(end - 1)].split(
      separator: ASCII.space, omittingEmptySubsequences: false)
    return .complete(try header(words), byteCount: end + 1)
  }

  private static func header(_ words: [ArraySlice<UInt8>]) throws(FramingError) -> ProxyHeader {
    // "UNKNOWN": the rest of the line must be ignored.
    if words[0].elementsEqual("UNKNOWN".utf8) { return ProxyHeader(source: nil) }
    let family: IPAddress.Family
    switch String(decoding: words[0], as: UTF8.self) {
    case "TCP4": family = .v4
    case "TCP6": family = .v6
    default: throw invalid("the protocol must be TCP4, TCP6 or UNKNOWN")
    }
    guard words.count == 5 else { throw invalid("two addresses and two ports must follow the protocol") }
    guard let source = address(words[1], family), address(words[2], family) != nil else {
      throw invalid("both addresses must be of the protocol that the line names")
    }
    guard let port = port(words[3]), Self.port(words[4]) != nil else {
      throw invalid("a port must be a number from 0 to 65535 without leading zeros")
    }
    return ProxyHeader(source: PeerAddress(address: source, port: port))
  }

  private static func address(_ word: ArraySlice<UInt8>, _ family: IPAddress.Family) -> IPAddress? {
    guard word.contains(UInt8(ascii: ":")) == (family == .v6) else { return nil }
    return IPAddress(word)
  }

  private static func port(_ word: ArraySlice<UInt8>) -> UInt16? {
    guard word.count <= 5, word.count == 1 || word.first != UInt8(ascii: "0") else { return nil }
    return ASCII.number(word).flatMap { UInt16(exactly: $0) }
  }

  // MARK: Version 2

  private static func parseBinary(_ bytes: [UInt8]) throws(FramingError) -> Progress {
    guard bytes.prefix(signature.count).elementsEqual(signature.prefix(bytes.count)) else {
      throw invalid("the signature of version 2 is not complete")
    }
    guard bytes.count >= fixedCount else { return .incomplete }
    guard bytes[12] >> 4 == 2 else { throw invalid("version \(bytes[12] >> 4) is neither 1 nor 2") }
    let command = bytes[12] & 15
    guard command <= 1 else { throw invalid("command \(command) is neither LOCAL nor PROXY") }
    let rest = Int(bytes[14]) << 8 | Int(bytes[15])
    let byteCount = fixedCount + rest
    guard byteCount <= maximumByteCount else {
      throw invalid("it takes \(byteCount) bytes, more than \(maximumByteCount)")
    }
    let needed: Int
    switch (command, bytes[13]) {
    // The balancer's own connection, or a client of which it says nothing: whatever follows is skipped.
    case (0, _), (_, 0x00): needed = 0
    case (_, 0x11): needed = 12
    case (_, 0x21): needed = 36
    case (_, 0x31): needed = 216
    default: throw invalid("address family and transport \(bytes[13]) are not those of a stream")
    }
    guard rest >= needed else { throw invalid("\(rest) bytes do not hold its addresses") }
    guard bytes.count >= byteCount else { return .incomplete }
    return .complete(ProxyHeader(source: source(in: bytes, needed)), byteCount: byteCount)
  }

  private static func source(in bytes: [UInt8], _ addressCount: Int) -> PeerAddress? {
    func number<Number: FixedWidthInteger>(at offset: Int, as type: Number.Type) -> Number {
      bytes[offset..<(offset + Number.bitWidth / 8)].reduce(0) { $0 << 8 | Number($1) }
    }
    switch addressCount {
    case 12:
      return PeerAddress(
        address: IPAddress(v4: number(at: 16, as: UInt32.self)), port: number(at: 24, as: UInt16.self))
    case 36:
      return PeerAddress(
        address: IPAddress(v6: number(at: 16, as: UInt128.self)), port: number(at: 48, as: UInt16.self))
    default: return nil
    }
  }

  private static func invalid(_ reason: String) -> FramingError {
    FramingError("the header of the PROXY protocol is invalid: \(reason)")
  }
}

/// An address and a port, written as the access log writes peers: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
public struct PeerAddress: Sendable, Hashable, CustomStringConvertible {
  public let address: IPAddress
  public let port: UInt16

  public var description: String {
    address.family == .v6 ? "[\(address)]:\(port)" : "\(address):\(port)"
  }
}
