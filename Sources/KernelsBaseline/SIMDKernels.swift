/// The arithmetic inner loops, written once and compiled once per processor level.
///
/// The targets KernelsBaseline, KernelsV3 and KernelsV4 hold this same file (the latter two as a link) and differ
/// in compiler flags and two conditions: FUSED where the processor multiplies and adds in one step, WIDE where its
/// registers hold sixteen floats. Lanes are explicit, because the optimiser may not reorder a floating-point sum.
///
/// `dot` and `dotFour` may therefore differ between levels in the last bits; nobody chooses by those (see
/// `FarthestPointSearch`). Everything in binary64 keeps products and sums apart and gives the same bits at every
/// level, so answers do not depend on the machine. (On the baseline `addProduct` would call into libm, lane by lane.)
public enum SIMDKernels {
  public typealias Row = UnsafePointer<Float>
  #if WIDE
    private typealias Lanes = SIMD16<Float>
  #else
    private typealias Lanes = SIMD8<Float>
  #endif
  private static let width = Lanes.scalarCount

  /// Halves onto halves: `SIMD.sum()` adds lane after lane.
  @inline(__always)
  private static func total(_ lanes: Lanes) -> Float {
    #if WIDE
      let eight = lanes.lowHalf + lanes.highHalf
    #else
      let eight = lanes
    #endif
    let four = eight.lowHalf + eight.highHalf
    let two = four.lowHalf + four.highHalf
    return two[0] + two[1]
  }

  @inline(__always)
  private static func addProduct(_ a: Lanes, _ b: Lanes, to sum: inout Lanes) {
    #if FUSED
      sum.addProduct(a, b)
    #else
      sum += a * b
    #endif
  }

  @inline(__always)
  private static func load(_ row: Row, _ index: Int) -> Lanes {
    UnsafeRawPointer(row + index).loadUnaligned(as: Lanes.self)
  }

  @inline(__always)
  private static func loadWide(_ row: Row, _ index: Int) -> SIMD4<Double> {
    SIMD4<Double>(UnsafeRawPointer(row + index).loadUnaligned(as: SIMD4<Float>.self))
  }

  /// Four accumulators, because one addition must not wait for the previous.
  @Sendable
  public static func dot(_ a: Row, _ b: Row, _ count: Int) -> Float {
    var s0 = Lanes.zero
    var s1 = Lanes.zero
    var s2 = Lanes.zero
    var s3 = Lanes.zero
    var index = 0
    while index &+ 4 &* width <= count {
      addProduct(load(a, index), load(b, index), to: &s0)
      addProduct(load(a, index &+ width), load(b, index &+ width), to: &s1)
      addProduct(load(a, index &+ 2 &* width), load(b, index &+ 2 &* width), to: &s2)
      addProduct(load(a, index &+ 3 &* width), load(b, index &+ 3 &* width), to: &s3)
      index &+= 4 &* width
    }
    while index &+ width <= count {
      addProduct(load(a, index), load(b, index), to: &s0)
      index &+= width
    }
    var sum = total((s0 + s1) + (s2 + s3))
    while index < count {
      sum += a[index] * b[index]
      index &+= 1
    }
    return sum
  }

  @Sendable
  public static func dotFour(_ a: Row, _ b0: Row, _ b1: Row, _ b2: Row, _ b3: Row, _ count: Int) -> SIMD4<
    Float
  > {
    var s0 = Lanes.zero
    var s1 = Lanes.zero
    var s2 = Lanes.zero
    var s3 = Lanes.zero
    var index = 0
    while index &+ width <= count {
      let x = load(a, index)
      addProduct(x, load(b0, index), to: &s0)
      addProduct(x, load(b1, index), to: &s1)
      addProduct(x, load(b2, index), to: &s2)
      addProduct(x, load(b3, index), to: &s3)
      index &+= width
    }
    var sums = SIMD4(total(s0), total(s1), total(s2), total(s3))
    while index < count {
      sums += SIMD4(b0[index], b1[index], b2[index], b3[index]) * a[index]
      index &+= 1
    }
    return sums
  }

  @Sendable
  public static func preciseDot(_ a: Row, _ b: Row, _ count: Int) -> Double {
    var s0 = SIMD4<Double>.zero
    var s1 = SIMD4<Double>.zero
    var s2 = SIMD4<Double>.zero
    var s3 = SIMD4<Double>.zero
    var index = 0
    while index &+ 16 <= count {
      s0 += loadWide(a, index) * loadWide(b, index)
      s1 += loadWide(a, index &+ 4) * loadWide(b, index &+ 4)
      s2 += loadWide(a, index &+ 8) * loadWide(b, index &+ 8)
      s3 += loadWide(a, index &+ 12) * loadWide(b, index &+ 12)
      index &+= 16
    }
    var sum = ((s0 + s1) + (s2 + s3)).sum()
    while index < count {
      sum += Double(a[index]) * Double(b[index])
      index &+= 1
    }
    return sum
  }

  @Sendable
  public static func widenedDot(_ a: Row, _ b: UnsafePointer<Double>, _ count: Int) -> Double {
    var s0 = SIMD4<Double>.zero
    var s1 = SIMD4<Double>.zero
    var s2 = SIMD4<Double>.zero
    var s3 = SIMD4<Double>.zero
    let wide = UnsafeRawPointer(b)
    var index = 0
    while index &+ 16 <= count {
      let at = index &* 8
      s0 += loadWide(a, index) * wide.loadUnaligned(fromByteOffset: at, as: SIMD4<Double>.self)
      s1 += loadWide(a, index &+ 4) * wide.loadUnaligned(fromByteOffset: at &+ 32, as: SIMD4<Double>.self)
      s2 += loadWide(a, index &+ 8) * wide.loadUnaligned(fromByteOffset: at &+ 64, as: SIMD4<Double>.self)
      s3 += loadWide(a, index &+ 12) * wide.loadUnaligned(fromByteOffset: at &+ 96, as: SIMD4<Double>.self)
      index &+= 16
    }
    var sum = ((s0 + s1) + (s2 + s3)).sum()
    while index < count {
      sum += Double(a[index]) * b[index]
      index &+= 1
    }
    return sum
  }

