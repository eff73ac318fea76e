/// What the layers of a network do to rows beside products, compiled once per processor level as `SIMDKernels` is.
///
/// Bits are the same at every level: elements are computed by single operations, each rounded, and sums have sixteen
/// lanes, whatever the registers hold.
public enum NetworkKernels {
  private typealias Lanes = SIMD16<Float>
  private typealias Words = SIMD16<Int32>
  private static let width = Lanes.scalarCount

  // MARK: Layer norm

  /// target = (source - mean) / sqrt(variance + epsilon) gain + bias, in float64 and rounded once: no row of finite
  /// numbers overflows on the way.
  @Sendable @inline(never)
  public static func normalize(
    _ source: UnsafePointer<Float>, _ count: Int, _ epsilon: Double, _ gain: UnsafePointer<Float>,
    _ bias: UnsafePointer<Float>, _ target: UnsafeMutablePointer<Float>
  ) {
    let mean = sum(source, count) { $0 } / Double(count)
    let squares = sum(source, count) { ($0 - mean) * ($0 - mean) }
    let inverse = 1 / (squares / Double(count) + epsilon).squareRoot()
    var index = 0
    while index &+ 8 <= count {
      let lanes = (wide(source, index) - mean) * inverse * wide(gain, index) + wide(bias, index)
      UnsafeMutableRawPointer(target + index)
        .storeBytes(of: SIMD8<Float>(narrowing: lanes), as: SIMD8<Float>.self)
      index &+= 8
    }
    while index < count {
      let value = (Double(source[index]) - mean) * inverse * Double(gain[index]) + Double(bias[index])
      target[index] = Float(value)
      index &+= 1
    }
  }

  @inline(__always)
  private static func wide(_ row: UnsafePointer<Float>, _ index: Int) -> SIMD8<Double> {
    SIMD8<Double>(widening: UnsafeRawPointer(row + index).loadUnaligned(as: SIMD8<Float>.self))
  }

  /// The sum of what `term` makes of the elements: sixteen running sums, halves onto halves, then what is left.
  @inline(__always)
  private static func sum(
    _ row: UnsafePointer<Float>, _ count: Int, _ term: (SIMD8<Double>) -> SIMD8<Double>
  ) -> Double {
    var low = SIMD8<Double>.zero
    var high = SIMD8<Double>.zero
    var index = 0
    while index &+ 16 <= count {
      low += term(wide(row, index))
      high += term(wide(row, index &+ 8))
      index &+= 16
    }
    let eight = low + high
    let four = eight.lowHalf + eight.highHalf
    let two = four.lowHalf + four.highHalf
    var sum = two[0] + two[1]
    while index < count {
      sum += term(SIMD8(repeating: Double(row[index])))[0]
      index &+= 1
    }
    return sum
  }

  // MARK: Activations

  /// values[i] = gelu(values[i] + bias[i]), by the tanh formula (Hendrycks and Gimpel, arXiv 1606.08415, section 2).
  @Sendable @inline(never)
  public static func addGELU(
    _ values: UnsafeMutablePointer<Float>, _ bias: UnsafePointer<Float>, _ count: Int
  ) {
    var index = 0
    while index &+ width <= count {
      store(gelu(load(values, index) + load(bias, index)), values, index)
      index &+= width
    }
    if index < count {
      let rest = count &- index
      storePart(gelu(loadPart(values, index, rest, 0) + loadPart(bias, index, rest, 0)), values, index, rest)
    }
  }

  /// x / 2 (1 + tanh(u)) as x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3).
  @inline(__always)
  private static func gelu(_ x: Lanes) -> Lanes {
    let z = (x + x * x * x * Lanes(repeating: 0.044715)) * Lanes(repeating: 1.595769121605731)
    let power = exponential(unsafeBitCast(unsafeBitCast(z, to: Words.self) | signs, to: Lanes.self))
    let one = Lanes(repeating: 1)
    return x * (one.replacing(with: power, where: z .< Lanes.zero) / (one + power))
  }

  private static var signs: Words { Words(repeating: Int32(bitPattern: 0x8000_0000)) }

