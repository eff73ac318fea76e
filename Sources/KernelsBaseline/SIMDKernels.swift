/// The arithmetic inner loops, written once and compiled once per processor level.
///
/// The targets KernelsBaseline, KernelsV3 and KernelsV4 hold this same file (the folders of the latter two are links) and differ
/// in compiler flags and two conditions: FUSED where the processor multiplies and adds in one step, WIDE where its
/// registers hold sixteen floats. Lanes are explicit, because the optimiser may not reorder a floating-point sum.
///
/// `dot` may therefore differ between levels in the last bits; nobody chooses by it alone (see
/// `FarthestPointSearch`). Everything in float64 keeps inexact products and their sums apart and gives the same bits
/// at every level, so answers do not depend on the machine.
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
  private static func load(_ row: Row, _ index: Int) -> Lanes {
    UnsafeRawPointer(row + index).loadUnaligned(as: Lanes.self)
  }

  @inline(__always)
  private static func loadWide(_ row: Row, _ index: Int) -> SIMD8<Double> {
    SIMD8<Double>(widening: UnsafeRawPointer(row + index).loadUnaligned(as: SIMD8<Float>.self))
  }

  @inline(__always)
  private static func loadWide(_ row: UnsafePointer<Double>, _ index: Int) -> SIMD8<Double> {
    UnsafeRawPointer(row + index).loadUnaligned(as: SIMD8<Double>.self)
  }

  /// Sixteen lanes in fours, and those added up one after the other.
  @inline(__always)
  private static func total(_ low: SIMD8<Double>, _ high: SIMD8<Double>) -> Double {
    ((low.lowHalf + low.highHalf) + (high.lowHalf + high.highHalf)).sum()
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
      s0.add(load(a, index), times: load(b, index))
      s1.add(load(a, index &+ width), times: load(b, index &+ width))
      s2.add(load(a, index &+ 2 &* width), times: load(b, index &+ 2 &* width))
      s3.add(load(a, index &+ 3 &* width), times: load(b, index &+ 3 &* width))
      index &+= 4 &* width
    }
    while index &+ width <= count {
      s0.add(load(a, index), times: load(b, index))
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
  public static func preciseDot(_ a: Row, _ b: Row, _ count: Int) -> Double {
    var low = SIMD8<Double>.zero
    var high = SIMD8<Double>.zero
    var index = 0
    while index &+ 16 <= count {
      low.add(exact: loadWide(a, index), times: loadWide(b, index))
      high.add(exact: loadWide(a, index &+ 8), times: loadWide(b, index &+ 8))
      index &+= 16
    }
    var sum = total(low, high)
    while index < count {
      sum += Double(a[index]) * Double(b[index])
      index &+= 1
    }
    return sum
  }

  /// The bits of `preciseDot` with itself of each of four rows that lie one after the other.
  ///
  /// Two at a time: their sums fill half of the sixteen registers of AVX2, and those of one row alone would wait for their
  /// additions with AVX-512.
  @inline(__always)
  static func preciseSquares(_ rows: Row, _ count: Int) -> SIMD4<Double> {
    SIMD4(
      lowHalf: squares(rows, rows + count, count),
      highHalf: squares(rows + 2 &* count, rows + 3 &* count, count))
  }

  @inline(__always)
  private static func squares(_ a: Row, _ b: Row, _ count: Int) -> SIMD2<Double> {
    var low = (SIMD8<Double>.zero, SIMD8<Double>.zero)
    var high = low
    var index = 0
    while index &+ 16 <= count {
      addSquares(a, index, &low.0, &high.0)
      addSquares(b, index, &low.1, &high.1)
      index &+= 16
    }
    var sums = SIMD2(total(low.0, high.0), total(low.1, high.1))
    while index < count {
      let two = SIMD2(Double(a[index]), Double(b[index]))
      sums += two * two
      index &+= 1
    }
    return sums
  }

  @inline(__always)
  private static func addSquares(
    _ row: Row, _ index: Int, _ low: inout SIMD8<Double>, _ high: inout SIMD8<Double>
  ) {
    let (x, y) = (loadWide(row, index), loadWide(row, index &+ 8))
    low.add(exact: x, times: x)
    high.add(exact: y, times: y)
  }

  /// `preciseDot` of a row with itself and `widenedDot` of it with another, to the bit: one waits for the other's sums.
  @Sendable
  public static func measuredDot(_ a: Row, _ b: UnsafePointer<Double>, _ count: Int) -> SIMD2<Double> {
    var squares = (SIMD8<Double>.zero, SIMD8<Double>.zero)
    var products = squares
    var index = 0
    while index &+ 16 <= count {
      let x = loadWide(a, index)
      let y = loadWide(a, index &+ 8)
      squares.0.add(exact: x, times: x)
      squares.1.add(exact: y, times: y)
      products.0 += x * loadWide(b, index)
      products.1 += y * loadWide(b, index &+ 8)
      index &+= 16
    }
    var sums = SIMD2(total(squares.0, squares.1), total(products.0, products.1))
    while index < count {
      sums += SIMD2(Double(a[index]), b[index]) * Double(a[index])
      index &+= 1
    }
    return sums
  }

  /// The same of four rows that lie one after the other: squares at `sums`, products at sums[4].
  ///
  /// One at a time: with AVX2 the sums of two would not fit the registers.
  @inline(__always)
  static func measuredDots(
    _ rows: Row, _ direction: UnsafePointer<Double>, _ count: Int, _ sums: UnsafeMutablePointer<Double>
  ) {
    for row in 0..<4 {
      let both = measuredDot(rows + row &* count, direction, count)
      sums[row] = both[0]
      sums[row &+ 4] = both[1]
    }
  }

  @Sendable
  public static func absoluteSums(_ a: Row, _ b: Row, _ c: Row, _ d: Row, _ count: Int) -> SIMD4<Double> {
    var sums = (SIMD8<Double>.zero, SIMD8<Double>.zero, SIMD8<Double>.zero, SIMD8<Double>.zero)
    var index = 0
    while index &+ 8 <= count {
      sums.0 += loadMagnitudes(a, index)
      sums.1 += loadMagnitudes(b, index)
      sums.2 += loadMagnitudes(c, index)
      sums.3 += loadMagnitudes(d, index)
      index &+= 8
    }
    var total = SIMD4(sums.0.sum(), sums.1.sum(), sums.2.sum(), sums.3.sum())
    while index < count {
      total += SIMD4(
        Double(a[index].magnitude), Double(b[index].magnitude), Double(c[index].magnitude),
        Double(d[index].magnitude))
      index &+= 1
    }
    return total
  }

  @inline(__always)
  private static func loadMagnitudes(_ row: Row, _ index: Int) -> SIMD8<Double> {
    let bits = UnsafeRawPointer(row + index).loadUnaligned(as: SIMD8<UInt32>.self) & 0x7fff_ffff
    return SIMD8<Double>(widening: unsafeBitCast(bits, to: SIMD8<Float>.self))
  }

  @Sendable
  public static func widenedDot(_ a: Row, _ b: UnsafePointer<Double>, _ count: Int) -> Double {
    var low = SIMD8<Double>.zero
    var high = SIMD8<Double>.zero
    var index = 0
    while index &+ 16 <= count {
      low += loadWide(a, index) * loadWide(b, index)
      high += loadWide(a, index &+ 8) * loadWide(b, index &+ 8)
      index &+= 16
    }
    var sum = total(low, high)
    while index < count {
      sum += Double(a[index]) * b[index]
      index &+= 1
    }
    return sum
  }

  @Sendable
  public static func scale(
    _ source: Row, _ factor: Double, _ target: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    let into = UnsafeMutableRawPointer(target)
    var index = 0
    while index &+ 8 <= count {
      let product = SIMD8<Float>(narrowing: loadWide(source, index) * factor)
      into.storeBytes(of: product, toByteOffset: index &* 4, as: SIMD8<Float>.self)
      index &+= 8
    }
    while index < count {
      target[index] = Float(Double(source[index]) * factor)
      index &+= 1
    }
  }
}
