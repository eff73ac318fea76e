/// Inner products of rows as tensors hold them, in float32, compiled like ``SIMDKernels``.
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

  /// The inner product of two rows. Four running sums, as above.
  @inline(__always)
  static func product(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Float {
    var sums = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
    var index = 0
    while index &+ 4 &* width <= count {
      sums.0.add(load(a, index), times: load(b, index))
      sums.1.add(load(a, index &+ width), times: load(b, index &+ width))
      sums.2.add(load(a, index &+ 2 &* width), times: load(b, index &+ 2 &* width))
      sums.3.add(load(a, index &+ 3 &* width), times: load(b, index &+ 3 &* width))
      index &+= 4 &* width
    }
    while index &+ width <= count {
      sums.0.add(load(a, index), times: load(b, index))
      index &+= width
    }
    let lanes = four((sums.0 + sums.1) + (sums.2 + sums.3))
    let two = lanes.lowHalf + lanes.highHalf
    var sum = two[0] + two[1]
    while index < count {
      let offset = index &* Format.byteWidth
      sum += Format.one(a + offset) * Format.one(b + offset)
      index &+= 1
    }
    return sum
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
  private static func add(_ x: Four, _ y: Lanes, to sums: inout Four) {
    sums.0.add(x.0, times: y)
    sums.1.add(x.1, times: y)
    sums.2.add(x.2, times: y)
    sums.3.add(x.3, times: y)
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

  /// Of four pairs of rows the sums over all lanes, and over what is left of the rows.
  @inline(__always)
  private static func totals(_ lanes: Four, _ a: Rows, _ b: Rows, _ start: Int, _ count: Int) -> SIMD4<Float>
  {
    let low = pairs(four(lanes.0), four(lanes.1))
    let high = pairs(four(lanes.2), four(lanes.3))
    var total =
      SIMD4(lowHalf: low.evenHalf, highHalf: high.evenHalf)
      + SIMD4(lowHalf: low.oddHalf, highHalf: high.oddHalf)
    var index = start
    while index < count {
      total += one(a, index) * one(b, index)
      index &+= 1
    }
    return total
  }

  @inline(__always)
  private static func one(_ rows: Rows, _ index: Int) -> SIMD4<Float> {
    let offset = index &* Format.byteWidth
    return SIMD4(
      Format.one(rows.0 + offset), Format.one(rows.1 + offset), Format.one(rows.2 + offset),
      Format.one(rows.3 + offset))
  }

  @inline(__always)
  private static func store(
    _ lanes: Four, _ a: Rows, _ b: UnsafeRawPointer, _ start: Int, _ count: Int,
    _ sums: UnsafeMutablePointer<Float>
  ) {
    UnsafeMutableRawPointer(sums).storeBytes(
      of: totals(lanes, a, (b, b, b, b), start, count), as: SIMD4<Float>.self)
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
        s.0.add(x.0, times: y.0)
        s.1.add(x.1, times: y.0)
        t.0.add(x.0, times: y.1)
        t.1.add(x.1, times: y.1)
        index &+= width
      }
      let total = totals((s.0, s.1, t.0, t.1), (a0, a1, a0, a1), (b0, b0, b1, b1), index, count)
      sums[0] = total[0]
      sums[1] = total[1]
      sums[4] = total[2]
      sums[5] = total[3]
    }
  #endif
}
