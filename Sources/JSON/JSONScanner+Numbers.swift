extension JSONScanner {
  /// Reads a number: `.integer` or `.unsigned` when it is written as one and fits, else `.number`.
  mutating func readNumber() throws(JSONError) -> JSONValue {
    let start = cursor
    let number = try readDecimal()
    if let integer = number.integer { return .integer(integer) }
    if number.isWhole, let unsigned = UInt64(String(decoding: bytes[start..<cursor], as: UTF8.self)) {
      return .unsigned(unsigned)
    }
    return .number(try double(number, from: start))
  }

  /// Reads a number as float64, correctly rounded.
  public mutating func readDouble() throws(JSONError) -> Double {
    try requireNumber()
    let start = cursor
    let number = try readDecimal()
    return try double(number, from: start)
  }

  /// Reads a whole number: `3` and `3.0` both are, `3.5` is not. Written with a point or exponent it must not
  /// exceed 2^53, else 128 bits.
  public mutating func readInteger() throws(JSONError) -> Int128 {
    try requireNumber()
    let start = cursor
    let number = try readDecimal()
    if number.isWhole, !number.hasExcessDigits {
      return number.isNegative ? -Int128(number.significand) : Int128(number.significand)
    }
    if number.isWhole, let whole = Int128(String(decoding: bytes[start..<cursor], as: UTF8.self)) {
      return whole
    }
    let value = try double(number, from: start)
    guard abs(value) <= 0x1p53, let whole = Int128(exactly: value) else {
      let found = Self.shortened(bytes[start..<cursor])
      throw JSONError(.content, offset: start - bytes.startIndex, "expected a whole number, found \(found)")
    }
    return whole
  }

  /// Reads a number as float32, correctly rounded.
  public mutating func readFloat() throws(JSONError) -> Float {
    try requireNumber()
    let start = cursor
    let number = try readDecimal()
    if let value = number.floatIfDecidable ?? number.exactlyRounded(to: Float.self) { return value }
    let value = Float(String(decoding: bytes[start..<cursor], as: UTF8.self)) ?? .infinity
    guard value.isFinite else {
      let text = Self.shortened(bytes[start..<cursor])
      throw JSONError(
        .content, offset: start - bytes.startIndex, "\(text) exceeds the range of 32-bit floats")
    }
    return value
  }

  /// Passes over an array of numbers and of such arrays without looking at the numbers.
  ///
  /// What is passed over is known to be balanced, nothing more: it must still be read.
  public mutating func skipNestedNumbers() throws(JSONError) {
    try openArray()
    var depth = 1
    while depth > 0 {
      guard cursor < bytes.endIndex else { throw unexpected("']'") }
      switch bytes[cursor] {
      case UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "]"): depth -= 1
      case UInt8(ascii: "{"), UInt8(ascii: "\""): throw mismatch("a number")
      default: break
      }
      cursor += 1
    }
  }

  /// Reads `true` or `false`, or the numbers 1 and 0.
  public mutating func readTruth() throws(JSONError) -> Bool {
    let start = offset
    switch try readValue(maximumValueCount: 1) {
    case .bool(let value): return value
    case .integer(0): return false
    case .integer(1): return true
    case let other:
      throw JSONError(.content, offset: start, "expected a boolean, found \(other.kindWithArticle)")
    }
  }

  private mutating func requireNumber() throws(JSONError) {
    switch peek() ?? 0 {
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): break
    default: throw mismatch("a number")
    }
  }

  private mutating func readDecimal() throws(JSONError) -> DecimalNumber {
    let start = cursor
    var position = 0
    let result = bytes[cursor...].withUnsafeBufferPointer { text in
      Result { () throws(DecimalNumber.Failure) in try DecimalNumber.read(text, &position) }
    }
    cursor += position
    guard position <= Self.maximumNumberLength else {
      throw JSONError(
        offset: start - bytes.startIndex, "a number of more than \(Self.maximumNumberLength) characters")
    }
    switch result {
    case .success(let number): return number
    case .failure(.leadingZero): throw JSONError(offset: offset, "a number with a leading zero")
    case .failure(.expectedDigit):
      if bytes[start...].starts(with: "-Infinity".utf8) { cursor = start }
      throw unexpected("a digit")
    }
  }

  /// The number whose text begins at `start` and ends here, correctly rounded to float64.
  private func double(_ number: DecimalNumber, from start: Int) throws(JSONError) -> Double {
    if let value = number.doubleIfDecidable ?? number.exactlyRounded(to: Double.self) { return value }
    let value = Double(String(decoding: bytes[start..<cursor], as: UTF8.self)) ?? .infinity
    guard value.isFinite else {
      let text = Self.shortened(bytes[start..<cursor])
      throw JSONError(
        .content, offset: start - bytes.startIndex, "\(text) exceeds the range of 64-bit floats")
    }
    return value
  }

  private static func shortened(_ text: ArraySlice<UInt8>) -> String {
    String(decoding: text.prefix(40), as: UTF8.self) + (text.count > 40 ? "..." : "")
  }
}
