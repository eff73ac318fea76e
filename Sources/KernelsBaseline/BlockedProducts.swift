/// The product of a matrix with the transpose of another, in register tiles over packed panels.
///
/// Panels are ``panelWidth`` rows of the right side, transposed: element (k, j) of a panel lies at
/// k * panelWidth + j, and what is missing of the last panel is zero. The left side is read as it lies, a few rows
/// at a time. Every result is the sum over k in ascending order, in runs of ``run`` products (or ``shortRun``) whose sums
/// are added in order: neither the tile it falls in nor how the work is split changes a bit of it.
///
/// (Goto and van de Geijn, Anatomy of High-Performance Matrix Multiplication, ACM TOMS 34(3), 2008.)
public enum BlockedProducts {
  public typealias Row = UnsafePointer<Float>

  #if WIDE
    public static let panelWidth = 48
    static let tileRows = 8
    private typealias FullRow = ThreeRegisters
  #elseif FUSED
    public static let panelWidth = 16
    static let tileRows = 6
    private typealias FullRow = TwoRegisters
  #else
    public static let panelWidth = 8
    static let tileRows = 4
    private typealias FullRow = TwoRegisters
  #endif
  private static let laneCount = TileLanes.scalarCount

  /// Products added up in one chain; longer sums are sums of such, which bounds the rounding.
  static let run = 256
  /// The same for products of rows with each other, whose bound of the error decides how much float64 does again.
  static let shortRun = 64
  /// Columns of a panel that are used again and again while they lie in the second-level cache.
  private static let block = 512

  // MARK: Packing

  /// Panels `range` of `count` rows into `target`, which holds all panels: panel p at p * panelWidth * columns.
  @Sendable @inline(never)
  public static func pack(
    _ rows: Row, _ count: Int, _ columns: Int, _ range: Range<Int>, _ target: UnsafeMutablePointer<Float>
  ) {
    for panel in range {
      let into = target + panel &* panelWidth &* columns
      let first = panel &* panelWidth
      var lane = 0
      while lane < panelWidth {
        if first &+ lane &+ 8 <= count {
          packEight(rows + (first &+ lane) &* columns, columns, into + lane)
        } else {
          for single in lane..<(lane &+ 8) {
            let row = first &+ single
            for column in 0..<columns {
              into[column &* panelWidth &+ single] = row < count ? rows[row &* columns &+ column] : 0
            }
          }
        }
        lane &+= 8
      }
    }
  }

  /// Eight rows become eight lanes of a panel.
  @inline(__always)
  private static func packEight(_ rows: Row, _ columns: Int, _ target: UnsafeMutablePointer<Float>) {
    var column = 0
    while column &+ 8 <= columns {
      transposeEight(rows + column, columns, target + column &* panelWidth, panelWidth)
      column &+= 8
    }
    while column < columns {
      for row in 0..<8 { target[column &* panelWidth &+ row] = rows[row &* columns &+ column] }
      column &+= 1
    }
  }

  /// An 8 x 8 block, its rows and columns exchanged.
  ///
  /// Interleaving rows i and i + 4, then the results, then those, is the transposition.
  @inline(__always)
  private static func transposeEight(
    _ source: Row, _ sourceStride: Int, _ target: UnsafeMutablePointer<Float>, _ targetStride: Int
  ) {
    func row(_ index: Int) -> SIMD8<Float> {
      UnsafeRawPointer(source + index &* sourceStride).loadUnaligned(as: SIMD8<Float>.self)
    }
    let (a0, a1) = interleaved(row(0), row(4))
    let (b0, b1) = interleaved(row(1), row(5))
    let (c0, c1) = interleaved(row(2), row(6))
    let (d0, d1) = interleaved(row(3), row(7))
    let (e0, e1) = interleaved(a0, c0)
    let (e2, e3) = interleaved(a1, c1)
    let (f0, f1) = interleaved(b0, d0)
    let (f2, f3) = interleaved(b1, d1)
    let (g0, g1) = interleaved(e0, f0)
    let (g2, g3) = interleaved(e1, f1)
    let (g4, g5) = interleaved(e2, f2)
    let (g6, g7) = interleaved(e3, f3)
    func put(_ lanes: SIMD8<Float>, _ index: Int) {
      UnsafeMutableRawPointer(target + index &* targetStride).storeBytes(of: lanes, as: SIMD8<Float>.self)
    }
    put(g0, 0)
    put(g1, 1)
    put(g2, 2)
    put(g3, 3)
    put(g4, 4)
    put(g5, 5)
    put(g6, 6)
    put(g7, 7)
  }

