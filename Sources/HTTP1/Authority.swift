/// The authority component of RFC 3986 section 3.2 without userinfo: a host and perhaps a port.
enum Authority {
  enum Port { case optional, required }

  /// True for `host`, `host:port`, `192.0.2.1` and `[2001:db8::1]:8080`.
  ///
  /// An empty host is rejected: an http URI with one is invalid (RFC 9110 section 4.2.1).
  static func isValid(_ bytes: ArraySlice<UInt8>, port: Port) -> Bool {
    let hostEnd: Int
    if bytes.first == UInt8(ascii: "[") {
      guard let close = bytes.firstIndex(of: UInt8(ascii: "]")) else { return false }
      let literal = bytes[(bytes.startIndex + 1)..<close]
      guard isIPv6(literal) || isFutureAddress(literal) else { return false }
      hostEnd = close + 1
    } else {
      hostEnd = bytes.firstIndex(of: UInt8(ascii: ":")) ?? bytes.endIndex
      guard isRegisteredName(bytes[..<hostEnd]) else { return false }
    }
    guard hostEnd < bytes.endIndex else { return port == .optional }
    guard bytes[hostEnd] == UInt8(ascii: ":") else { return false }
    let digits = bytes[(hostEnd + 1)...]
    if digits.isEmpty { return port == .optional }  // `port = *DIGIT` may be empty
    guard digits.count <= 5, let number = ASCII.number(digits) else { return false }
    return number <= 65_535
  }

  /// `reg-name` of section 3.2.2, which includes IPv4 addresses; not empty.
  private static func isRegisteredName(_ bytes: ArraySlice<UInt8>) -> Bool {
    var offset = bytes.startIndex
    while offset < bytes.endIndex {
      if bytes[offset] == UInt8(ascii: "%") {
        guard bytes.endIndex - offset > 2, ASCII.hexadecimal(bytes[offset + 1]) != nil,
          ASCII.hexadecimal(bytes[offset + 2]) != nil
        else { return false }
        offset += 3
      } else {
        guard isUnreservedOrSubDelimiter(bytes[offset]) else { return false }
        offset += 1
      }
    }
    return !bytes.isEmpty
  }

  private static func isUnreservedOrSubDelimiter(_ byte: UInt8) -> Bool {
    if ASCII.isDigit(byte) || ASCII.isLetter(byte) { return true }
    switch Unicode.Scalar(byte) {
    case "-", ".", "_", "~", "!", "$", "&", "'", "(", ")", "*", "+", ",", ";", "=": return true
    default: return false
    }
  }

  /// `IPvFuture`: v, a hexadecimal version, a dot and an address.
  private static func isFutureAddress(_ bytes: ArraySlice<UInt8>) -> Bool {
    guard let first = bytes.first, ASCII.lowercase(first) == UInt8(ascii: "v"),
      let dot = bytes.firstIndex(of: UInt8(ascii: "."))
    else { return false }
    let version = bytes[(bytes.startIndex + 1)..<dot]
    let address = bytes[(dot + 1)...]
    return !version.isEmpty && version.allSatisfy { ASCII.hexadecimal($0) != nil } && !address.isEmpty
      && address.allSatisfy { isUnreservedOrSubDelimiter($0) || $0 == UInt8(ascii: ":") }
  }

  private static func isIPv6(_ bytes: ArraySlice<UInt8>) -> Bool {
    bytes.contains(UInt8(ascii: ":")) && IPAddress(bytes) != nil
  }
}
