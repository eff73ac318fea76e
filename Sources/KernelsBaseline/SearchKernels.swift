/// What greedy searches do to all candidates at once, compiled once per processor level as `SIMDKernels` is.
///
/// Arrays hold a multiple of ``block`` elements.
public enum SearchKernels {
  private static let width = TileLanes.scalarCount

  /// Arrays are padded to a multiple of this many elements, at every level.
  public static let block = 64

  @inline(__always)
  private static func load(_ source: UnsafePointer<Float>, _ index: Int) -> TileLanes {
    UnsafeRawPointer(source + index).loadUnaligned(as: TileLanes.self)
  }

  @inline(__always)
  private static func store(_ lanes: TileLanes, _ target: UnsafeMutablePointer<Float>, _ index: Int) {
    UnsafeMutableRawPointer(target + index).storeBytes(of: lanes, as: TileLanes.self)
  }

  /// Halves onto halves: `any` of the standard library goes lane by lane.
  @inline(__always)
  private static func isAny(_ mask: SIMDMask<TileLanes.MaskStorage>) -> Bool {
    let lanes = unsafeBitCast(mask, to: TileLanes.MaskStorage.self)
    #if WIDE
      let eight = lanes.lowHalf | lanes.highHalf
      let four = eight.lowHalf | eight.highHalf
    #elseif FUSED
      let four = lanes.lowHalf | lanes.highHalf
    #else
      let four = lanes
    #endif
    let two = four.lowHalf | four.highHalf
    return two[0] | two[1] != 0
  }

  /// target[j] = the sum over k < depth of weights[k] * rows[k * stride + j], for all j < count.
  @Sendable @inline(never)
  public static func combine(
    _ weights: UnsafePointer<Float>, _ depth: Int, _ rows: UnsafePointer<Float>, _ stride: Int,
    _ target: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    var first = 0
    while first < count {
      var sums = (TileLanes.zero, TileLanes.zero, TileLanes.zero, TileLanes.zero)
      var k = 0
      while k < depth {
        let row = rows + (k &* stride &+ first)
        let weight = TileLanes(repeating: weights[k])
        sums.0.add(weight, times: load(row, 0))
        sums.1.add(weight, times: load(row, width))
        sums.2.add(weight, times: load(row, 2 &* width))
        sums.3.add(weight, times: load(row, 3 &* width))
        k &+= 1
      }
      store(sums.0, target, first)
      store(sums.1, target, first &+ width)
      store(sums.2, target, first &+ 2 &* width)
      store(sums.3, target, first &+ 3 &* width)
      first &+= 4 &* width
    }
  }

  /// Writes the indices j < count with bounds[j] >= limits[j] - margin, ascending, and returns how many there are.
  @Sendable @inline(never)
  public static func above(
    _ bounds: UnsafePointer<Float>, _ limits: UnsafePointer<Float>, _ margin: Float,
    _ indices: UnsafeMutablePointer<Int32>, _ count: Int
  ) -> Int {
    let margins = TileLanes(repeating: margin)
    var found = 0
    var first = 0
    while first < count {
      let isAbove = load(bounds, first) .>= load(limits, first) - margins
      if isAny(isAbove) {
        // Compared anew: taking a mask apart costs more.
        for index in first..<(first &+ width) where bounds[index] >= limits[index] - margin {
          indices[found] = Int32(truncatingIfNeeded: index)
          found &+= 1
        }
      }
      first &+= width
    }
    return found
  }

  /// The index of the lowest value, the first of equals.
  @Sendable @inline(never)
  public static func lowest(_ values: UnsafePointer<Float>, _ count: Int) -> Int {
    extreme(values, count, isHighest: false)
  }

  /// The index of the highest value, the first of equals.
  @Sendable @inline(never)
  public static func highest(_ values: UnsafePointer<Float>, _ count: Int) -> Int {
    extreme(values, count, isHighest: true)
  }

  @inline(__always)
  private static func extreme(_ values: UnsafePointer<Float>, _ count: Int, isHighest: Bool) -> Int {
    var best = load(values, 0)
    var first = width
    while first < count {
      let next = load(values, first)
      best.replace(with: next, where: isHighest ? next .> best : next .< best)
      first &+= width
    }
    let value = isHighest ? highest(of: best) : -highest(of: -best)
    first = 0
    let sought = TileLanes(repeating: value)
    while first < count {
      let isThere = load(values, first) .== sought
      if isAny(isThere) {
        for index in first..<(first &+ width) where values[index] == value { return index }
      }
      first &+= width
    }
    return 0
  }

  /// Halves against halves: of lanes one after the other each waits for the one before.
  @inline(__always)
  private static func highest(of lanes: TileLanes) -> Float {
    #if WIDE
      let (a, b) = (lanes.lowHalf, lanes.highHalf)
      let eight = a.replacing(with: b, where: b .> a)
    #elseif FUSED
      let eight = lanes
    #endif
    #if FUSED
      let (c, d) = (eight.lowHalf, eight.highHalf)
      let four = c.replacing(with: d, where: d .> c)
    #else
      let four = lanes
    #endif
    let (e, f) = (four[0] > four[2] ? four[0] : four[2], four[1] > four[3] ? four[1] : four[3])
    return e > f ? e : f
  }

  /// target[j] = max(target[j], values[j] * factors[j] * factor), for all j < count, which need not fill blocks.
  @Sendable @inline(never)
  public static func raise(
    _ values: UnsafePointer<Float>, _ factors: UnsafePointer<Float>, _ factor: Float,
    _ target: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    let scale = TileLanes(repeating: factor)
    var index = 0
    while index &+ width <= count {
      let similarity = load(values, index) * load(factors, index) * scale
      let old = load(target, index)
      store(old.replacing(with: similarity, where: similarity .> old), target, index)
      index &+= width
    }
    while index < count {
      let similarity = values[index] * factors[index] * factor
      if similarity > target[index] { target[index] = similarity }
      index &+= 1
    }
  }
}
