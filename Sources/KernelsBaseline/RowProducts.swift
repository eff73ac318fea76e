/// Inner products of rows as tensors hold them, in binary32, compiled like ``SIMDKernels``.
///
/// Elements are widened on their way into a register. Rows that do not fit the second-level cache cost what it takes
/// to read them, so that half as many bytes are worth more than the conversions they need.
enum RowLoops<Format: FloatFormat> {
  #if WIDE
    private typealias Lanes = SIMD16<Float>
  #else
    private typealias Lanes = SIMD8<Float>
  #endif
  private typealias Four = (Lanes, Lanes, Lanes, Lanes)
  private static var width: Int { Lanes.scalarCount }

  /// sums[4 j + i] = the inner product of a_i and b_j.
  @inline(__always)
  static func tile(
    _ a: Rows, _ b: Rows, _ count: Int, _ sums: UnsafeMutablePointer<Float>
  ) {
    #if WIDE
      square(a, b, count, sums)
    #elseif FUSED
      strip(a, b.0, b.1, count, sums)
      strip(a, b.2, b.3, count, sums + 8)
    #else
      quarter(a.0, a.1, b.0, b.1, count, sums)
      quarter(a.2, a.3, b.0, b.1, count, sums + 2)
      quarter(a.0, a.1, b.2, b.3, count, sums + 8)
      quarter(a.2, a.3, b.2, b.3, count, sums + 10)
    #endif
  }

  /// sums[j] = the inner product of a and b_j. Two running sums each, because one addition must not wait for the
  /// previous.
  @inline(__always)
  static func column(
    _ a: UnsafeRawPointer, _ b: Rows, _ count: Int, _ sums: UnsafeMutablePointer<Float>
  ) {
    var even = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
    var odd = even
    var index = 0
    while index &+ 2 &* width <= count {
      add(load(b, index), load(a, index), to: &even)
      add(load(b, index &+ width), load(a, index &+ width), to: &odd)
      index &+= 2 &* width
    }
    if index &+ width <= count {
      add(load(b, index), load(a, index), to: &even)
      index &+= width
    }
    even.0 += odd.0
    even.1 += odd.1
    even.2 += odd.2
    even.3 += odd.3
    store(even, b, a, index, count, sums)
  }

  typealias Rows = (UnsafeRawPointer, UnsafeRawPointer, UnsafeRawPointer, UnsafeRawPointer)

  @inline(__always)
  private static func load(_ row: UnsafeRawPointer, _ index: Int) -> Lanes {
    #if WIDE
      return Format.sixteen(row + index &* Format.byteWidth)
    #else
      return Format.eight(row + index &* Format.byteWidth)
    #endif
  }

