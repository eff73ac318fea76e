/// Widening of 16-bit floats by integer arithmetic on whole SIMD registers.
///
/// `Float(Float16)` on baseline x86-64 calls a soft-float routine per element (measured at 0.4-0.6 GB/s of
/// source); the bit form below vectorises on any instruction set and is exact, subnormals included.
public enum HalfPrecision {
  // Eight patterns come as four 32-bit words, two patterns a word. Swift's lane-wise conversion from UInt16 to
  // UInt32 and its unsigned comparison both become scalar code on baseline x86-64 (measured: 2.8 ms for 1.2 MB
  // against 0.11 ms this way), shifts, masks and signed comparisons do not.

  /// Eight IEEE 754 binary16 bit patterns as binary32 values.
  @inline(__always)
  static func widen(float16Pairs words: SIMD4<UInt32>) -> SIMD8<UInt32> {
    interleaved(widen(float16Words: words & 0xffff), widen(float16Words: words &>> 16))
  }

  /// Eight bfloat16 bit patterns as binary32 values: bfloat16 is the upper half of binary32.
  @inline(__always)
  static func widen(bfloat16Pairs words: SIMD4<UInt32>) -> SIMD8<UInt32> {
    interleaved(words &<< 16, words & 0xffff_0000)
  }

  static func widen(float16 bits: UInt16) -> Float {
    Float(bitPattern: widen(float16Words: SIMD4(repeating: UInt32(bits)))[0])
  }

  static func widen(bfloat16 bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

  /// One binary16 pattern in the lower half of each word.
  @inline(__always)
  private static func widen(float16Words words: SIMD4<UInt32>) -> SIMD4<UInt32> {
    let magnitude = unsafeBitCast(words & 0x7fff, to: SIMD4<Int32>.self)
    // Exponent and fraction land in their binary32 places with the exponent 112 too small; multiplying by
    // 2^112 repairs normal and subnormal numbers alike, without rounding.
    let scaled = unsafeBitCast(magnitude &<< 13, to: SIMD4<Float>.self) * Float(bitPattern: (112 + 127) << 23)
    // Inf and NaN (exponent all ones) keep their fraction and take the binary32 exponent of all ones.
    let special = SIMD4<Int32>.zero.replacing(
      with: SIMD4<Int32>(repeating: 0x7f80_0000), where: magnitude .> 0x7bff)
    return unsafeBitCast(scaled, to: SIMD4<UInt32>.self) | unsafeBitCast(special, to: SIMD4<UInt32>.self)
      | ((words & 0x8000) &<< 16)
  }

  @inline(__always)
  private static func interleaved(_ even: SIMD4<UInt32>, _ odd: SIMD4<UInt32>) -> SIMD8<UInt32> {
    var lanes = SIMD8<UInt32>.zero
    lanes.evenHalf = even
    lanes.oddHalf = odd
    return lanes
  }

  /// The bit pattern of a 16-bit float nearest to `value`, ties to even; what is too large becomes infinity.
  ///
  /// - Precondition: `elementType` is F16 or BF16.
  public static func bits(of value: Float, as elementType: ElementType) -> UInt16 {
    precondition(elementType == .float16 || elementType == .bfloat16, "\(elementType) has not 16 bits")
    return elementType == .float16 ? narrowToFloat16(value) : narrowToBFloat16(value)
  }

  /// Binary32 to binary16, round to nearest, ties to even; what is too large becomes infinity.
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

  /// Binary32 to bfloat16, round to nearest, ties to even.
  static func narrowToBFloat16(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    if bits & 0x7fff_ffff > 0x7f80_0000 { return UInt16(bits >> 16) | 0x40 }  // keep NaN a NaN
    return UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ ((bits >> 16) & 1)) >> 16)
  }
}
