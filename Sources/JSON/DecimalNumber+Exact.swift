extension DecimalNumber {
  /// The value rounded once, to nearest, ties to even, or nil when the significand or the power does not fit 64
  /// bits.
  ///
  /// Product and quotient are exact in 128 bits, and what falls off their lower end is remembered as one bit.
  /// Every value of this range is normal and finite, as float32 too.
  func exactlyRounded<Value: DecimalTarget>(to _: Value.Type) -> Value? {
    guard !hasExcessDigits, (-19...19).contains(exponent) else { return nil }
    guard significand != 0 else { return isNegative ? -0.0 : 0.0 }
    let power = Self.wholePowers[abs(exponent)]
    let mantissa: UInt64
    let isInexact: Bool
    let scale: Int
    if exponent >= 0 {
      let product = significand.multipliedFullWidth(by: power)
      let both = UInt128(product.high) << 64 | UInt128(product.low)
      let shift = both.leadingZeroBitCount
      let top = both << UInt128(shift)
      mantissa = UInt64(truncatingIfNeeded: top >> 64)
      isInexact = UInt64(truncatingIfNeeded: top) != 0
      scale = 64 - shift
    } else {
      let (above, below) = (significand.leadingZeroBitCount, power.leadingZeroBitCount)
      let dividend = significand << UInt64(above)
      // The dividend's upper half is below 2^63, hence below the divisor: the quotient fits.
      let (quotient, remainder) = (power << UInt64(below))
        .dividingFullWidth((dividend >> 1, dividend << 63))
      let shift = quotient.leadingZeroBitCount
      mantissa = quotient << UInt64(shift)
      isInexact = remainder != 0
      scale = below - above - 63 - shift
    }
    let magnitude = Value.rounding(mantissa, isInexact, scale)
    return isNegative ? -magnitude : magnitude
  }

  private static let wholePowers: InlineArray<20, UInt64> = [
    1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000,
    100_000_000_000, 1_000_000_000_000, 10_000_000_000_000, 100_000_000_000_000, 1_000_000_000_000_000,
    10_000_000_000_000_000, 100_000_000_000_000_000, 1_000_000_000_000_000_000, 10_000_000_000_000_000_000,
  ]
}

/// A binary format that decimals are rounded to.
protocol DecimalTarget: BinaryFloatingPoint {}

extension Float: DecimalTarget {}
extension Double: DecimalTarget {}

extension DecimalTarget {
  /// `mantissa` x 2^`scale`, and a little more if `isInexact`, rounded to nearest, ties to even.
  ///
  /// - Precondition: the mantissa's top bit is set, and the result is normal and finite.
  fileprivate static func rounding(_ mantissa: UInt64, _ isInexact: Bool, _ scale: Int) -> Self {
    let dropped = UInt64(63 - Self.significandBitCount)
    let half: UInt64 = 1 << (dropped - 1)
    let rest = mantissa & (half << 1 - 1)
    var kept = mantissa >> dropped
    if rest > half || (rest == half && (isInexact || kept & 1 == 1)) { kept += 1 }
    // A whole number of that many bits and a power of two are exact, and so is their product.
    return Self(kept) * Self(sign: .plus, exponent: Self.Exponent(scale + Int(dropped)), significand: 1)
  }
}
