extension DecimalNumber {
  /// Bytes that ``quickFloat(_:)`` may look at: sign, whole part, point, fraction, exponent, and what follows.
  static let quickWindow = 64

  /// A number and the first byte behind it, in registers: through memory each number would wait for the last.
  struct QuickFloat {
    let value: Float
    let end: UnsafeRawPointer
  }

  /// The number that starts at `start`, correctly rounded to float32, when it has one of the forms that
  /// programs write.
  ///
  /// - Returns: nil when more care is needed, or when it is no number at all.
  /// - Precondition: ``quickWindow`` bytes can be read at `start`.
  @inline(__always)
  static func quickFloat(_ start: UnsafeRawPointer) -> QuickFloat? {
    var place = start
    let isNegative = byte(place) == UInt8(ascii: "-")
    place += isNegative ? 1 : 0
    let first = byte(place) &- 0x30
    guard first <= 9 else { return nil }
    place += 1
    var significand = UInt64(first)
    if byte(place) &- 0x30 <= 9 {
      // A leading zero; the careful path words it.
      guard first != 0 else { return nil }
      let run = DigitRun(at: place)
      guard run.count < 8 else { return nil }
      significand = significand &* DigitRun.power(run.count) &+ run.value(ofFirst: run.count)
      place += run.count
    }
    var exponent = 0
    if byte(place) == UInt8(ascii: ".") {
      place += 1
      let fraction = place
      let run = DigitRun(at: fraction)
      guard run.count > 0 else { return nil }
      significand = significand &* DigitRun.power(run.count) &+ run.value(ofFirst: run.count)
      exponent = 0 &- run.count
      place += run.count
      // Short numbers are short all over a text. From here on whether there are more than eight digits is a
      // matter of chance, and no branch.
      if run.count > 6 {
        let second = DigitRun(at: fraction + 8)
        let count = run.count == 8 ? second.count : 0
        guard significand <= DigitRun.room(count) else { return nil }
        significand = significand &* DigitRun.power(count) &+ second.value(ofFirstOrNone: count)
        exponent &-= count
        place += count
        if count == 8 {
          // Python writes float32 values as float64 ones, with 17 digits.
          let third = DigitRun(at: place)
          guard third.count < 8, significand <= DigitRun.room(third.count) else { return nil }
          significand =
            significand &* DigitRun.power(third.count) &+ third.value(ofFirstOrNone: third.count)
          exponent &-= third.count
          place += third.count
        }
      }
    }
    if byte(place) | 0x20 == UInt8(ascii: "e") {
      guard let written = quickExponent(&place) else { return nil }
      exponent &+= written
    }
    guard exponent >= -64, exponent <= 38,
      let value = quickFloat(Int64(truncatingIfNeeded: significand), exponent)
    else { return nil }
    // The sign is set by arithmetic on the bits: it too is a matter of chance.
    return QuickFloat(value: Float(bitPattern: value.bitPattern | (isNegative ? 0x8000_0000 : 0)), end: place)
  }

  /// `significand` x 10^`exponent` rounded to float32, if float64 arithmetic can tell.
  ///
  /// The float64 estimate carries at most three roundings (significand, power, quotient), hence is off by at
  /// most 3 units in its last place; unless it lies within 4 of the middle between two float32 numbers, the
  /// exact value rounds to the same one.
  ///
  /// - Precondition: the exponent lies in -64...38 and the significand is not negative.
  @inline(__always)
  private static func quickFloat(_ significand: Int64, _ exponent: Int) -> Float? {
    let digits = Double(significand)
    let estimate = exponent <= 0 ? digits / power(0 &- exponent) : digits * power(exponent)
    let dropped = (estimate.bitPattern &+ 0x1000_0004) & 0x1fff_ffff
    // Without a written exponent every value but zero lies well within the range of normal numbers.
    guard dropped > 8, estimate < 0x1.fffffep127, estimate >= 0x1.00001p-126 || significand == 0 else {
      return nil
    }
    return Float(estimate)
  }

  /// The exponent whose `e` is at `place`, if it has at most three digits.
  @inline(__always)
  private static func quickExponent(_ place: inout UnsafeRawPointer) -> Int? {
    place += 1
    let isNegative = byte(place) == UInt8(ascii: "-")
    if isNegative || byte(place) == UInt8(ascii: "+") { place += 1 }
    let run = DigitRun(at: place)
    guard run.count > 0, run.count <= 3 else { return nil }
    let value = Int(truncatingIfNeeded: run.value(ofFirst: run.count))
    place += run.count
    return isNegative ? 0 &- value : value
  }

  @inline(__always)
  private static func byte(_ place: UnsafeRawPointer) -> UInt8 { place.load(as: UInt8.self) }
}
