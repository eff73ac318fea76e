/// The inner loops in float64 that take four rows and four others at a time.
public struct TileKernelSet: Sendable {
  public typealias Row = UnsafePointer<Float>

  /// sums[4 j + i] = the inner product of a_i and b_j, in float64. Bits depend neither on the level nor on which rows share a tile.
  public let preciseTile:
    @Sendable (
      _ a0: Row, _ a1: Row, _ a2: Row, _ a3: Row, _ b0: Row, _ b1: Row, _ b2: Row, _ b3: Row, _ count: Int,
      _ sums: UnsafeMutablePointer<Double>
    ) -> Void
  /// One column of `preciseTile`, to the bit: sums[i] = the inner product of a_i and b.
  public let preciseColumn:
    @Sendable (
      _ a0: Row, _ a1: Row, _ a2: Row, _ a3: Row, _ b: Row, _ count: Int, _ sums: UnsafeMutablePointer<Double>
    ) -> Void
}