  /// a0 b0 a1 b1 a2 b2 a3 b3 and a4 b4 a5 b5 a6 b6 a7 b7.
  @inline(__always)
  private static func interleaved(_ a: SIMD8<Float>, _ b: SIMD8<Float>) -> (SIMD8<Float>, SIMD8<Float>) {
    var low = SIMD8<Float>.zero
    low.evenHalf = a.lowHalf
    low.oddHalf = b.lowHalf
    var high = SIMD8<Float>.zero
    high.evenHalf = a.highHalf
    high.oddHalf = b.highHalf
    return (low, high)
  }

  // MARK: Products

  /// target[i * stride + j] = row i of `a` times row j of what was packed, for all i < rows and j < count.
  @Sendable @inline(never)
  public static func multiply(
    _ a: Row, _ rows: Int, _ columns: Int, _ panels: Row, _ count: Int,
    _ target: UnsafeMutablePointer<Float>, _ stride: Int
  ) {
    var first = 0
    while first < count {
      let width = min(panelWidth, count &- first)
      let panel = panels + first &* columns
      var start = 0
      repeat {
        let depth = min(block, columns &- start)
        var row = 0
        while row < rows {
          let height = min(tileRows, rows &- row)
          tile(
            a + (row &* columns &+ start), columns, height, panel + start &* panelWidth, depth,
            target + (row &* stride &+ first), stride, width, run, start > 0)
          row &+= tileRows
        }
        start &+= block
      } while start < columns
      first &+= panelWidth
    }
  }

  /// Rows `range` of the lower half of the products of `count` rows with each other, and the same mirrored:
  /// (i, j) and (j, i) for all i in the range and j <= i, into `target` [count, stride].
  ///
  /// Of columns that come in several strips, those behind the first are added to what is there, and only the last
  /// mirrors it.
  @Sendable @inline(never)
  public static func symmetricProducts(
    _ a: Row, _ count: Int, _ columns: Int, _ panels: Row, _ range: Range<Int>,
    _ target: UnsafeMutablePointer<Float>, _ stride: Int, _ adding: Bool, _ mirroring: Bool
  ) {
    var first = 0
    while first < range.upperBound {
      let panel = panels + first &* columns
      // The first row of the range that reaches this panel.
      let top = max(range.lowerBound, first)
      var start = 0
      repeat {
        let depth = min(block, columns &- start)
        let isLast = mirroring && start &+ block >= columns
        var row = top
        while row < range.upperBound {
          let height = min(tileRows, range.upperBound &- row)
          let width = min(panelWidth, row &+ height &- first)
          // Columns right of the diagonal of the tile's last row are another's, which makes the same of them; where it is
          // one of the range's, whole registers are written.
          let whole = min(panelWidth, (width &+ laneCount &- 1) / laneCount &* laneCount)
          let into = target + (row &* stride &+ first)
          tile(
            a + (row &* columns &+ start), columns, height, panel + start &* panelWidth, depth, into, stride,
            first &+ whole <= range.upperBound ? whole : width, shortRun, adding || start > 0)
          if isLast { mirror(target, stride, row, height, first, width) }
          row &+= tileRows
        }
        start &+= block
      } while start < columns
      first &+= panelWidth
    }
  }

  @inline(__always)
  private static func mirror(
    _ target: UnsafeMutablePointer<Float>, _ stride: Int, _ row: Int, _ height: Int, _ column: Int,
    _ width: Int
  ) {
    var done = 0
    if height == 8 {
      while done &+ 8 <= width {
        // A block on the diagonal is symmetric, whatever lay above it before.
        transposeEight(
          UnsafePointer(target + (row &* stride &+ column &+ done)), stride,
          target + ((column &+ done) &* stride &+ row), stride)
        done &+= 8
      }
    }
    while done < width {
      for index in 0..<height {
        target[(column &+ done) &* stride &+ row &+ index] =
          target[(row &+ index) &* stride &+ column &+ done]
      }
      done &+= 1
    }
  }