  @inline(__always)
  private static func load(_ rows: Rows, _ index: Int) -> Four {
    (load(rows.0, index), load(rows.1, index), load(rows.2, index), load(rows.3, index))
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
  private static func add(_ x: Four, _ y: Lanes, to sums: inout Four) {
    addProduct(x.0, y, to: &sums.0)
    addProduct(x.1, y, to: &sums.1)
    addProduct(x.2, y, to: &sums.2)
    addProduct(x.3, y, to: &sums.3)
  }

  /// Halves onto halves.
  @inline(__always)
  private static func four(_ lanes: Lanes) -> SIMD4<Float> {
    #if WIDE
      let eight = lanes.lowHalf + lanes.highHalf
    #else
      let eight = lanes
    #endif
    return eight.lowHalf + eight.highHalf
  }

  /// The sums of two quadruples' lanes 0 and 2, and 1 and 3.
  @inline(__always)
  private static func pairs(_ a: SIMD4<Float>, _ b: SIMD4<Float>) -> SIMD4<Float> {
    SIMD4(lowHalf: a.lowHalf, highHalf: b.lowHalf) + SIMD4(lowHalf: a.highHalf, highHalf: b.highHalf)
  }

  /// The sums over all lanes, and what is left of the rows.
  @inline(__always)
  private static func store(
    _ lanes: Four, _ a: Rows, _ b: UnsafeRawPointer, _ start: Int, _ count: Int,
    _ sums: UnsafeMutablePointer<Float>
  ) {
    let low = pairs(four(lanes.0), four(lanes.1))
    let high = pairs(four(lanes.2), four(lanes.3))
    var total =
      SIMD4(lowHalf: low.evenHalf, highHalf: high.evenHalf)
      + SIMD4(lowHalf: low.oddHalf, highHalf: high.oddHalf)
    var index = start
    while index < count {
      let offset = index &* Format.byteWidth
      let rest = SIMD4(
        Format.one(a.0 + offset), Format.one(a.1 + offset), Format.one(a.2 + offset), Format.one(a.3 + offset)
      )
      total += rest * Format.one(b + offset)
      index &+= 1
    }
    UnsafeMutableRawPointer(sums).storeBytes(of: total, as: SIMD4<Float>.self)
  }

  // A tile in as many strips as registers hold sums for.

  #if WIDE
    @inline(__always)
    private static func square(_ a: Rows, _ b: Rows, _ count: Int, _ sums: UnsafeMutablePointer<Float>) {
      var s = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
      var t = s
      var u = s
      var v = s
      var index = 0
      while index &+ width <= count {
        let x = load(a, index)
        add(x, load(b.0, index), to: &s)
        add(x, load(b.1, index), to: &t)
        add(x, load(b.2, index), to: &u)
        add(x, load(b.3, index), to: &v)
        index &+= width
      }
      store(s, a, b.0, index, count, sums)
      store(t, a, b.1, index, count, sums + 4)
      store(u, a, b.2, index, count, sums + 8)
      store(v, a, b.3, index, count, sums + 12)
    }
  #elseif FUSED
    @inline(__always)
    private static func strip(
      _ a: Rows, _ b0: UnsafeRawPointer, _ b1: UnsafeRawPointer, _ count: Int,
      _ sums: UnsafeMutablePointer<Float>
    ) {
      var s = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
      var t = s
      var index = 0
      while index &+ width <= count {
        let x = load(a, index)
        add(x, load(b0, index), to: &s)
        add(x, load(b1, index), to: &t)
        index &+= width
      }
      store(s, a, b0, index, count, sums)
      store(t, a, b1, index, count, sums + 4)
    }
  #else
    @inline(__always)
    private static func quarter(
      _ a0: UnsafeRawPointer, _ a1: UnsafeRawPointer, _ b0: UnsafeRawPointer, _ b1: UnsafeRawPointer,
      _ count: Int, _ sums: UnsafeMutablePointer<Float>
    ) {
      var s = (Lanes.zero, Lanes.zero)
      var t = s
      var index = 0
      while index &+ width <= count {
        let x = (load(a0, index), load(a1, index))
        let y = (load(b0, index), load(b1, index))
        addProduct(x.0, y.0, to: &s.0)
        addProduct(x.1, y.0, to: &s.1)
        addProduct(x.0, y.1, to: &t.0)
        addProduct(x.1, y.1, to: &t.1)
        index &+= width
      }
      store(s, t, (a0, a1), (b0, b1), index, count, sums)
    }

    @inline(__always)
    private static func store(
      _ s: (Lanes, Lanes), _ t: (Lanes, Lanes), _ a: (UnsafeRawPointer, UnsafeRawPointer),
      _ b: (UnsafeRawPointer, UnsafeRawPointer), _ start: Int, _ count: Int,
      _ sums: UnsafeMutablePointer<Float>
    ) {
      let low = pairs(four(s.0), four(s.1))
      let high = pairs(four(t.0), four(t.1))
      var total =
        SIMD4(lowHalf: low.evenHalf, highHalf: high.evenHalf)
        + SIMD4(lowHalf: low.oddHalf, highHalf: high.oddHalf)
      var index = start
      while index < count {
        let offset = index &* Format.byteWidth
        let x = SIMD2(Format.one(a.0 + offset), Format.one(a.1 + offset))
        total += SIMD4(lowHalf: x * Format.one(b.0 + offset), highHalf: x * Format.one(b.1 + offset))
        index &+= 1
      }
      sums[0] = total[0]
      sums[1] = total[1]
      sums[4] = total[2]
      sums[5] = total[3]
    }
  #endif
}

/// ``RowLoops`` of each format, for the table.
public enum RowProductKernels {
  public typealias Row = UnsafeRawPointer
  public typealias Sums = UnsafeMutablePointer<Float>

  @Sendable @inline(never)
  public static func tileFloat32(
    _ a0: Row, _ a1: Row, _ a2: Row, _ a3: Row, _ b0: Row, _ b1: Row, _ b2: Row, _ b3: Row, _ count: Int,
    _ sums: Sums
  ) { RowLoops<Binary32>.tile((a0, a1, a2, a3), (b0, b1, b2, b3), count, sums) }

  @Sendable @inline(never)
  public static func tileFloat16(
    _ a0: Row, _ a1: Row, _ a2: Row, _ a3: Row, _ b0: Row, _ b1: Row, _ b2: Row, _ b3: Row, _ count: Int,
    _ sums: Sums
  ) { RowLoops<Binary16>.tile((a0, a1, a2, a3), (b0, b1, b2, b3), count, sums) }

  @Sendable @inline(never)
  public static func tileBFloat16(
    _ a0: Row, _ a1: Row, _ a2: Row, _ a3: Row, _ b0: Row, _ b1: Row, _ b2: Row, _ b3: Row, _ count: Int,
    _ sums: Sums
  ) { RowLoops<Brain16>.tile((a0, a1, a2, a3), (b0, b1, b2, b3), count, sums) }

  @Sendable @inline(never)
  public static func columnFloat32(
    _ a: Row, _ b0: Row, _ b1: Row, _ b2: Row, _ b3: Row, _ count: Int, _ sums: Sums
  ) { RowLoops<Binary32>.column(a, (b0, b1, b2, b3), count, sums) }

  @Sendable @inline(never)
  public static func columnFloat16(
    _ a: Row, _ b0: Row, _ b1: Row, _ b2: Row, _ b3: Row, _ count: Int, _ sums: Sums
  ) { RowLoops<Binary16>.column(a, (b0, b1, b2, b3), count, sums) }

  @Sendable @inline(never)
  public static func columnBFloat16(
    _ a: Row, _ b0: Row, _ b1: Row, _ b2: Row, _ b3: Row, _ count: Int, _ sums: Sums
  ) { RowLoops<Brain16>.column(a, (b0, b1, b2, b3), count, sums) }
}
