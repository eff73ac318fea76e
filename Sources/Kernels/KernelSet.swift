/// The arithmetic inner loops, as one table: the seam where a processor-specific set can replace another.
///
/// A set may differ from another in the last bits. No choice of tokens depends on those: whoever compares
/// float32 results closer than ``tolerance(columns:)`` decides by `preciseDot` (see `FarthestPointSearch`).
public struct KernelSet: Sendable {
  public typealias Row = UnsafePointer<Float>

  public let name: String
  /// The inner product of two rows of `count` elements, in float32.
  public let dot: @Sendable (_ a: Row, _ b: Row, _ count: Int) -> Float
  /// The inner product of two rows, every product and sum in float64.
  public let preciseDot: @Sendable (_ a: Row, _ b: Row, _ count: Int) -> Double
  /// `preciseDot` against a row that was widened before.
  public let widenedDot: @Sendable (_ a: Row, _ b: UnsafePointer<Double>, _ count: Int) -> Double
  /// `preciseDot` of a row with itself, and `widenedDot` of it with another, in one pass.
  public let measuredDot: @Sendable (_ a: Row, _ b: UnsafePointer<Double>, _ count: Int) -> SIMD2<Double>
  /// The sums of magnitudes of four rows, in float64: eight running sums each that take elements in turn.
  public let absoluteSums: @Sendable (_ a: Row, _ b: Row, _ c: Row, _ d: Row, _ count: Int) -> SIMD4<Double>
  /// target[i] = Float(Double(source[i]) * factor).
  public let scale:
    @Sendable (_ source: Row, _ factor: Double, _ target: UnsafeMutablePointer<Float>, _ count: Int) -> Void
  /// Four rows with four others at a time.
  public let tiles: TileKernelSet
  /// One row with eight others at a time, and rows of a Cholesky factor.
  public let factors: FactorKernelSet
  /// What greedy searches do to all candidates at once.
  public let search: SearchKernelSet
  /// What a search for coverage does to all rows at once.
  public let coverage: CoverageKernelSet

  /// Widens binary16 (bfloat16) patterns to float32 and returns how many it did: all but fewer than sixteen.
  public let widenFloat16,
    widenBFloat16:
      @Sendable (_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, _ count: Int) -> Int

  /// Rows of tensors, by their format.
  public let float32, float16, bfloat16: FormatKernels

  /// How many rows of the right side of a blocked product lie in one panel.
  public let panelWidth: Int
  /// Packs the panels `range` of `count` rows into `target`, which holds ``packedCount(rows:columns:)`` elements.
  public let pack:
    @Sendable (
      _ rows: Row, _ count: Int, _ columns: Int, _ range: Range<Int>, _ target: UnsafeMutablePointer<Float>
    ) -> Void
  /// target[i * stride + j] = row i of `a` times row j of the `count` packed ones, in float32.
  public let multiply:
    @Sendable (
      _ a: Row, _ rows: Int, _ columns: Int, _ panels: Row, _ count: Int,
      _ target: UnsafeMutablePointer<Float>, _ stride: Int
    ) -> Void
  /// The products of the `count` packed rows with each other, in float32, into `target` [count, stride]: those of
  /// each row of `range` with the rows up to itself, at (i, j) and (j, i).
  ///
  /// Ranges that do not overlap write to different elements, and no element depends on how rows are split. Of columns
  /// that come in several strips, those behind the first are added to what is there (`adding`), and before the last
  /// (`mirroring`) only j <= i is right.
  public let symmetricProducts:
    @Sendable (
      _ rows: Row, _ count: Int, _ columns: Int, _ panels: Row, _ range: Range<Int>,
      _ target: UnsafeMutablePointer<Float>, _ stride: Int, _ adding: Bool, _ mirroring: Bool
    ) -> Void

  /// target[i * targetStride + c] += the sum over k < depth of left[i * leftStride + k] * panel[k * panelStride + c],
  /// in float64 and in the order of k, for all i < rows and c < columns; the same bits at every level.
  public let addWideProducts:
    @Sendable (
      _ left: UnsafePointer<Double>, _ leftStride: Int, _ rows: Int, _ panel: Row, _ panelStride: Int,
      _ depth: Int, _ target: UnsafeMutablePointer<Double>, _ targetStride: Int, _ columns: Int
    ) -> Void

  /// What is computed with single rows of float64 numbers.
  public let wideRows: WideRowKernelSet

  /// What learned networks compute in float32.
  public let networks: NetworkKernelSet

  /// How far `dot` of two rows of length 1 can lie from the exact value, with room to spare.
  ///
  /// Each element was rounded once, each product once, and a lane adds up at most columns / 8 products:
  /// |error| <= (columns / 8 + 16) x 2^-24 x sum |a b|, and the sum is at most 1 (Higham, Accuracy and
  /// Stability of Numerical Algorithms, section 3.1).
  public static func tolerance(columns: Int) -> Float { (Float(columns) / 8 + 16) * 0x1p-24 }
}
