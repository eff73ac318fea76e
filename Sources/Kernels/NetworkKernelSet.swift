/// What learned networks compute in float32; the same bits at every level.
public struct NetworkKernelSet: Sendable {
  public typealias Row = UnsafePointer<Float>

  /// target[i * stride + j] = row i of `a` times row j of the `count` packed ones (``KernelSet/pack``): sums of up to 256
  /// products in ascending order, each product added in one rounding, and those sums added in order.
  public let multiply:
    @Sendable (
      _ a: Row, _ rows: Int, _ columns: Int, _ panels: Row, _ count: Int,
      _ target: UnsafeMutablePointer<Float>, _ stride: Int
    ) -> Void
  /// target = (source - mean) / sqrt(variance + epsilon) gain + bias of one row; computed in float64.
  public let normalize:
    @Sendable (
      _ source: Row, _ count: Int, _ epsilon: Double, _ gain: Row, _ bias: Row,
      _ target: UnsafeMutablePointer<Float>
    ) -> Void
  /// values[i] = gelu(values[i] + bias[i]).
  public let addGELU: @Sendable (_ values: UnsafeMutablePointer<Float>, _ bias: Row, _ count: Int) -> Void
  /// The softmax of scale x values, in place; all NaN where a logit is not finite.
  public let softmax: @Sendable (_ values: UnsafeMutablePointer<Float>, _ count: Int, _ scale: Float) -> Void
}