  /// The softmax of scale x values, in place.
  ///
  /// A logit that is not finite makes all of the row NaN, so that an overflow cannot go unnoticed.
  @Sendable @inline(never)
  public static func softmax(_ values: UnsafeMutablePointer<Float>, _ count: Int, _ scale: Float) {
    let factors = Lanes(repeating: scale)
    let rest = count & (width &- 1)
    let whole = count &- rest
    var best = Lanes(repeating: -.infinity)
    var index = 0
    while index < whole {
      let logits = load(values, index) * factors
      store(logits, values, index)
      best.replace(with: logits, where: logits .> best)
      index &+= width
    }
    var largest = maximum(best)
    while index < count {
      values[index] *= scale
      if values[index] > largest { largest = values[index] }
      index &+= 1
    }
    let top = Lanes(repeating: largest)
    var sums = Lanes.zero
    index = 0
    while index < whole {
      let power = poisoned(load(values, index) - top)
      store(power, values, index)
      sums += power
      index &+= width
    }
    var sum = total(sums)
    if rest > 0 {
      storePart(poisoned(loadPart(values, whole, rest, largest) - top), values, whole, rest)
      for index in whole..<count { sum += values[index] }
    }
    divide(values, count, by: sum)
  }

  @inline(__always)
  private static func divide(_ values: UnsafeMutablePointer<Float>, _ count: Int, by sum: Float) {
    let sums = Lanes(repeating: sum)
    var index = 0
    while index &+ width <= count {
      store(load(values, index) / sums, values, index)
      index &+= width
    }
    while index < count {
      values[index] /= sum
      index &+= 1
    }
  }

  /// e^x, but NaN for an infinite x.
  @inline(__always)
  private static func poisoned(_ x: Lanes) -> Lanes { exponential(x) + (x - x) }

  /// e^x, for x <= 0 within three units in the last place; 0 below -87, where the results leave the normal numbers.
  ///
  /// x = n ln 2 + r with |r| <= ln(2) / 2 and ln 2 in two parts (W. J. Cody and W. Waite, "Software Manual for the
  /// Elementary Functions", 1980), then the Taylor polynomial of degree 7.
  @inline(__always)
  static func exponential(_ x: SIMD16<Float>) -> SIMD16<Float> {
    // Adding 1.5 x 2^23 rounds to an integer, which is then the lower bits of the sum.
    let shift = Lanes(repeating: 12_582_912)
    let shifted = x * Lanes(repeating: 1.4426950408889634) + shift
    let n = shifted - shift
    let r = x - n * Lanes(repeating: 0.693359375) - n * Lanes(repeating: -2.1219444005469057e-4)
    var sum = Lanes(repeating: 1 / 5040)
    sum = sum * r + Lanes(repeating: 1 / 720)
    sum = sum * r + Lanes(repeating: 1 / 120)
    sum = sum * r + Lanes(repeating: 1 / 24)
    sum = sum * r + Lanes(repeating: 1 / 6)
    sum = sum * r + Lanes(repeating: 0.5)
    sum = sum * r + Lanes(repeating: 1)
    sum = sum * r + Lanes(repeating: 1)
    let exponent = unsafeBitCast(shifted, to: Words.self) &- unsafeBitCast(shift, to: Words.self)
    let power = unsafeBitCast((exponent &+ Words(repeating: 127)) &<< 23, to: Lanes.self)
    return (sum * power).replacing(with: Lanes.zero, where: x .< Lanes(repeating: -87))
  }

  // MARK: Pieces

  @inline(__always)
  private static func storePart(
    _ lanes: Lanes, _ row: UnsafeMutablePointer<Float>, _ index: Int, _ count: Int
  ) {
    for lane in 0..<count { row[index &+ lane] = lanes[lane] }
  }

  @inline(__always)
  private static func maximum(_ lanes: Lanes) -> Float {
    let eight = lanes.lowHalf.replacing(with: lanes.highHalf, where: lanes.highHalf .> lanes.lowHalf)
    let four = eight.lowHalf.replacing(with: eight.highHalf, where: eight.highHalf .> eight.lowHalf)
    let two = four.lowHalf.replacing(with: four.highHalf, where: four.highHalf .> four.lowHalf)
    return two[1] > two[0] ? two[1] : two[0]
  }
}
