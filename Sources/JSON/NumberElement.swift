/// An element type that ``JSONScanner/readRegularNumbers(as:maximumRank:allowsRagged:)`` can fill an array with.
protocol NumberElement {
  /// Reads numbers in their common forms and the commas behind them, as many as it can.
  ///
  /// - Parameters:
  ///   - place: in front of a number; on return in front of the one that ``careful(_:_:)`` must look at.
  ///   - end: where the text ends.
  ///   - target: where elements go.
  ///   - room: how many there may be.
  /// - Returns: how many there were.
  static func quickRun(
    _ place: inout UnsafeRawPointer, _ end: UnsafeRawPointer, into target: UnsafeMutableRawPointer,
    _ room: Int
  ) -> Int

  /// The value of a number, or nil when it does not fit the type. `text` holds nothing else.
  static func careful(_ number: DecimalNumber, _ text: UnsafeBufferPointer<UInt8>) -> Self?
}

extension NumberElement {
  static func quickRun(
    _ place: inout UnsafeRawPointer, _ end: UnsafeRawPointer, into target: UnsafeMutableRawPointer,
    _ room: Int
  ) -> Int { 0 }
}

extension Float: NumberElement {
  static func quickRun(
    _ place: inout UnsafeRawPointer, _ end: UnsafeRawPointer, into target: UnsafeMutableRawPointer,
    _ room: Int
  ) -> Int {
    var count = 0
    var next = place
    while count < room, end - next >= DecimalNumber.quickWindow,
      let number = DecimalNumber.quickFloat(next)
    {
      // The last number of an array is read again, with care for what follows it.
      guard number.end.load(as: UInt8.self) == UInt8(ascii: ",") else { break }
      target.storeBytes(of: number.value, toByteOffset: count &* 4, as: Float.self)
      count &+= 1
      next = number.end + 1
      // What programs write behind a comma is nothing or one space; a branch knows which.
      if next.load(as: UInt8.self) == 0x20 { next += 1 }
    }
    place = next
    return count
  }

  static func careful(_ number: DecimalNumber, _ text: UnsafeBufferPointer<UInt8>) -> Float? {
    if let value = number.floatIfDecidable ?? number.exactlyRounded(to: Float.self) { return value }
    guard let value = Float(String(decoding: text, as: UTF8.self)), value.isFinite else { return nil }
    return value
  }
}

extension Double: NumberElement {
  static func careful(_ number: DecimalNumber, _ text: UnsafeBufferPointer<UInt8>) -> Double? {
    if let value = number.doubleIfDecidable ?? number.exactlyRounded(to: Double.self) { return value }
    guard let value = Double(String(decoding: text, as: UTF8.self)), value.isFinite else { return nil }
    return value
  }
}

extension NumberElement where Self: FixedWidthInteger {
  /// Whole numbers written as such; `3.0` and what exceeds 64 bits is left to the reader that takes one number.
  static func careful(_ number: DecimalNumber, _ text: UnsafeBufferPointer<UInt8>) -> Self? {
    guard number.isWhole, !number.hasExcessDigits else { return nil }
    guard number.isNegative else { return Self(exactly: number.significand) }
    // -2^63 included.
    guard number.significand <= 1 << 63 else { return nil }
    return Self(exactly: Int64(truncatingIfNeeded: 0 &- number.significand))
  }
}

extension Int64: NumberElement {}
extension Int32: NumberElement {}
extension Int16: NumberElement {}
extension Int8: NumberElement {}
extension UInt64: NumberElement {}
extension UInt32: NumberElement {}
extension UInt16: NumberElement {}
extension UInt8: NumberElement {}
