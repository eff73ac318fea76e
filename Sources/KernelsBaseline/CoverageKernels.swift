/// What a search for coverage does to all rows at once, compiled once per processor level as `SIMDKernels` is.
///
/// Bits are the same at every level: elements are computed by single operations, each rounded, and sums have as many
/// lanes, whatever the registers hold.
public enum CoverageKernels {
  private typealias Lanes = SIMD16<Float>
  private typealias Wide = SIMD8<Double>
  private typealias WideWords = SIMD8<Int64>
  private static let width = Lanes.scalarCount

  // MARK: Gains

  /// The sum of shares[r] max(weights[r] - covered[r], 0) over r < count, and how far the errors of weights can move it:
  /// the sum of shares[r] margin[r], margin = absolute + relative (weights + covered), where the difference is not below
  /// -margin.
  @Sendable @inline(never)
  public static func gain(
    _ weights: UnsafePointer<Float>, _ covered: UnsafePointer<Float>, _ shares: UnsafePointer<Float>,
    _ count: Int, _ absolute: Float, _ relative: Float
  ) -> SIMD2<Float> {
    var gains = Lanes.zero
    var errors = Lanes.zero
    var index = 0
    while index &+ width <= count {
      add(
        load(weights, index), load(covered, index), load(shares, index), absolute, relative, &gains, &errors)
      index &+= width
    }
    if index < count {
      let rest = count &- index
      add(
        loadPart(weights, index, rest), loadPart(covered, index, rest), loadPart(shares, index, rest),
        absolute,
        relative, &gains, &errors)
    }
    return SIMD2(total(gains), total(errors))
  }

  @inline(__always)
  private static func add(
    _ weight: Lanes, _ covered: Lanes, _ share: Lanes, _ absolute: Float, _ relative: Float,
    _ gains: inout Lanes, _ errors: inout Lanes
  ) {
    let difference = weight - covered
    let margin = Lanes(repeating: absolute) + Lanes(repeating: relative) * (weight + covered)
    gains += (share * difference).replacing(with: 0, where: difference .< Lanes.zero)
    errors += (share * margin).replacing(with: 0, where: difference + margin .< Lanes.zero)
  }

  /// covered[r] = max(covered[r], weights[r]) for all r < count.
  @Sendable @inline(never)
  public static func cover(
    _ covered: UnsafeMutablePointer<Float>, _ weights: UnsafePointer<Float>, _ count: Int
  ) {
    var index = 0
    while index &+ width <= count {
      let (old, new) = (load(covered, index), load(weights, index))
      store(old.replacing(with: new, where: new .> old), covered, index)
      index &+= width
    }
    while index < count {
      if weights[index] > covered[index] { covered[index] = weights[index] }
      index &+= 1
    }
  }

  // MARK: Weights

  /// values[j] = values[j] (factors[j] factor) for all j < count.
  @Sendable @inline(never)
  public static func scale(
    _ values: UnsafeMutablePointer<Float>, _ factors: UnsafePointer<Float>, _ factor: Float, _ count: Int
  ) {
    let own = Lanes(repeating: factor)
    var index = 0
    while index &+ width <= count {
      store(load(values, index) * (load(factors, index) * own), values, index)
      index &+= width
    }
    while index < count {
      values[index] *= factors[index] * factor
      index &+= 1
    }
  }

  /// target[j] = e^((products[j] factors[j] factor - 1) inverse), and the sum of these in float64; e^x is within three
  /// units in the last place, and 0 for x < -87.
  @Sendable @inline(never)
  public static func powers(
    _ products: UnsafePointer<Float>, _ factors: UnsafePointer<Float>, _ factor: Float, _ inverse: Float,
    _ target: UnsafeMutablePointer<Float>, _ count: Int
  ) -> Double {
    var low = Wide.zero
    var high = Wide.zero
    let own = Lanes(repeating: factor)
    let one = Lanes(repeating: 1)
    let steepness = Lanes(repeating: inverse)
    var index = 0
    while index &+ width <= count {
      let similarity = load(products, index) * (load(factors, index) * own)
      let power = NetworkKernels.exponential((similarity - one) * steepness)
      store(power, target, index)
      low += Wide(widening: power.lowHalf)
      high += Wide(widening: power.highHalf)
      index &+= width
    }
    var sum = total(low + high)
    if index < count {
      let rest = count &- index
      let similarity = loadPart(products, index, rest) * (loadPart(factors, index, rest) * own)
      let power = NetworkKernels.exponential((similarity - one) * steepness)
      for lane in 0..<rest {
        target[index &+ lane] = power[lane]
        sum += Double(power[lane])
      }
    }
    return sum
  }

