import Kernels

/// Columns of one float32 number per candidate, each padded to whole blocks for ``SearchKernelSet``.
///
/// The only owner of its memory, which never moves: kernels are handed addresses. A class, because it is never copied.
public final class FloatColumns {
  public let count: Int
  /// From one column to the next: `count`, padded.
  public let stride: Int
  public let base: UnsafeMutablePointer<Float>

  /// What is in the columns is anything.
  public init(_ columns: Int, of count: Int) {
    self.count = count
    stride = max(1, (count + SearchKernelSet.block - 1) / SearchKernelSet.block) * SearchKernelSet.block
    base = .allocate(capacity: columns * stride)
  }

  deinit { base.deallocate() }

  public func column(_ index: Int) -> UnsafeMutablePointer<Float> { base + index * stride }

  /// Fills a column, and what is behind its last element.
  public func fill(_ column: Int, with value: Float) {
    self.column(column).update(repeating: value, count: stride)
  }

  /// Fills what is behind the last element of a column.
  public func fillPadding(_ column: Int, with value: Float) {
    (self.column(column) + count).update(repeating: value, count: stride - count)
  }

  public subscript(index: Int) -> Float {
    @inline(__always) get { base[index] }
    @inline(__always) set { base[index] = newValue }
  }
}
