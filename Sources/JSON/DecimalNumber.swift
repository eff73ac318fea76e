/// A JSON number as decimal digits: ±significand x 10^exponent.
struct DecimalNumber {
  var isNegative = false
  /// The digits without the point; meaningless when ``hasExcessDigits``.
  var significand: UInt64 = 0
  var exponent = 0
  /// Written without fraction and exponent.
  var isWhole = true
  /// More than 19 significant digits: they do not fit the significand.
  var hasExcessDigits = false

  enum Failure: Error {
    case expectedDigit
    case leadingZero
  }

  /// Reads the number that starts at `position`; on return `position` is the first byte behind it, or the
  /// offending byte.
  @inline(__always)
  static func read(
    _ text: UnsafeBufferPointer<UInt8>, _ position: inout Int
  ) throws(Failure) -> DecimalNumber {
    var number = DecimalNumber()
    if position < text.count, text[position] == UInt8(ascii: "-") {
      number.isNegative = true
      position &+= 1
    }
    let start = position
    number.accumulateDigits(text, &position)
    var digitCount = position &- start
    guard digitCount > 0 else { throw .expectedDigit }
    if digitCount > 1, text[start] == UInt8(ascii: "0") {
      position = start
      throw .leadingZero
    }
    if position < text.count, text[position] == UInt8(ascii: ".") {
      number.isWhole = false
      position &+= 1
      let fraction = position
      number.accumulateDigits(text, &position)
      let fractionCount = position &- fraction
      guard fractionCount > 0 else { throw .expectedDigit }
      digitCount &+= fractionCount
      number.exponent = -fractionCount
    }
    if digitCount > 19 {
      number.hasExcessDigits = digitCount &- leadingZeros(text, from: start) > 19
    }
    if position < text.count, text[position] | 0x20 == UInt8(ascii: "e") {
      number.isWhole = false
      position &+= 1
      try number.readExponent(text, &position)
    }
    return number
  }

  /// Appends digits to the significand, eight at a time while they last. Wraps around on overflow.
  @inline(__always)
  private mutating func accumulateDigits(_ text: UnsafeBufferPointer<UInt8>, _ position: inout Int) {
    if let start = UnsafeRawPointer(text.baseAddress) {
      while position &+ 8 <= text.count {
        let run = DigitRun(at: start + position)
        guard run.count == 8 else { break }
        significand = significand &* 100_000_000 &+ run.value(ofFirst: 8)
        position &+= 8
      }
    }
    while position < text.count {
      let digit = text[position] &- 0x30
      guard digit <= 9 else { break }
      significand = significand &* 10 &+ UInt64(digit)
      position &+= 1
    }
  }

  @inline(__always)
  private mutating func readExponent(
    _ text: UnsafeBufferPointer<UInt8>, _ position: inout Int
  ) throws(Failure) {
    var isNegative = false
    if position < text.count, text[position] == UInt8(ascii: "-") || text[position] == UInt8(ascii: "+") {
      isNegative = text[position] == UInt8(ascii: "-")
      position &+= 1
    }
    let start = position
    var value = 0
    while position < text.count {
      let digit = text[position] &- 0x30
      guard digit <= 9 else { break }
      // Beyond this the value is zero or infinite whatever the significand says.
      if value < 100_000 { value = value &* 10 &+ Int(digit) }
      position &+= 1
    }
    guard position > start else { throw .expectedDigit }
    exponent &+= isNegative ? -value : value
  }

  private static func leadingZeros(_ text: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
    var index = start
    var count = 0
    while index < text.count, text[index] == UInt8(ascii: "0") || text[index] == UInt8(ascii: ".") {
      count += text[index] == UInt8(ascii: "0") ? 1 : 0
      index += 1
    }
    return count
  }
}

extension DecimalNumber {
  /// The correctly rounded float32 value, or nil when arithmetic cannot decide it.
  ///
  /// The float64 estimate carries at most three roundings (significand, power, product), hence is off by at
  /// most 3 units in its last place; unless it lies within 4 of the middle between two float32 numbers, the
  /// exact value rounds to the same one.
  @inline(__always)
  var floatIfDecidable: Float? {
    guard !hasExcessDigits, exponent >= -64, exponent <= 38 else { return nil }
    if significand == 0 { return isNegative ? -0.0 : 0.0 }
    let estimate = scaledSignificand
    let dropped = Int(truncatingIfNeeded: estimate.bitPattern & 0x1fff_ffff)
    let distance = dropped &- 0x1000_0000
    guard distance > 4 || distance < -4, estimate >= 0x1.00001p-126, estimate < 0x1.fffffep127 else {
      return nil
    }
    let value = Float(estimate)
    return isNegative ? -value : value
  }

  /// The correctly rounded float64 value, or nil: significand and power are both exact and one rounding
  /// remains (Clinger, "How to Read Floating Point Numbers Accurately", PLDI 1990).
  @inline(__always)
  var doubleIfDecidable: Double? {
    guard !hasExcessDigits, exponent >= -22, exponent <= 22, significand <= 1 << 53 else { return nil }
    let value = scaledSignificand
    return isNegative ? -value : value
  }

  /// The value as an `Int`, or nil when it is not whole or too large.
  var integer: Int? {
    guard isWhole, !hasExcessDigits else { return nil }
    return isNegative
      ? (significand <= 1 << 63 ? Int(truncatingIfNeeded: 0 &- significand) : nil)
      : Int(exactly: significand)
  }

  @inline(__always)
  private var scaledSignificand: Double {
    let digits = Double(significand)
    return exponent < 0 ? digits / Self.power(-exponent) : digits * Self.power(exponent)
  }

  /// 10^exponent, exact up to 22, else correctly rounded.
  @inline(__always)
  static func power(_ exponent: Int) -> Double { powersOfTen[exponent] }

  private static let powersOfTen: InlineArray<65, Double> = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31, 1e32, 1e33, 1e34, 1e35,
    1e36, 1e37, 1e38, 1e39, 1e40, 1e41, 1e42, 1e43, 1e44, 1e45, 1e46, 1e47, 1e48, 1e49, 1e50, 1e51, 1e52,
    1e53, 1e54, 1e55, 1e56, 1e57, 1e58, 1e59, 1e60, 1e61, 1e62, 1e63, 1e64,
  ]
}
