/// Byte-level rules of RFC 9110 section 5.6 and RFC 5234: protocols are bytes, never `String`.
public enum ASCII {
  static let tab: UInt8 = 0x09
  static let lineFeed: UInt8 = 0x0a
  static let carriageReturn: UInt8 = 0x0d
  static let space: UInt8 = 0x20

  /// Folds A-Z only. `String.lowercased()` would fold U+212A (Kelvin sign) to `k`.
  @inlinable
  public static func lowercase(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }

  @inlinable
  public static func equalsIgnoringCase(_ a: some Collection<UInt8>, _ b: some Collection<UInt8>) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { lowercase($0) == lowercase($1) }
  }

  /// The `tchar` set of RFC 9110 section 5.6.2 as one bit per byte: bytes 0-63, then bytes 64-127.
  private static let tokenBits: (UInt64, UInt64) = (0x03ff_6cfa_0000_0000, 0x57ff_ffff_c7ff_fffe)

  /// True for the bytes a token may hold (RFC 9110 section 5.6.2).
  @inline(__always)
  static func isToken(_ byte: UInt8) -> Bool {
    let bits = byte < 64 ? tokenBits.0 : byte < 128 ? tokenBits.1 : 0
    return (bits &>> UInt64(byte & 63)) & 1 != 0
  }

  static func isToken(_ bytes: some Collection<UInt8>) -> Bool {
    !bytes.isEmpty && bytes.allSatisfy { isToken($0) }
  }

  @inline(__always)
  static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

  static func isLetter(_ byte: UInt8) -> Bool { lowercase(byte) >= 0x61 && lowercase(byte) <= 0x7a }

  /// The value of a hexadecimal digit in either case, nil for anything else.
  @inline(__always)
  static func hexadecimal(_ byte: UInt8) -> Int? {
    switch byte {
    case 0x30...0x39: Int(byte) - 0x30
    case 0x41...0x46: Int(byte) - 0x41 + 10
    case 0x61...0x66: Int(byte) - 0x61 + 10
    default: nil
    }
  }

  /// True for SP and HTAB, the bytes of optional whitespace (RFC 9110 section 5.6.3).
  @inline(__always)
  static func isWhitespace(_ byte: UInt8) -> Bool { byte == space || byte == tab }

  /// True for the bytes a field value may hold: HTAB, SP, visible ASCII and obs-text (RFC 9110 section 5.5).
  @inline(__always)
  static func isText(_ byte: UInt8) -> Bool { byte >= 0x20 ? byte != 0x7f : byte == tab }

  /// A number made of digits alone: no sign, no space, no separator; nil also when it overflows `Int`.
  static func number(_ digits: some Collection<UInt8>) -> Int? {
    guard !digits.isEmpty else { return nil }
    var number = 0
    for digit in digits {
      guard isDigit(digit) else { return nil }
      let (tens, overflowed) = number.multipliedReportingOverflow(by: 10)
      let (sum, carried) = tens.addingReportingOverflow(Int(digit) - 0x30)
      guard !overflowed, !carried else { return nil }
      number = sum
    }
    return number
  }

  /// The bytes without the SP and HTAB around them.
  static func trimmed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var (start, end) = (bytes.startIndex, bytes.endIndex)
    while start < end, isWhitespace(bytes[start]) { start += 1 }
    while start < end, isWhitespace(bytes[end - 1]) { end -= 1 }
    return bytes[start..<end]
  }

  /// How a byte is written in a message to a person: `'a'` or `0x0b`.
  static func describe(_ byte: UInt8) -> String {
    if byte > 0x20, byte < 0x7f { return "'\(Character(Unicode.Scalar(byte)))'" }
    let digits = String(byte, radix: 16)
    return digits.count == 1 ? "0x0\(digits)" : "0x\(digits)"
  }
}

extension RawSpan {
  /// The byte at an offset, bounds-checked.
  @inline(__always)
  func byte(_ offset: Int) -> UInt8 { unsafeLoad(fromByteOffset: offset, as: UInt8.self) }

  /// The first offset in `start..<end` whose byte `ASCII.isText` rejects, or `end`.
  ///
  /// Eight bytes at a time: the lowest bit set by the classic "has a byte below n" and "has a zero byte" tests
  /// always belongs to a true hit; false ones occur only above it.
  func endOfText(from start: Int, to end: Int) -> Int {
    let ones: UInt64 = 0x0101_0101_0101_0101
    var offset = start
    while end - offset >= 8 {
      let word = UInt64(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
      let delete = word ^ (ones &* 0x7f)
      let hits = (((word &- ones &* 0x20) & ~word) | ((delete &- ones) & ~delete)) & (ones &* 0x80)
      guard hits != 0 else {
        offset += 8
        continue
      }
      offset += hits.trailingZeroBitCount / 8
      guard byte(offset) == ASCII.tab else { return offset }
      offset += 1
    }
    while offset < end, ASCII.isText(byte(offset)) { offset += 1 }
    return offset
  }

  /// A string of bytes already known to be ASCII.
  func string(_ range: Range<Int>) -> String {
    extracting(range).withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
  }
}
