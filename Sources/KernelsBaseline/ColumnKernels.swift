/// One step of a greedy determinant over all candidates at once, in float64; compiled once per processor level as
/// `SIMDKernels` is.
///
/// Lanes are candidates, so what one of them gets depends neither on the level nor on its neighbours.
public enum ColumnKernels {
  #if WIDE
    private typealias Lanes = SIMD8<Double>
    private typealias Narrow = SIMD8<Float>
  #elseif FUSED
    private typealias Lanes = SIMD4<Double>
    private typealias Narrow = SIMD4<Float>
  #else
    private typealias Lanes = SIMD2<Double>
    private typealias Narrow = SIMD2<Float>
  #endif
  private static let width = Lanes.scalarCount

  /// Row `step` of a factor [step + 1, stride], and what it leaves of the gains:
  ///
  ///     factor[step, j] = (x . panel[, j] * scales[j] * scale - the sum over t < step of weights[t] factor[t, j]) * inversePivot
  ///     gains[j] -= factor[step, j]^2
  ///
  /// Inner products have the bits of `TileKernels.preciseColumn`; the sum goes in the order of t, and products and sums
  /// stay apart.
  /// - Parameters:
  ///   - panel: the candidates' features, transposed: [columns, stride].
  ///   - stride: a multiple of 32.
  @Sendable @inline(never)
  public static func condition(
    _ x: UnsafePointer<Double>, _ panel: UnsafePointer<Float>, _ columns: Int, _ stride: Int,
    _ factor: UnsafeMutablePointer<Double>, _ step: Int, _ weights: UnsafePointer<Double>,
    _ scales: UnsafePointer<Double>, _ scale: Double, _ inversePivot: Double,
    _ gains: UnsafeMutablePointer<Double>
  ) {
    let target = factor + step &* stride
    var first = 0
    while first < stride {
      products(x, panel + first, columns, stride, target + first)
      first &+= width
    }
    first = 0
    while first < stride {
      var sums = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
      var t = 0
      while t < step {
        let row = factor + (t &* stride &+ first)
        let weight = Lanes(repeating: weights[t])
        sums.0 += weight * load(row, 0)
        sums.1 += weight * load(row, width)
        sums.2 += weight * load(row, 2 &* width)
        sums.3 += weight * load(row, 3 &* width)
        t &+= 1
      }
      settle(sums.0, target, scales, scale, inversePivot, gains, first)
      settle(sums.1, target, scales, scale, inversePivot, gains, first &+ width)
      settle(sums.2, target, scales, scale, inversePivot, gains, first &+ 2 &* width)
      settle(sums.3, target, scales, scale, inversePivot, gains, first &+ 3 &* width)
      first &+= 4 &* width
    }
  }

  /// The index of the highest value, the first of equals; `count` is a multiple of 8.
  @Sendable @inline(never)
  public static func highest(_ values: UnsafePointer<Double>, _ count: Int) -> Int {
    var best = load(values, 0)
    var first = width
    while first < count {
      let next = load(values, first)
      best.replace(with: next, where: next .> best)
      first &+= width
    }
    var value = best[0]
    for lane in 1..<width where best[lane] > value { value = best[lane] }
    var index = 0
    while index < count, values[index] != value { index &+= 1 }
    return index
  }

  /// Eight running sums for each candidate that take elements in turn, then what is left of the columns.
  @inline(__always)
  private static func products(
    _ x: UnsafePointer<Double>, _ panel: UnsafePointer<Float>, _ columns: Int, _ stride: Int,
    _ target: UnsafeMutablePointer<Double>
  ) {
    let zero = Lanes.zero
    var (s0, s1, s2, s3, s4, s5, s6, s7) = (zero, zero, zero, zero, zero, zero, zero, zero)
    var k = 0
    while k &+ 8 <= columns {
      let rows = panel + k &* stride
      add(x[k], rows, to: &s0)
      add(x[k &+ 1], rows + stride, to: &s1)
      add(x[k &+ 2], rows + 2 &* stride, to: &s2)
      add(x[k &+ 3], rows + 3 &* stride, to: &s3)
      add(x[k &+ 4], rows + 4 &* stride, to: &s4)
      add(x[k &+ 5], rows + 5 &* stride, to: &s5)
      add(x[k &+ 6], rows + 6 &* stride, to: &s6)
      add(x[k &+ 7], rows + 7 &* stride, to: &s7)
      k &+= 8
    }
    var sum = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    while k < columns {
      add(x[k], panel + k &* stride, to: &sum)
      k &+= 1
    }
    UnsafeMutableRawPointer(target).storeBytes(of: sum, as: Lanes.self)
  }

  /// A product of two float32 numbers is exact in float64, so fusing it with its sum changes nothing.
  @inline(__always)
  private static func add(_ factor: Double, _ row: UnsafePointer<Float>, to sum: inout Lanes) {
    let lanes = Lanes(widening: UnsafeRawPointer(row).loadUnaligned(as: Narrow.self))
    #if FUSED
      sum.addProduct(Lanes(repeating: factor), lanes)
    #else
      sum += Lanes(repeating: factor) * lanes
    #endif
  }

  @inline(__always)
  private static func settle(
    _ explained: Lanes, _ target: UnsafeMutablePointer<Double>, _ scales: UnsafePointer<Double>,
    _ scale: Double, _ inversePivot: Double, _ gains: UnsafeMutablePointer<Double>, _ index: Int
  ) {
    let kernel = load(target, index) * load(scales, index) * Lanes(repeating: scale)
    let entry = (kernel - explained) * Lanes(repeating: inversePivot)
    UnsafeMutableRawPointer(target + index).storeBytes(of: entry, as: Lanes.self)
    UnsafeMutableRawPointer(gains + index).storeBytes(of: load(gains, index) - entry * entry, as: Lanes.self)
  }

  @inline(__always)
  private static func load(_ source: UnsafePointer<Double>, _ index: Int) -> Lanes {
    UnsafeRawPointer(source + index).loadUnaligned(as: Lanes.self)
  }
}
