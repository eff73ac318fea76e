import KernelsBaseline

/// What greedy searches do to all candidates at once; arrays hold a multiple of ``block`` elements.
public struct SearchKernelSet: Sendable {
  public typealias Row = UnsafePointer<Float>

  /// Arrays are padded to a multiple of this many elements.
  public static let block = KernelsBaseline.SearchKernels.block

  /// target[j] = the sum over k < depth of weights[k] * rows[k * stride + j], for all j < count.
  public let combine:
    @Sendable (
      _ weights: Row, _ depth: Int, _ rows: Row, _ stride: Int, _ target: UnsafeMutablePointer<Float>,
      _ count: Int
    ) -> Void
  /// Writes the indices j < count with bounds[j] >= limits[j] - margin, ascending, and returns how many there are.
  public let above:
    @Sendable (
      _ bounds: Row, _ limits: Row, _ margin: Float, _ indices: UnsafeMutablePointer<Int32>, _ count: Int
    ) -> Int
  /// The index of the lowest value, of the highest one, the first of equals.
  public let lowest, highest: @Sendable (_ values: Row, _ count: Int) -> Int
  /// target[j] = max(target[j], values[j] * factors[j] * factor), for all j < count, which need not fill blocks.
  public let raise:
    @Sendable (
      _ values: Row, _ factors: Row, _ factor: Float, _ target: UnsafeMutablePointer<Float>, _ count: Int
    ) -> Void
}
