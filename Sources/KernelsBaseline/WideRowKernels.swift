/// What is computed with single rows of float64 numbers; products and sums are rounded apart, so that the bits are the
/// same at every level.
public enum WideRowKernels {
  public typealias Row = UnsafePointer<Float>
  public typealias WideRow = UnsafePointer<Double>
  private typealias Lanes = SIMD8<Double>

  @inline(__always)
  private static func load(_ row: WideRow, _ index: Int) -> Lanes {
    UnsafeRawPointer(row + index).loadUnaligned(as: Lanes.self)
  }

  @inline(__always)
  private static func load(_ row: Row, _ index: Int) -> Lanes {
    Lanes(widening: UnsafeRawPointer(row + index).loadUnaligned(as: SIMD8<Float>.self))
  }

  @inline(__always)
  private static func store(_ lanes: Lanes, _ row: UnsafeMutablePointer<Double>, _ index: Int) {
    UnsafeMutableRawPointer(row + index).storeBytes(of: lanes, as: Lanes.self)
  }

  @inline(__always)
  private static func total(_ lanes: Lanes) -> Double {
    let four = lanes.lowHalf + lanes.highHalf
    let two = four.lowHalf + four.highHalf
    return two[0] + two[1]
  }

  @Sendable
  public static func squaredDistance(_ a: Row, _ point: WideRow, _ count: Int) -> Double {
    var low = Lanes.zero
    var high = Lanes.zero
    var index = 0
    while index &+ 16 <= count {
      let (x, y) = (load(a, index) - load(point, index), load(a, index &+ 8) - load(point, index &+ 8))
      low += x * x
      high += y * y
      index &+= 16
    }
    var sum = total(low + high)
    while index < count {
      let difference = Double(a[index]) - point[index]
      sum += difference * difference
      index &+= 1
    }
    return sum
  }

  @Sendable
  public static func addSquaredDifferences(
    _ a: Row, _ point: WideRow, _ sums: UnsafeMutablePointer<Double>, _ count: Int
  ) {
    var index = 0
    while index &+ 8 <= count {
      let difference = load(a, index) - load(point, index)
      store(load(WideRow(sums), index) + difference * difference, sums, index)
      index &+= 8
    }
    while index < count {
      let difference = Double(a[index]) - point[index]
      sums[index] += difference * difference
      index &+= 1
    }
  }

  @Sendable
  public static func productsOfFour(
    _ a: WideRow, _ b0: WideRow, _ b1: WideRow, _ b2: WideRow, _ b3: WideRow, _ count: Int
  ) -> SIMD4<Double> {
    var s = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
    var index = 0
    while index &+ 8 <= count {
      let x = load(a, index)
      s.0 += x * load(b0, index)
      s.1 += x * load(b1, index)
      s.2 += x * load(b2, index)
      s.3 += x * load(b3, index)
      index &+= 8
    }
    var sums = SIMD4(total(s.0), total(s.1), total(s.2), total(s.3))
    while index < count {
      sums += SIMD4(b0[index], b1[index], b2[index], b3[index]) * a[index]
      index &+= 1
    }
    return sums
  }

  @Sendable
  public static func multiplyAdding(
    _ row: WideRow, _ v: WideRow, _ factor: Double, _ sums: UnsafeMutablePointer<Double>, _ count: Int
  ) -> Double {
    let factors = Lanes(repeating: factor)
    var low = Lanes.zero
    var high = Lanes.zero
    var index = 0
    while index &+ 16 <= count {
      let (x, y) = (load(row, index), load(row, index &+ 8))
      low += x * load(v, index)
      high += y * load(v, index &+ 8)
      store(load(WideRow(sums), index) + x * factors, sums, index)
      store(load(WideRow(sums), index &+ 8) + y * factors, sums, index &+ 8)
      index &+= 16
    }
    var sum = total(low + high)
    while index < count {
      sum += row[index] * v[index]
      sums[index] += row[index] * factor
      index &+= 1
    }
    return sum
  }

  @Sendable
  public static func subtractMultiples(
    _ row: UnsafeMutablePointer<Double>, _ a: Double, _ w: WideRow, _ b: Double, _ v: WideRow, _ count: Int
  ) {
    let factors = (Lanes(repeating: a), Lanes(repeating: b))
    var index = 0
    while index &+ 8 <= count {
      let left = load(WideRow(row), index) - factors.0 * load(w, index)
      store(left - factors.1 * load(v, index), row, index)
      index &+= 8
    }
    while index < count {
      row[index] = (row[index] - a * w[index]) - b * v[index]
      index &+= 1
    }
  }
}
