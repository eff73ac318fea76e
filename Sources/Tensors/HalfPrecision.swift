/// 16-bit floats by integer arithmetic, exact, subnormals included.
///
/// `Float(Float16)` on baseline x86-64 calls a soft-float routine per element.
public enum HalfPrecision {
  /// One binary16 pattern; whole rows go through `KernelSet.widenFloat16`, by the same arithmetic.
  static func widen(float16 bits: UInt16) -> Float {
    let magnitude = UInt32(bits & 0x7fff)
    let scaled = Float(bitPattern: magnitude << 13) * Float(bitPattern: (112 + 127) << 23)
    let special: UInt32 = magnitude > 0x7bff ? 0x7f80_0000 : 0
    return Float(bitPattern: scaled.bitPattern | special | UInt32(bits & 0x8000) << 16)
  }

  /// bfloat16 is the upper half of float32.
  static func widen(bfloat16 bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

  /// The bit pattern of a 16-bit float nearest to `value`, ties to even; what is too large becomes infinity.
  ///
  /// - Precondition: `elementType` is F16 or BF16.
  public static func bits(of value: Float, as elementType: ElementType) -> UInt16 {
    precondition(elementType == .float16 || elementType == .bfloat16, "\(elementType) has not 16 bits")
    return elementType == .float16 ? narrowToFloat16(value) : narrowToBFloat16(value)
  }

  /// Float32 to binary16, round to nearest, ties to even; what is too large becomes infinity.
  static func narrowToFloat16(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    let sign = UInt16((bits >> 16) & 0x8000)
    let magnitude = bits & 0x7fff_ffff
    if magnitude > 0x7f80_0000 { return sign | 0x7e00 }  // NaN
    if magnitude >= 0x4780_0000 { return sign | 0x7c00 }  // >= 65536, and Inf
    if magnitude < 0x3880_0000 {
      // Below 2^-14 the result is a multiple of 2^-24: adding 0.5 to a float whose unit in the last place is
      // 2^-24 makes the hardware do the rounding.
      let rounded = Float(bitPattern: magnitude) + 0.5
      return sign | UInt16(truncatingIfNeeded: rounded.bitPattern &- Float(0.5).bitPattern)
    }
    let odd = (magnitude >> 13) & 1
    return sign | UInt16(truncatingIfNeeded: (magnitude &- (112 << 23) &+ 0xfff &+ odd) >> 13)
  }

  /// Float32 to bfloat16, round to nearest, ties to even.
  static func narrowToBFloat16(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    if bits & 0x7fff_ffff > 0x7f80_0000 { return UInt16(bits >> 16) | 0x40 }  // keep NaN a NaN
    return UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ ((bits >> 16) & 1)) >> 16)
  }
}
