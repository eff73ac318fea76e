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

  /// `IPv6address`: eight groups, or fewer around one `::`; the last two may be written as IPv4.
  private static func isIPv6(_ bytes: ArraySlice<UInt8>) -> Bool {
    guard bytes.count <= 45 else { return false }
    var groups = 0
    var hasGap = false
    let pieces = bytes.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    guard pieces.count >= 3 else { return false }
    for (index, piece) in pieces.enumerated() {
      let isLast = index == pieces.count - 1
      if piece.isEmpty {
        // `::` at either end makes two empty pieces, inside it makes one.
        let isEdge = index == 0 ? pieces[1].isEmpty : isLast && pieces[index - 1].isEmpty
        if index == 0 || isLast {
          guard isEdge else { return false }
        } else {
          guard !hasGap else { return false }
          hasGap = true
        }
      } else if isLast, piece.contains(UInt8(ascii: ".")) {
        guard isIPv4(piece) else { return false }
        groups += 2
      } else {
        guard piece.count <= 4, piece.allSatisfy({ ASCII.hexadecimal($0) != nil }) else { return false }
        groups += 1
      }
    }
    return hasGap ? groups <= 7 : groups == 8
  }

  private static func isIPv4(_ bytes: ArraySlice<UInt8>) -> Bool {
    let pieces = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
    return pieces.count == 4
      && pieces.allSatisfy { piece in
        guard piece.count <= 3, let number = ASCII.number(piece) else { return false }
        return number <= 255 && (piece.count == 1 || piece.first != UInt8(ascii: "0"))
      }
  }
}
