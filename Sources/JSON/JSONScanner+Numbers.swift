extension JSONScanner {
  /// Reads a number: `.integer` when it is written as one and fits, else `.number`.
  mutating func readNumber() throws(JSONError) -> JSONValue {
    let start = cursor
    let number = try readDecimal()
    if let integer = number.integer { return .integer(integer) }
    if number.isWhole, cursor - start <= 20, let unsigned = Self.unsigned(bytes[start..<cursor]) {
      return .unsigned(unsigned)
    }
    return .number(
      try finite(
        number.doubleIfDecidable ?? number.exactlyRounded(to: Double.self)
          ?? Self.exactDouble(bytes[start..<cursor]), from: start))
  }

  /// Digits alone that denote a number from 2^63 to 2^64 - 1.
  private static func unsigned(_ text: ArraySlice<UInt8>) -> UInt64? {
    var value: UInt64 = 0
    for digit in text {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
      let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
      let (sum, overflow) = product.addingReportingOverflow(UInt64(digit - UInt8(ascii: "0")))
      guard !tooLarge, !overflow else { return nil }
      value = sum
    }
    return value > UInt64(Int.max) ? value : nil
  }

  /// Reads a number as float64, correctly rounded.
  public mutating func readDouble() throws(JSONError) -> Double {
    try requireNumber()
    let start = cursor
    let number = try readDecimal()
    return try finite(
      number.doubleIfDecidable ?? number.exactlyRounded(to: Double.self)
        ?? Self.exactDouble(bytes[start..<cursor]), from: start)
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
    let value = try finite(
      number.doubleIfDecidable ?? number.exactlyRounded(to: Double.self)
        ?? Self.exactDouble(bytes[start..<cursor]), from: start)
    guard abs(value) <= 0x1p53, let whole = Int128(exactly: value) else {
      let found = Self.shortened(bytes[start..<cursor])
      throw JSONError(.content, offset: start - bytes.startIndex, "expected a whole number, found \(found)")
    }
    return whole
  }

  /// Reads the remaining elements of an array of numbers and its `]`, each rounded once to float32.
  ///
  /// - Parameter values: the elements are appended to it.
  /// - Throws: with a pointer to the element, counted from the first one read by this call.
  /// - Complexity: one pass, no value is allocated per element.
  public mutating func readRemainingFloats(into values: inout [Float]) throws(JSONError) {
    var index = 0
    while try readFloats(into: &values, &index) {
      // The fast loop stopped in front of a number it cannot decide.
      do throws(JSONError) {
        values.append(try readFloat())
      } catch {
        throw error.inside(index)
      }
      index += 1
    }
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

  /// The fast loop of ``readRemainingFloats(into:)``.
  ///
  /// - Returns: true in front of an element that needs the exact path, false behind the closing bracket.
  private mutating func readFloats(
    into values: inout [Float], _ index: inout Int
  ) throws(JSONError) -> Bool {
    var position = 0
    var count = index
    let outcome = bytes[cursor...].withUnsafeBufferPointer { text -> FastLoopEnd in
      Self.readFloats(text, &position, &values, &count)
    }
    cursor += position
    index = count
    switch outcome {
    case .closed: return false
    case .undecided: return true
    case .unexpectedSeparator: throw unexpected("',' or ']'")
    }
  }

  private enum FastLoopEnd { case closed, undecided, unexpectedSeparator }

  private static func readFloats(
    _ text: UnsafeBufferPointer<UInt8>, _ position: inout Int, _ values: inout [Float], _ index: inout Int
  ) -> FastLoopEnd {
    while true {
      skipSpace(text, &position)
      if position < text.count, text[position] == UInt8(ascii: "]"), index == 0 {
        position &+= 1
        return .closed
      }
      if index > 0 {
        guard position < text.count else { return .unexpectedSeparator }
        if text[position] == UInt8(ascii: "]") {
          position &+= 1
          return .closed
        }
        guard text[position] == UInt8(ascii: ",") else { return .unexpectedSeparator }
        position &+= 1
        skipSpace(text, &position)
      }
      let first = position
      guard let number = try? DecimalNumber.read(text, &position), let value = number.floatIfDecidable else {
        // The exact path reads it again, and words what may be wrong with it.
        position = first
        return .undecided
      }
      values.append(value)
      index &+= 1
    }
  }

  @inline(__always)
  private static func skipSpace(_ text: UnsafeBufferPointer<UInt8>, _ position: inout Int) {
    while position < text.count, text[position] <= 0x20 {
      let byte = text[position]
      guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { return }
      position &+= 1
    }
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

  private func finite(_ value: Double, from start: Int) throws(JSONError) -> Double {
    guard value.isFinite else {
      let text = Self.shortened(bytes[start..<cursor])
      throw JSONError(
        .content, offset: start - bytes.startIndex, "\(text) exceeds the range of 64-bit floats")
    }
    return value
  }

  private static func exactDouble(_ text: ArraySlice<UInt8>) -> Double {
    Double(String(decoding: text, as: UTF8.self)) ?? .infinity
  }

  private static func shortened(_ text: ArraySlice<UInt8>) -> String {
    String(decoding: text.prefix(40), as: UTF8.self) + (text.count > 40 ? "..." : "")
  }
}