  /// values[i] = e^((values[i] - top) / temperature) for all i < count, in float64, for quotients up to 1.
  ///
  /// Each is computed as `exponential` of PruningNumerics computes it, to the bit, eight at a time.
  @Sendable @inline(never)
  public static func widePowers(
    _ values: UnsafeMutablePointer<Double>, _ count: Int, _ top: Double, _ temperature: Double
  ) {
    let raw = UnsafeMutableRawPointer(values)
    let (tops, temperatures) = (Wide(repeating: top), Wide(repeating: temperature))
    var index = 0
    while index &+ 8 <= count {
      let x = (raw.loadUnaligned(fromByteOffset: 8 &* index, as: Wide.self) - tops) / temperatures
      raw.storeBytes(of: exponential(x), toByteOffset: 8 &* index, as: Wide.self)
      index &+= 8
    }
    guard index < count else { return }
    var rest = Wide(repeating: top)
    for lane in 0..<(count &- index) { rest[lane] = values[index &+ lane] }
    let power = exponential((rest - tops) / temperatures)
    for lane in 0..<(count &- index) { values[index &+ lane] = power[lane] }
  }

  /// The steps of `exponential` of PruningNumerics, without those for large x.
  @inline(__always)
  private static func exponential(_ x: Wide) -> Wide {
    // Adding 1.5 x 2^52 rounds to an integer, as above.
    let shift = Wide(repeating: 6_755_399_441_055_744)
    let shifted = x * Wide(repeating: 1.4426950408889634) + shift
    let n = shifted - shift
    let upper = x - n * Wide(repeating: Double(bitPattern: 0x3fe6_2e42_fee0_0000))
    let lower = n * Wide(repeating: Double(bitPattern: 0x3dea_39ef_3579_3c76))
    let r = upper - lower
    let lost = (upper - r) - lower
    var tail = Wide(repeating: 1 / 87_178_291_200)
    tail = tail * r + Wide(repeating: 1 / 6_227_020_800)
    tail = tail * r + Wide(repeating: 1 / 479_001_600)
    tail = tail * r + Wide(repeating: 1 / 39_916_800)
    tail = tail * r + Wide(repeating: 1 / 3_628_800)
    tail = tail * r + Wide(repeating: 1 / 362_880)
    tail = tail * r + Wide(repeating: 1 / 40_320)
    tail = tail * r + Wide(repeating: 1 / 5040)
    tail = tail * r + Wide(repeating: 1 / 720)
    tail = tail * r + Wide(repeating: 1 / 120)
    tail = tail * r + Wide(repeating: 1 / 24)
    tail = tail * r + Wide(repeating: 1 / 6)
    tail = tail * r + Wide(repeating: 0.5)
    let significand = Wide(repeating: 1) + (r + (lost + r * r * tail))
    // Two factors where one is no normal number: the result is rounded once.
    let exponent = unsafeBitCast(shifted, to: WideWords.self) &- unsafeBitCast(shift, to: WideWords.self)
    let isSmall = n .< Wide(repeating: -1000)
    let first = exponent.replacing(with: exponent &+ 1000, where: isSmall)
    let power = unsafeBitCast((first &+ WideWords(repeating: 1023)) &<< 52, to: Wide.self)
    let second = Wide(repeating: 1).replacing(with: Wide(repeating: 0x1p-1000), where: isSmall)
    return (significand * power * second)
      .replacing(with: Wide.zero, where: x .< Wide(repeating: -745.1332191019412))
  }
}