  /// A tile of `height` x `width` results over `depth` columns, added to what is there if `adding`.
  @inline(__always)
  private static func tile(
    _ a: Row, _ stride: Int, _ height: Int, _ panel: Row, _ depth: Int,
    _ target: UnsafeMutablePointer<Float>, _ targetStride: Int, _ width: Int, _ run: Int, _ adding: Bool
  ) {
    if height == tileRows {
      if width == panelWidth {
        return fullTile(FullRow.self, a, stride, panel, depth, target, targetStride, run, adding)
      }
      if width == laneCount {
        return fullTile(OneRegister.self, a, stride, panel, depth, target, targetStride, run, adding)
      }
      #if WIDE
        if width == 2 &* laneCount {
          return fullTile(TwoRegisters.self, a, stride, panel, depth, target, targetStride, run, adding)
        }
      #endif
    }
    partialTile(a, stride, height, panel, depth, target, targetStride, width, run, adding)
  }

  /// The same beside full tiles: row by row, the registers of the panel past `width` computed and dropped.
  @inline(never)
  private static func partialTile(
    _ a: Row, _ stride: Int, _ height: Int, _ panel: Row, _ depth: Int,
    _ target: UnsafeMutablePointer<Float>, _ targetStride: Int, _ width: Int, _ run: Int, _ adding: Bool
  ) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: tileRows &* panelWidth) { scratch in
      guard let sums = scratch.baseAddress else { return }
      if adding {
        for row in 0..<height {
          for column in 0..<width {
            sums[row &* panelWidth &+ column] = target[row &* targetStride &+ column]
          }
        }
      }
      if width <= laneCount {
        someRows(OneRegister.self, a, stride, height, panel, depth, sums, run, adding)
      } else if width <= 2 &* laneCount {
        someRows(TwoRegisters.self, a, stride, height, panel, depth, sums, run, adding)
      } else {
        someRows(FullRow.self, a, stride, height, panel, depth, sums, run, adding)
      }
      for row in 0..<height {
        for column in 0..<width {
          target[row &* targetStride &+ column] = sums[row &* panelWidth &+ column]
        }
      }
    }
  }

  @inline(__always)
  private static func someRows<Registers: TileRow>(
    _ type: Registers.Type, _ a: Row, _ stride: Int, _ height: Int, _ panel: Row, _ depth: Int,
    _ sums: UnsafeMutablePointer<Float>, _ run: Int, _ adding: Bool
  ) {
    if height == tileRows {
      return fullTile(type, a, stride, panel, depth, sums, panelWidth, run, adding)
    }
    for row in 0..<height {
      var k = 0
      var isFirst = !adding
      repeat {
        let end = min(k &+ run, depth)
        var sum = Registers.zero
        while k < end {
          sum.add(a[row &* stride &+ k], times: .load(panel + k &* panelWidth))
          k &+= 1
        }
        if isFirst { sum.store(sums + row &* panelWidth) } else { sum.addTo(sums + row &* panelWidth) }
        isFirst = false
      } while k < depth
    }
  }

  @inline(__always)
  private static func fullTile<Registers: TileRow>(
    _: Registers.Type, _ a: Row, _ stride: Int, _ panel: Row, _ depth: Int,
    _ target: UnsafeMutablePointer<Float>, _ targetStride: Int, _ run: Int, _ adding: Bool
  ) {
    var k = 0
    var isFirst = !adding
    repeat {
      let end = min(k &+ run, depth)
      var r0 = Registers.zero
      var r1 = Registers.zero
      var r2 = Registers.zero
      var r3 = Registers.zero
      #if FUSED
        var r4 = Registers.zero
        var r5 = Registers.zero
      #endif
      #if WIDE
        var r6 = Registers.zero
        var r7 = Registers.zero
      #endif
      while k < end {
        let row = Registers.load(panel + k &* panelWidth)
        let column = a + k
        r0.add(column[0], times: row)
        r1.add(column[stride], times: row)
        r2.add(column[2 &* stride], times: row)
        r3.add(column[3 &* stride], times: row)
        #if FUSED
          r4.add(column[4 &* stride], times: row)
          r5.add(column[5 &* stride], times: row)
        #endif
        #if WIDE
          r6.add(column[6 &* stride], times: row)
          r7.add(column[7 &* stride], times: row)
        #endif
        k &+= 1
      }
      @inline(__always)
      func put(_ sum: Registers, _ row: Int) {
        if isFirst {
          sum.store(target + row &* targetStride)
        } else {
          sum.addTo(target + row &* targetStride)
        }
      }
      put(r0, 0)
      put(r1, 1)
      put(r2, 2)
      put(r3, 3)
      #if FUSED
        put(r4, 4)
        put(r5, 5)
      #endif
      #if WIDE
        put(r6, 6)
        put(r7, 7)
      #endif
      isFirst = false
    } while k < depth
  }
}
