/// Inner loops over rows of one format of floats as tensors hold them, at any alignment.
public struct FormatKernels: Sendable {
  /// Widens `count` elements to float32.
  public let widen:
    @Sendable (_ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int) -> Void
  /// Widens `count` elements and returns the sum of their squares, the bits of `preciseDot` of the result with
  /// itself: finite exactly when every element is.
  public let measure:
    @Sendable (_ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int) -> Double
  /// ``measure`` of four rows of `count` elements that lie one after the other.
  public let measureFour:
    @Sendable (_ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int)
      -> SIMD4<Double>
  /// ``measure`` of four rows of `count` elements that lie one after the other and, in the same pass, their inner products
  /// with `direction` in float64: the bits of ``KernelSet/measuredDot``, squares at `sums` and products at sums[4].
  ///
  /// `room` has room for the four rows in float32.
  public let measureWith:
    @Sendable (
      _ direction: UnsafePointer<Double>, _ source: UnsafeRawPointer, _ room: UnsafeMutablePointer<Float>,
      _ count: Int, _ sums: UnsafeMutablePointer<Double>
    ) -> Void
  /// Whether the processor widens this format as fast as it reads it, so that ``column`` and ``tile`` need no copy in
  /// float32.
  public let isDirect: Bool
  /// sums[i] += Double(row 0 [i]), then that of row 1 and so on; rows lie `stride` elements apart.
  public let accumulate:
    @Sendable (
      _ source: UnsafeRawPointer, _ rows: Int, _ stride: Int, _ sums: UnsafeMutablePointer<Double>,
      _ count: Int
    ) -> Void

  /// sums[j] = the inner product of a and b_j, in float32 and within ``KernelSet/tolerance(columns:)``.
  public let column:
    @Sendable (
      _ a: UnsafeRawPointer, _ b0: UnsafeRawPointer, _ b1: UnsafeRawPointer, _ b2: UnsafeRawPointer,
      _ b3: UnsafeRawPointer, _ count: Int, _ sums: UnsafeMutablePointer<Float>
    ) -> Void
  /// sums[4 j + i] = the inner product of a_i and b_j, likewise.
  public let tile:
    @Sendable (
      _ a0: UnsafeRawPointer, _ a1: UnsafeRawPointer, _ a2: UnsafeRawPointer, _ a3: UnsafeRawPointer,
      _ b0: UnsafeRawPointer, _ b1: UnsafeRawPointer, _ b2: UnsafeRawPointer, _ b3: UnsafeRawPointer,
      _ count: Int, _ sums: UnsafeMutablePointer<Float>
    ) -> Void

  /// The inner product of two rows, likewise.
  public let product: @Sendable (_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Float
}

extension KernelSet {
  /// sums[i] += Double(row[i]).
  public func accumulate(_ row: Row, _ sums: UnsafeMutablePointer<Double>, _ count: Int) {
    float32.accumulate(row, 1, count, sums, count)
  }

  /// The inner products of one row with four others, in float32.
  public func column(_ a: Row, _ b0: Row, _ b1: Row, _ b2: Row, _ b3: Row, _ count: Int) -> SIMD4<Float> {
    var sums = SIMD4<Float>.zero
    withUnsafeMutableBytes(of: &sums) { bytes in
      bytes.withMemoryRebound(to: Float.self) { sums in
        if let into = sums.baseAddress { float32.column(a, b0, b1, b2, b3, count, into) }
      }
    }
    return sums
  }
}