  /// One row of weights against four rows of what they are applied to: each weight is loaded and widened once.
  @Sendable
  public static func widenedDotFour(
    _ a: Row, _ b0: UnsafePointer<Double>, _ b1: UnsafePointer<Double>, _ b2: UnsafePointer<Double>,
    _ b3: UnsafePointer<Double>, _ count: Int
  ) -> SIMD4<Double> {
    var low = (SIMD4<Double>.zero, SIMD4<Double>.zero, SIMD4<Double>.zero, SIMD4<Double>.zero)
    var high = low
    let wide = (UnsafeRawPointer(b0), UnsafeRawPointer(b1), UnsafeRawPointer(b2), UnsafeRawPointer(b3))
    var index = 0
    while index &+ 8 <= count {
      let at = index &* 8
      let x = loadWide(a, index)
      let y = loadWide(a, index &+ 4)
      low.0 += x * wide.0.loadUnaligned(fromByteOffset: at, as: SIMD4<Double>.self)
      high.0 += y * wide.0.loadUnaligned(fromByteOffset: at &+ 32, as: SIMD4<Double>.self)
      low.1 += x * wide.1.loadUnaligned(fromByteOffset: at, as: SIMD4<Double>.self)
      high.1 += y * wide.1.loadUnaligned(fromByteOffset: at &+ 32, as: SIMD4<Double>.self)
      low.2 += x * wide.2.loadUnaligned(fromByteOffset: at, as: SIMD4<Double>.self)
      high.2 += y * wide.2.loadUnaligned(fromByteOffset: at &+ 32, as: SIMD4<Double>.self)
      low.3 += x * wide.3.loadUnaligned(fromByteOffset: at, as: SIMD4<Double>.self)
      high.3 += y * wide.3.loadUnaligned(fromByteOffset: at &+ 32, as: SIMD4<Double>.self)
      index &+= 8
    }
    var sums = SIMD4(
      (low.0 + high.0).sum(), (low.1 + high.1).sum(), (low.2 + high.2).sum(), (low.3 + high.3).sum())
    while index < count {
      sums += SIMD4(b0[index], b1[index], b2[index], b3[index]) * Double(a[index])
      index &+= 1
    }
    return sums
  }

  @Sendable
  public static func scale(
    _ source: Row, _ factor: Double, _ target: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    let into = UnsafeMutableRawPointer(target)
    var index = 0
    while index &+ 4 <= count {
      let product = SIMD4<Float>(loadWide(source, index) * factor)
      into.storeBytes(of: product, toByteOffset: index &* 4, as: SIMD4<Float>.self)
      index &+= 4
    }
    while index < count {
      target[index] = Float(Double(source[index]) * factor)
      index &+= 1
    }
  }

  @Sendable
  public static func accumulate(_ row: Row, _ sums: UnsafeMutablePointer<Double>, _ count: Int) {
    let into = UnsafeMutableRawPointer(sums)
    var index = 0
    while index &+ 4 <= count {
      let sum = UnsafeRawPointer(into).loadUnaligned(fromByteOffset: index &* 8, as: SIMD4<Double>.self)
      into.storeBytes(of: sum + loadWide(row, index), toByteOffset: index &* 8, as: SIMD4<Double>.self)
      index &+= 4
    }
    while index < count {
      sums[index] += Double(row[index])
      index &+= 1
    }
  }

  // MARK: Half precision

  // Eight patterns come as four 32-bit words, two patterns a word. Swift's lane-wise conversion from UInt16 to
  // UInt32 and its unsigned comparison both become scalar code on baseline x86-64, many times slower; shifts,
  // masks and signed comparisons do not.

  /// Widens the first `count / 8 * 8` binary16 patterns of `source` to binary32, exactly.
  ///
  /// - Returns: how many elements it wrote; the rest, fewer than eight, is the caller's.
  @Sendable
  public static func widenFloat16(
    _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, _ count: Int
  ) -> Int {
    var index = 0
    while index &+ 8 <= count {
      let words = source.loadUnaligned(fromByteOffset: index &* 2, as: SIMD4<UInt32>.self)
      let lanes = interleaved(widened(float16: words & 0xffff), widened(float16: words &>> 16))
      target.storeBytes(of: lanes, toByteOffset: index &* 4, as: SIMD8<UInt32>.self)
      index &+= 8
    }
    return index
  }

  /// The same for bfloat16, which is the upper half of binary32.
  @Sendable
  public static func widenBFloat16(
    _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, _ count: Int
  ) -> Int {
    var index = 0
    while index &+ 8 <= count {
      let words = source.loadUnaligned(fromByteOffset: index &* 2, as: SIMD4<UInt32>.self)
      let lanes = interleaved(words &<< 16, words & 0xffff_0000)
      target.storeBytes(of: lanes, toByteOffset: index &* 4, as: SIMD8<UInt32>.self)
      index &+= 8
    }
    return index
  }

  /// One binary16 pattern in the lower half of each word.
  @inline(__always)
  private static func widened(float16 words: SIMD4<UInt32>) -> SIMD4<UInt32> {
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
}
