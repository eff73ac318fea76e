// Without an instruction for it, sixteen patterns come as eight 32-bit words, two patterns a word. Swift's lane-wise
// conversion from UInt16 to UInt32, that from Float16 and its unsigned comparison all become scalar code or a call
// on baseline x86-64, many times slower; shifts, masks and signed comparisons do not.

public enum Binary16: FloatFormat {
  public static var byteWidth: Int { 2 }

  @inline(__always)
  public static func sixteen(_ source: UnsafeRawPointer) -> SIMD16<Float> {
    SIMD16(lowHalf: eight(source), highHalf: eight(source + 16))
  }

  @inline(__always)
  public static func eight(_ source: UnsafeRawPointer) -> SIMD8<Float> {
    #if FUSED
      return SIMD8(widening: source.loadUnaligned(as: SIMD8<Float16>.self))
    #else
      let words = source.loadUnaligned(as: SIMD4<UInt32>.self)
      return interleaved(widened(words & 0xffff), widened(words &>> 16))
    #endif
  }

  /// Exponent and fraction land in their float32 slots with the exponent 112 too small; multiplying by 2^112
  /// repairs normal and subnormal numbers alike, without rounding.
  @inline(__always)
  public static func one(_ source: UnsafeRawPointer) -> Float {
    let bits = source.loadUnaligned(as: UInt16.self)
    let magnitude = UInt32(bits & 0x7fff)
    let scaled = Float(bitPattern: magnitude << 13) * Float(bitPattern: (112 + 127) << 23)
    // Inf and NaN (exponent all ones) keep their fraction and take the float32 exponent of all ones.
    let special: UInt32 = magnitude > 0x7bff ? 0x7f80_0000 : 0
    return Float(bitPattern: scaled.bitPattern | special | UInt32(bits & 0x8000) << 16)
  }

  #if !FUSED
    /// One pattern in the lower half of each word, as ``one(_:)``.
    @inline(__always)
    private static func widened(_ words: SIMD4<UInt32>) -> SIMD4<UInt32> {
      let magnitude = unsafeBitCast(words & 0x7fff, to: SIMD4<Int32>.self)
      let scaled =
        unsafeBitCast(magnitude &<< 13, to: SIMD4<Float>.self) * Float(bitPattern: (112 + 127) << 23)
      let special = SIMD4<Int32>.zero.replacing(
        with: SIMD4<Int32>(repeating: 0x7f80_0000), where: magnitude .> 0x7bff)
      return unsafeBitCast(scaled, to: SIMD4<UInt32>.self) | unsafeBitCast(special, to: SIMD4<UInt32>.self)
        | ((words & 0x8000) &<< 16)
    }
  #endif
}

public enum Brain16: FloatFormat {
  public static var byteWidth: Int { 2 }

  @inline(__always)
  public static func sixteen(_ source: UnsafeRawPointer) -> SIMD16<Float> {
    SIMD16(lowHalf: eight(source), highHalf: eight(source + 16))
  }

  @inline(__always)
  public static func eight(_ source: UnsafeRawPointer) -> SIMD8<Float> {
    let words = source.loadUnaligned(as: SIMD4<UInt32>.self)
    return interleaved(words &<< 16, words & 0xffff_0000)
  }

  @inline(__always)
  public static func one(_ source: UnsafeRawPointer) -> Float {
    Float(bitPattern: UInt32(source.loadUnaligned(as: UInt16.self)) << 16)
  }
}

@inline(__always)
private func interleaved(_ even: SIMD4<UInt32>, _ odd: SIMD4<UInt32>) -> SIMD8<Float> {
  var lanes = SIMD8<UInt32>.zero
  lanes.evenHalf = even
  lanes.oddHalf = odd
  return unsafeBitCast(lanes, to: SIMD8<Float>.self)
}
