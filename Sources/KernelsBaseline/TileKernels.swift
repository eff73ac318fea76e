/// Inner products of four rows with four others at a time in float64, compiled once per processor level as `SIMDKernels` is.
///
/// A row loaded once serves four products, so that a tile is bound by arithmetic where single products are bound
/// by loads. Each level cuts the tile into as many strips as its registers hold sums for.
public enum TileKernels {
  public typealias Row = UnsafePointer<Float>
  private typealias WideLanes = SIMD8<Double>

  /// sums[4 j + i] = the inner product of a_i and b_j, every product and sum in float64; the bits are those of
  /// `preciseColumn` at every level.
  ///
  /// A product of two float32 numbers is exact in float64, so fusing it with its sum changes nothing.
  @Sendable
  public static func preciseTile(
    _ a0: Row, _ a1: Row, _ a2: Row, _ a3: Row, _ b0: Row, _ b1: Row, _ b2: Row, _ b3: Row, _ count: Int,
    _ sums: UnsafeMutablePointer<Double>
  ) {
    #if WIDE
      preciseSquare(a0, a1, a2, a3, b0, b1, b2, b3, count, sums)
    #elseif FUSED
      preciseQuarter(a0, a1, b0, b1, count, sums)
      preciseQuarter(a2, a3, b0, b1, count, sums + 2)
      preciseQuarter(a0, a1, b2, b3, count, sums + 8)
      preciseQuarter(a2, a3, b2, b3, count, sums + 10)
    #else
      preciseColumn(a0, a1, a2, a3, b0, count, sums)
      preciseColumn(a0, a1, a2, a3, b1, count, sums + 4)
      preciseColumn(a0, a1, a2, a3, b2, count, sums + 8)
      preciseColumn(a0, a1, a2, a3, b3, count, sums + 12)
    #endif
  }

  /// sums[i] = the inner product of a_i and b in float64: eight running sums, element by element in turn.
  @Sendable
  public static func preciseColumn(
    _ a0: Row, _ a1: Row, _ a2: Row, _ a3: Row, _ b: Row, _ count: Int, _ sums: UnsafeMutablePointer<Double>
  ) {
    #if FUSED
      var s0 = WideLanes.zero
      var s1 = WideLanes.zero
      var s2 = WideLanes.zero
      var s3 = WideLanes.zero
      var index = 0
      while index &+ 8 <= count {
        let y = wide(b, index)
        s0.add(exact: wide(a0, index), times: y)
        s1.add(exact: wide(a1, index), times: y)
        s2.add(exact: wide(a2, index), times: y)
        s3.add(exact: wide(a3, index), times: y)
        index &+= 8
      }
      sums[0] = total(s0, a0, b, index, count)
      sums[1] = total(s1, a1, b, index, count)
      sums[2] = total(s2, a2, b, index, count)
      sums[3] = total(s3, a3, b, index, count)
    #else
      sums[0] = preciseDot(a0, b, count)
      sums[1] = preciseDot(a1, b, count)
      sums[2] = preciseDot(a2, b, count)
      sums[3] = preciseDot(a3, b, count)
    #endif
  }

  // MARK: Pieces

  @inline(__always)
  private static func wide(_ row: Row, _ index: Int) -> WideLanes {
    WideLanes(widening: UnsafeRawPointer(row + index).loadUnaligned(as: SIMD8<Float>.self))
  }

  /// Halves onto halves, then what is left of the rows.
  @inline(__always)
  private static func total(_ lanes: WideLanes, _ a: Row, _ b: Row, _ start: Int, _ count: Int) -> Double {
    let four = lanes.lowHalf + lanes.highHalf
    let two = four.lowHalf + four.highHalf
    var sum = two[0] + two[1]
    var index = start
    while index < count {
      sum += Double(a[index]) * Double(b[index])
      index &+= 1
    }
    return sum
  }

  #if WIDE
    @inline(__always)
    private static func preciseSquare(
      _ a0: Row, _ a1: Row, _ a2: Row, _ a3: Row, _ b0: Row, _ b1: Row, _ b2: Row, _ b3: Row, _ count: Int,
      _ sums: UnsafeMutablePointer<Double>
    ) {
      var s = (WideLanes.zero, WideLanes.zero, WideLanes.zero, WideLanes.zero)
      var t = s
      var u = s
      var v = s
      var index = 0
      while index &+ 8 <= count {
        let x = (wide(a0, index), wide(a1, index), wide(a2, index), wide(a3, index))
        add(x, wide(b0, index), to: &s)
        add(x, wide(b1, index), to: &t)
        add(x, wide(b2, index), to: &u)
        add(x, wide(b3, index), to: &v)
        index &+= 8
      }
      store(s, a0, a1, a2, a3, b0, index, count, sums)
      store(t, a0, a1, a2, a3, b1, index, count, sums + 4)
      store(u, a0, a1, a2, a3, b2, index, count, sums + 8)
      store(v, a0, a1, a2, a3, b3, index, count, sums + 12)
    }

    @inline(__always)
    private static func add(
      _ x: (WideLanes, WideLanes, WideLanes, WideLanes), _ y: WideLanes,
      to sums: inout (WideLanes, WideLanes, WideLanes, WideLanes)
    ) {
      sums.0.add(exact: x.0, times: y)
      sums.1.add(exact: x.1, times: y)
      sums.2.add(exact: x.2, times: y)
      sums.3.add(exact: x.3, times: y)
    }

    @inline(__always)
    private static func store(
      _ lanes: (WideLanes, WideLanes, WideLanes, WideLanes), _ a0: Row, _ a1: Row, _ a2: Row, _ a3: Row,
      _ b: Row, _ start: Int, _ count: Int, _ sums: UnsafeMutablePointer<Double>
    ) {
      sums[0] = total(lanes.0, a0, b, start, count)
      sums[1] = total(lanes.1, a1, b, start, count)
      sums[2] = total(lanes.2, a2, b, start, count)
      sums[3] = total(lanes.3, a3, b, start, count)
    }
  #elseif FUSED
    @inline(__always)
    private static func preciseQuarter(
      _ a0: Row, _ a1: Row, _ b0: Row, _ b1: Row, _ count: Int, _ sums: UnsafeMutablePointer<Double>
    ) {
      var s = (WideLanes.zero, WideLanes.zero)
      var t = s
      var index = 0
      while index &+ 8 <= count {
        let x = (wide(a0, index), wide(a1, index))
        let y = (wide(b0, index), wide(b1, index))
        s.0.add(exact: x.0, times: y.0)
        s.1.add(exact: x.1, times: y.0)
        t.0.add(exact: x.0, times: y.1)
        t.1.add(exact: x.1, times: y.1)
        index &+= 8
      }
      sums[0] = total(s.0, a0, b0, index, count)
      sums[1] = total(s.1, a1, b0, index, count)
      sums[4] = total(t.0, a0, b1, index, count)
      sums[5] = total(t.1, a1, b1, index, count)
    }
  #else
    @inline(__always)
    private static func preciseDot(_ a: Row, _ b: Row, _ count: Int) -> Double {
      var sum = WideLanes.zero
      var index = 0
      while index &+ 8 <= count {
        sum += wide(a, index) * wide(b, index)
        index &+= 8
      }
      return total(sum, a, b, index, count)
    }
  #endif
}
