import KernelsBaseline

/// Inner loops over rows of one format of floats as tensors hold them, at any alignment.
public struct FormatKernels: Sendable {
  /// Widens `count` elements to binary32.
  public let widen:
    @Sendable (_ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int) -> Void
  /// Widens `count` elements and returns the sum of their squares, the bits of `preciseDot` of the result with
  /// itself: finite exactly when every element is.
  public let measure:
    @Sendable (_ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int) -> Double
  /// sums[i] += Double(row 0 [i]), then that of row 1 and so on; rows lie `stride` elements apart.
  public let accumulate:
    @Sendable (
      _ source: UnsafeRawPointer, _ rows: Int, _ stride: Int, _ sums: UnsafeMutablePointer<Double>,
      _ count: Int
    ) -> Void

  /// The obvious loops.
  static func reference<Format: FloatFormat>(_: Format.Type) -> FormatKernels {
    FormatKernels(
      widen: { source, target, count in
        for index in 0..<count { target[index] = Format.one(source + index * Format.byteWidth) }
      },
      measure: { source, target, count in
        for index in 0..<count { target[index] = Format.one(source + index * Format.byteWidth) }
        return ReferenceKernels.dot(target, target, count)
      },
      accumulate: { source, rows, stride, sums, count in
        for row in 0..<rows {
          for index in 0..<count {
            sums[index] += Double(Format.one(source + (row * stride + index) * Format.byteWidth))
          }
        }
      })
  }
}

extension KernelSet {
  /// sums[i] += Double(row[i]).
  public func accumulate(_ row: Row, _ sums: UnsafeMutablePointer<Double>, _ count: Int) {
    float32.accumulate(row, 1, count, sums, count)
  }
}
