/// A row against eight others at a time, in float64, and the Cholesky factor that follows from it; compiled once per
/// processor level as `SIMDKernels` is.
///
/// A panel holds eight rows so that one stream of memory feeds eight products: columns 0 to 7 of row 0, of row 1 and
/// so on to row 7, then columns 8 to 15 of each; what is left of each row, fewer than eight columns, lies behind.
public enum FactorKernels {
  public typealias Row = UnsafePointer<Float>
  private typealias Lanes = SIMD8<Double>

  public static let panelRows = 8

  /// sums[j] = the inner product of `x` and row j of the panel, the bits of `TileKernels.preciseColumn` at every level.
  ///
  /// A product of two float32 numbers is exact in float64, so fusing it with its sum changes nothing.
  @Sendable @inline(never)
  public static func panelProducts(
    _ x: Row, _ panel: Row, _ columns: Int, _ sums: UnsafeMutablePointer<Double>
  ) {
    #if WIDE
      eight(x, panel, columns, sums)
    #elseif FUSED
      four(x, panel, 0, columns, sums)
      four(x, panel, 4, columns, sums)
    #else
      two(x, panel, 0, columns, sums)
      two(x, panel, 2, columns, sums)
      two(x, panel, 4, columns, sums)
      two(x, panel, 6, columns, sums)
    #endif
  }

  /// The same of two rows, `x` and `other`, the second at sums[8]: the panel is widened once for both.
  @Sendable @inline(never)
  public static func panelPairs(
    _ x: Row, _ other: Row, _ panel: Row, _ columns: Int, _ sums: UnsafeMutablePointer<Double>
  ) {
    #if WIDE
      pairs(x, other, panel, columns, sums)
    #else
      panelProducts(x, panel, columns, sums)
      panelProducts(other, panel, columns, sums + 8)
    #endif
  }

  /// Entries start + first ..< start + end of a row of the factor, and what they leave of `residual`.
  ///
  /// Entry j is (kernel[j] - the sum over k < j of factor[k] x block[8 k + j]) x inversePivots[j], j counted in the
  /// block; sums go in the order of k, and products and sums stay apart: the bits are the same at every level.
  /// - Parameters:
  ///   - factor: the row, of which start + first entries are there.
  ///   - block: the rows of the factor of eight selections, transposed: entry k of each of them at 8 k.
  @Sendable @inline(never)
  public static func advance(
    _ factor: UnsafeMutablePointer<Double>, _ block: UnsafePointer<Double>, _ start: Int, _ first: Int,
    _ end: Int, _ kernel: UnsafePointer<Double>, _ inversePivots: UnsafePointer<Double>, _ residual: Double
  ) -> Double {
    let rows = UnsafeRawPointer(block)
    var sums = Lanes.zero
    var index = 0
    while index < start &+ first {
      sums +=
        Lanes(repeating: factor[index]) * rows.loadUnaligned(fromByteOffset: index &* 64, as: Lanes.self)
      index &+= 1
    }
    var left = residual
    var lane = first
    while lane < end {
      let entry = (kernel[lane] - sums[lane]) * inversePivots[lane]
      factor[index] = entry
      left -= entry * entry
      sums += Lanes(repeating: entry) * rows.loadUnaligned(fromByteOffset: index &* 64, as: Lanes.self)
      index &+= 1
      lane &+= 1
    }
    return left
  }

  // MARK: Pieces

  @inline(__always)
  private static func wide(_ row: Row, _ index: Int) -> Lanes {
    Lanes(widening: UnsafeRawPointer(row + index).loadUnaligned(as: SIMD8<Float>.self))
  }

  /// Halves onto halves, then what is left of the rows.
  @inline(__always)
  private static func total(_ lanes: Lanes, _ x: Row, _ panel: Row, _ row: Int, _ columns: Int) -> Double {
    let four = lanes.lowHalf + lanes.highHalf
    let two = four.lowHalf + four.highHalf
    var sum = two[0] + two[1]
    let whole = columns & ~7
    let rest = columns &- whole
    var index = 0
    while index < rest {
      sum += Double(x[whole &+ index]) * Double(panel[8 &* whole &+ row &* rest &+ index])
      index &+= 1
    }
    return sum
  }

  #if WIDE
    private typealias Four = (Lanes, Lanes, Lanes, Lanes)

