/// What is computed with single rows of float64 numbers; the same bits at every level.
public struct WideRowKernelSet: Sendable {
  public typealias Row = UnsafePointer<Float>
  public typealias WideRow = UnsafePointer<Double>

  /// The square of the distance of a row from a point.
  public let squaredDistance: @Sendable (_ a: Row, _ point: WideRow, _ count: Int) -> Double
  /// sums[j] += (a[j] - point[j])^2 for all j < count.
  public let addSquaredDifferences:
    @Sendable (_ a: Row, _ point: WideRow, _ sums: UnsafeMutablePointer<Double>, _ count: Int) -> Void
  /// The inner products of one row with four.
  public let productsOfFour:
    @Sendable (
      _ a: WideRow, _ b0: WideRow, _ b1: WideRow, _ b2: WideRow, _ b3: WideRow, _ count: Int
    ) -> SIMD4<Double>
  /// The inner product of a row and `v`; and sums[j] += row[j] factor for all j < count.
  public let multiplyAdding:
    @Sendable (
      _ row: WideRow, _ v: WideRow, _ factor: Double, _ sums: UnsafeMutablePointer<Double>, _ count: Int
    ) -> Double
  /// row[j] -= a w[j], then row[j] -= b v[j], for all j < count.
  public let subtractMultiples:
    @Sendable (
      _ row: UnsafeMutablePointer<Double>, _ a: Double, _ w: WideRow, _ b: Double, _ v: WideRow,
      _ count: Int
    ) -> Void
}
