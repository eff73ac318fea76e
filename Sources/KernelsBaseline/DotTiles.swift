/// Sixteen inner products at once: four rows with four others, each element loaded once for four products.
///
/// The rows are read as they lie, so this suits pairs that are chosen a few at a time; for all pairs of many rows
/// ``BlockedProducts`` is faster.
public enum DotTiles {
  public typealias Row = UnsafePointer<Float>
  public typealias FourRows = (Row, Row, Row, Row)
  #if WIDE
    private typealias Lanes = SIMD16<Float>
  #else
    private typealias Lanes = SIMD8<Float>
  #endif
  private static let width = Lanes.scalarCount

  /// target[4 i + j] = the product of row i of `a` and row j of `b`, in binary32.
  ///
  /// A level takes as large a part of the tile at a time as its registers hold the sums of.
  @Sendable @inline(never)
  public static func dotTile(
    _ a: FourRows, _ b: FourRows, _ count: Int, _ target: UnsafeMutablePointer<Float>
  ) {
    #if WIDE
      fourByFour(a, b, count, target)
    #elseif FUSED
      fourByTwo(a, b.0, b.1, count, target)
      fourByTwo(a, b.2, b.3, count, target + 2)
    #else
      twoByTwo(a.0, a.1, b.0, b.1, count, target)
      twoByTwo(a.0, a.1, b.2, b.3, count, target + 2)
      twoByTwo(a.2, a.3, b.0, b.1, count, target + 8)
      twoByTwo(a.2, a.3, b.2, b.3, count, target + 10)
    #endif
  }

  @inline(__always)
  private static func load(_ row: Row, _ index: Int) -> Lanes {
    UnsafeRawPointer(row + index).loadUnaligned(as: Lanes.self)
  }

  @inline(__always)
  private static func add(_ a: Lanes, _ b: Lanes, to sum: inout Lanes) {
    #if FUSED
      sum.addProduct(a, b)
    #else
      sum += a * b
    #endif
  }

  /// Halves onto halves, down to four.
  @inline(__always)
  private static func quarter(_ lanes: Lanes) -> SIMD4<Float> {
    #if WIDE
      let eight = lanes.lowHalf + lanes.highHalf
    #else
      let eight = lanes
    #endif
    return eight.lowHalf + eight.highHalf
  }

  /// The sums of pairs of neighbours, of a and then of b.
  @inline(__always)
  private static func pairSums(_ a: SIMD4<Float>, _ b: SIMD4<Float>) -> SIMD4<Float> {
    let both = SIMD8(lowHalf: a, highHalf: b)
    return both.evenHalf + both.oddHalf
  }

  #if WIDE
    @inline(__always)
    private static func fourByFour(
      _ a: FourRows, _ b: FourRows, _ count: Int, _ target: UnsafeMutablePointer<Float>
    ) {
      typealias FourSums = (Lanes, Lanes, Lanes, Lanes)
      let none = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
      var s0 = none
      var s1 = none
      var s2 = none
      var s3 = none
      @inline(__always)
      func step(_ x: Lanes, _ y: FourSums, _ sums: inout FourSums) {
        sums.0.addProduct(x, y.0)
        sums.1.addProduct(x, y.1)
        sums.2.addProduct(x, y.2)
        sums.3.addProduct(x, y.3)
      }
      var index = 0
      while index &+ width <= count {
        let y = (load(b.0, index), load(b.1, index), load(b.2, index), load(b.3, index))
        step(load(a.0, index), y, &s0)
        step(load(a.1, index), y, &s1)
        step(load(a.2, index), y, &s2)
        step(load(a.3, index), y, &s3)
        index &+= width
      }
      @inline(__always)
      func finish(_ sums: FourSums, _ row: Row, _ place: Int) {
        var totals = pairSums(
          pairSums(quarter(sums.0), quarter(sums.1)), pairSums(quarter(sums.2), quarter(sums.3)))
        var rest = index
        while rest < count {
          totals += SIMD4(b.0[rest], b.1[rest], b.2[rest], b.3[rest]) * row[rest]
          rest &+= 1
        }
        UnsafeMutableRawPointer(target + place).storeBytes(of: totals, as: SIMD4<Float>.self)
      }
      finish(s0, a.0, 0)
      finish(s1, a.1, 4)
      finish(s2, a.2, 8)
      finish(s3, a.3, 12)
    }
  #elseif FUSED
    @inline(__always)
    private static func fourByTwo(
      _ a: FourRows, _ b0: Row, _ b1: Row, _ count: Int, _ target: UnsafeMutablePointer<Float>
    ) {
      let none = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
      var s0 = none
      var s1 = none
      var index = 0
      while index &+ width <= count {
        let x = load(b0, index)
        let y = load(b1, index)
        let r0 = load(a.0, index)
        add(r0, x, to: &s0.0)
        add(r0, y, to: &s1.0)
        let r1 = load(a.1, index)
        add(r1, x, to: &s0.1)
        add(r1, y, to: &s1.1)
        let r2 = load(a.2, index)
        add(r2, x, to: &s0.2)
        add(r2, y, to: &s1.2)
        let r3 = load(a.3, index)
        add(r3, x, to: &s0.3)
        add(r3, y, to: &s1.3)
        index &+= width
      }
      var first = pairSums(pairSums(quarter(s0.0), quarter(s0.1)), pairSums(quarter(s0.2), quarter(s0.3)))
      var second = pairSums(pairSums(quarter(s1.0), quarter(s1.1)), pairSums(quarter(s1.2), quarter(s1.3)))
      while index < count {
        let column = SIMD4(a.0[index], a.1[index], a.2[index], a.3[index])
        first += column * b0[index]
        second += column * b1[index]
        index &+= 1
      }
      for row in 0..<4 {
        target[4 &* row] = first[row]
        target[4 &* row &+ 1] = second[row]
      }
    }
  #else
    @inline(__always)
    private static func twoByTwo(
      _ a0: Row, _ a1: Row, _ b0: Row, _ b1: Row, _ count: Int, _ target: UnsafeMutablePointer<Float>
    ) {
      var s = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
      var index = 0
      while index &+ width <= count {
        let x = load(b0, index)
        let y = load(b1, index)
        let r0 = load(a0, index)
        add(r0, x, to: &s.0)
        add(r0, y, to: &s.1)
        let r1 = load(a1, index)
        add(r1, x, to: &s.2)
        add(r1, y, to: &s.3)
        index &+= width
      }
      var totals = pairSums(pairSums(quarter(s.0), quarter(s.1)), pairSums(quarter(s.2), quarter(s.3)))
      while index < count {
        totals +=
          SIMD4(a0[index], a0[index], a1[index], a1[index])
          * SIMD4(b0[index], b1[index], b0[index], b1[index])
        index &+= 1
      }
      target[0] = totals[0]
      target[1] = totals[1]
      target[4] = totals[2]
      target[5] = totals[3]
    }
  #endif
}
