/// The inner loops of a Cholesky factor that grows row by row, see `DeterminantalSearch`.
public struct FactorKernelSet: Sendable {
  public typealias Row = UnsafePointer<Float>
  public typealias WideRow = UnsafePointer<Double>

  /// Rows of a panel, and selections of a block of the factor.
  public static let panelRows = 8

  /// sums[j] = the inner product of `x` and row j of a panel, in float64, as ``TileKernelSet/preciseColumn`` forms
  /// it.
  ///
  /// Columns 0 to 7 of each of the eight rows of a panel lie one after the other, then columns 8 to 15 of each, and
  /// at the end what is left of each.
  public let panelProducts:
    @Sendable (_ x: Row, _ panel: Row, _ columns: Int, _ sums: UnsafeMutablePointer<Double>) -> Void
  /// The same of two rows: those of `other` at sums[8].
  public let panelPairs:
    @Sendable (
      _ x: Row, _ other: Row, _ panel: Row, _ columns: Int, _ sums: UnsafeMutablePointer<Double>
    ) -> Void
  /// Writes entries start + first ..< start + end of a row of the factor and returns what they leave of `residual`.
  ///
  /// Entry j is (kernel[j] - the sum over k < j, in that order, of factor[k] x block[8 k + j]) x inversePivots[j],
  /// j counted from `start` in `kernel`, `inversePivots` and the rows of the block.
  public let advance:
    @Sendable (
      _ factor: UnsafeMutablePointer<Double>, _ block: WideRow, _ start: Int, _ first: Int, _ end: Int,
      _ kernel: WideRow, _ inversePivots: WideRow, _ residual: Double
    ) -> Double

  /// Row `step` of the factor of all candidates at once, [step + 1, stride], and what it leaves of their gains:
  ///
  ///     factor[step, j] = (x . panel[, j] * scales[j] * scale - sum over t < step of weights[t] factor[t, j]) * inversePivot
  ///     gains[j] -= factor[step, j]^2
  ///
  /// `panel` holds features transposed, [columns, stride]; `stride` is a multiple of 32. Bits are those of ``panelProducts``
  /// and ``advance``.
  public let condition:
    @Sendable (
      _ x: WideRow, _ panel: Row, _ columns: Int, _ stride: Int, _ factor: UnsafeMutablePointer<Double>,
      _ step: Int, _ weights: WideRow, _ scales: WideRow, _ scale: Double, _ inversePivot: Double,
      _ gains: UnsafeMutablePointer<Double>
    ) -> Void
  /// The index of the highest value, the first of equals; `count` is a multiple of 8.
  public let highest: @Sendable (_ values: WideRow, _ count: Int) -> Int

  /// Where column `column` of a row of a panel lies.
  public static func slot(row: Int, column: Int, columns: Int) -> Int {
    let whole = columns / 8 * 8
    if column < whole { return column / 8 * 64 + row * 8 + column % 8 }
    return 8 * whole + row * (columns - whole) + column - whole
  }
}
