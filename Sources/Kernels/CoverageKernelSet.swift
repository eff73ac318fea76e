/// What a search for coverage does to all rows at once; the same bits at every level.
public struct CoverageKernelSet: Sendable {
  public typealias Row = UnsafePointer<Float>

  /// The sum of shares[r] max(weights[r] - covered[r], 0) over r < count, and how far the errors of weights can move it:
  /// the sum of shares[r] margin[r], margin = absolute + relative (weights + covered), where the difference is not below
  /// -margin.
  public let gain:
    @Sendable (
      _ weights: Row, _ covered: Row, _ shares: Row, _ count: Int, _ absolute: Float, _ relative: Float
    ) -> SIMD2<Float>
  /// covered[r] = max(covered[r], weights[r]) for all r < count.
  public let cover: @Sendable (_ covered: UnsafeMutablePointer<Float>, _ weights: Row, _ count: Int) -> Void
  /// values[j] = values[j] (factors[j] factor) for all j < count.
  public let scale:
    @Sendable (_ values: UnsafeMutablePointer<Float>, _ factors: Row, _ factor: Float, _ count: Int) -> Void
  /// target[j] = e^((products[j] factors[j] factor - 1) inverse) for all j < count, and the sum of these in float64.
  ///
  /// The power is within three units in the last place, and 0 for exponents below -87.
  public let powers:
    @Sendable (
      _ products: Row, _ factors: Row, _ factor: Float, _ inverse: Float,
      _ target: UnsafeMutablePointer<Float>, _ count: Int
    ) -> Double
  /// values[i] = e^((values[i] - top) / temperature) for all i < count, in float64, for quotients up to 1.
  public let widePowers:
    @Sendable (_ values: UnsafeMutablePointer<Double>, _ count: Int, _ top: Double, _ temperature: Double)
      -> Void
}