    @inline(__always)
    private static func add(_ y: Lanes, _ rows: Four, to sums: inout Four) {
      sums.0.add(exact: y, times: rows.0)
      sums.1.add(exact: y, times: rows.1)
      sums.2.add(exact: y, times: rows.2)
      sums.3.add(exact: y, times: rows.3)
    }

    @inline(__always)
    private static func store(
      _ lanes: Four, _ x: Row, _ panel: Row, _ row: Int, _ columns: Int,
      _ sums: UnsafeMutablePointer<Double>
    ) {
      sums[row] = total(lanes.0, x, panel, row, columns)
      sums[row &+ 1] = total(lanes.1, x, panel, row &+ 1, columns)
      sums[row &+ 2] = total(lanes.2, x, panel, row &+ 2, columns)
      sums[row &+ 3] = total(lanes.3, x, panel, row &+ 3, columns)
    }

    @inline(__always)
    private static func pairs(
      _ x: Row, _ other: Row, _ panel: Row, _ columns: Int, _ sums: UnsafeMutablePointer<Double>
    ) {
      let zero = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
      var (s, t, u, v) = (zero, zero, zero, zero)
      var index = 0
      while index &+ 8 <= columns {
        let rows = panel + 8 &* index
        let y = wide(x, index)
        let z = wide(other, index)
        let low = (wide(rows, 0), wide(rows, 8), wide(rows, 16), wide(rows, 24))
        add(y, low, to: &s)
        add(z, low, to: &u)
        let high = (wide(rows, 32), wide(rows, 40), wide(rows, 48), wide(rows, 56))
        add(y, high, to: &t)
        add(z, high, to: &v)
        index &+= 8
      }
      store(s, x, panel, 0, columns, sums)
      store(t, x, panel, 4, columns, sums)
      store(u, other, panel, 0, columns, sums + 8)
      store(v, other, panel, 4, columns, sums + 8)
    }

    @inline(__always)
    private static func eight(_ x: Row, _ panel: Row, _ columns: Int, _ sums: UnsafeMutablePointer<Double>) {
      var low = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
      var high = low
      var index = 0
      while index &+ 8 <= columns {
        let y = wide(x, index)
        let rows = panel + 8 &* index
        add(y, (wide(rows, 0), wide(rows, 8), wide(rows, 16), wide(rows, 24)), to: &low)
        add(y, (wide(rows, 32), wide(rows, 40), wide(rows, 48), wide(rows, 56)), to: &high)
        index &+= 8
      }
      store(low, x, panel, 0, columns, sums)
      store(high, x, panel, 4, columns, sums)
    }
  #elseif FUSED
    @inline(__always)
    private static func four(
      _ x: Row, _ panel: Row, _ row: Int, _ columns: Int, _ sums: UnsafeMutablePointer<Double>
    ) {
      var s = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
      var index = 0
      while index &+ 8 <= columns {
        let y = wide(x, index)
        let rows = panel + 8 &* (index &+ row)
        s.0.add(exact: y, times: wide(rows, 0))
        s.1.add(exact: y, times: wide(rows, 8))
        s.2.add(exact: y, times: wide(rows, 16))
        s.3.add(exact: y, times: wide(rows, 24))
        index &+= 8
      }
      sums[row] = total(s.0, x, panel, row, columns)
      sums[row &+ 1] = total(s.1, x, panel, row &+ 1, columns)
      sums[row &+ 2] = total(s.2, x, panel, row &+ 2, columns)
      sums[row &+ 3] = total(s.3, x, panel, row &+ 3, columns)
    }
  #else
    @inline(__always)
    private static func two(
      _ x: Row, _ panel: Row, _ row: Int, _ columns: Int, _ sums: UnsafeMutablePointer<Double>
    ) {
      var s = (Lanes.zero, Lanes.zero)
      var index = 0
      while index &+ 8 <= columns {
        let y = wide(x, index)
        let rows = panel + 8 &* (index &+ row)
        s.0.add(exact: y, times: wide(rows, 0))
        s.1.add(exact: y, times: wide(rows, 8))
        index &+= 8
      }
      sums[row] = total(s.0, x, panel, row, columns)
      sums[row &+ 1] = total(s.1, x, panel, row &+ 1, columns)
    }
  #endif
}
