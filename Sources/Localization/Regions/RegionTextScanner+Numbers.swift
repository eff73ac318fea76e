// Bytes and numbers, as all forms of boxes need them.

extension RegionTextScanner {
  struct Number {
    var value: Double
    /// Before the point.
    var digitCount: Int
    /// Behind the point; nil without one.
    var decimalCount: Int?

    var hasFraction: Bool { decimalCount != nil }
  }

  /// A sign, up to 9 digits, and a fraction of which 15 digits in all count.
  mutating func readNumber() -> Number? {
    let isNegative = skip("-")
    var mantissa = 0
    var digits = 0
    while let byte = peek(), isDigit(byte) {
      guard digits < 9 else { return nil }
      mantissa = mantissa * 10 + Int(byte - UInt8(ascii: "0"))
      digits += 1
      position += 1
    }
    let whole = digits
    var divisor = 1.0
    let hasFraction = peek() == UInt8(ascii: ".")
    if hasFraction {
      position += 1
      while let byte = peek(), isDigit(byte) {
        if digits < 15 {
          mantissa = mantissa * 10 + Int(byte - UInt8(ascii: "0"))
          divisor *= 10
        }
        digits += 1
        position += 1
      }
    }
    guard digits > 0 else { return nil }
    let value = Double(mantissa) / divisor
    return Number(
      value: isNegative ? -value : value, digitCount: whole, decimalCount: hasFraction ? digits - whole : nil)
  }

  /// Whether the byte before belongs to a word or a number that is being passed.
  var followsWord: Bool {
    guard position > 0 else { return false }
    let byte = bytes[position - 1]
    return isDigit(byte) || isLetter(byte) || byte >= 0x80 || byte == UInt8(ascii: "_")
      || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-")
  }

  func peek() -> UInt8? { position < bytes.count ? bytes[position] : nil }

  mutating func skip(_ word: StaticString) -> Bool {
    let length = word.utf8CodeUnitCount
    guard bytes.count - position >= length else { return false }
    let matches = word.withUTF8Buffer { expected in
      for index in 0..<length where bytes[position + index] != expected[index] { return false }
      return true
    }
    if matches { position += length }
    return matches
  }

  mutating func skipSpaces() {
    while let byte = peek(), isSpace(byte) { position += 1 }
  }
}

func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

func isLetter(_ byte: UInt8) -> Bool {
  (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
}

func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }
