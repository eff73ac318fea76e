import Kernels
import Tensors

/// Rows of features [count, columns] where they lie: numbers of a ``Matrix``, or the bytes of a tensor.
///
/// Half-precision features stay as they came where the processor widens them on the way into a register. That saves
/// writing and reading twice as many bytes, which is what comparing thousands of wide rows costs most.
struct FeatureRows: Sendable {
  private enum Storage: Sendable {
    case floats([Float])
    case bytes(ArraySlice<UInt8>)
  }

  let count: Int
  let columns: Int
  /// The inner loops over these rows.
  let format: FormatKernels
  /// From one row to the next, in bytes.
  let stride: Int
  private let storage: Storage

  init(_ matrix: Matrix, _ kernels: KernelSet) {
    count = matrix.rows
    columns = matrix.columns
    format = kernels.float32
    stride = 4 * columns
    storage = .floats(matrix.values)
  }

  /// The rows of a tensor without a copy; nil where its elements must be converted first.
  ///
  /// - Precondition: the tensor holds whole rows of so many columns.
  init?(_ tensor: Tensor, columns: Int) {
    guard let format = tensor.format, format.isDirect else { return nil }
    count = tensor.elementCount / columns
    self.columns = columns
    self.format = format
    stride = columns * tensor.elementType.byteWidth
    storage = .bytes(tensor.bytes)
  }

  /// The address of the first row, for as long as `body` runs; nil where there is none.
  @inline(__always)
  func withBase<Result>(_ body: (UnsafeRawPointer) -> Result) -> Result? {
    switch storage {
    case .floats(let floats): floats.withUnsafeBytes { $0.baseAddress.map(body) }
    case .bytes(let bytes): bytes.withUnsafeBytes { $0.baseAddress.map(body) }
    }
  }

  /// Four rows in binary32, for as long as `body` runs; those of a matrix where they lie.
  func withFloats<Result>(
    of rows: SIMD4<Int>,
    _ body: (KernelSet.Row, KernelSet.Row, KernelSet.Row, KernelSet.Row) -> Result
  ) -> Result? {
    switch storage {
    case .floats(let floats):
      return floats.withUnsafeBufferPointer { buffer in
        buffer.baseAddress.map { base in
          body(
            base + rows[0] * columns, base + rows[1] * columns, base + rows[2] * columns,
            base + rows[3] * columns)
        }
      }
    case .bytes(let bytes):
      return bytes.withUnsafeBytes { source in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 4 * columns) { target in
          guard let from = source.baseAddress, let into = target.baseAddress else { return nil }
          for lane in 0..<4 {
            _ = format.measure(from + rows[lane] * stride, into + lane * columns, columns)
          }
          return body(into, into + columns, into + 2 * columns, into + 3 * columns)
        }
      }
    }
  }

  /// A row in binary32.
  func row(_ index: Int) -> ArraySlice<Float> { matrix(of: [index]).row(0) }

  /// Rows in binary32; all of them where none are named.
  func matrix(of rows: [Int]? = nil) -> Matrix {
    switch storage {
    case .floats(let floats):
      let all = Matrix(rows: count, columns: columns, values: floats)
      return rows.map(all.gathered) ?? all
    case .bytes(let bytes):
      let rows = rows ?? Array(0..<count)
      let values = [Float](unsafeUninitializedCapacity: rows.count * columns) { target, written in
        written = rows.count * columns
        bytes.withUnsafeBytes { source in
          guard let from = source.baseAddress, let into = target.baseAddress else { return }
          for (place, row) in rows.enumerated() {
            _ = format.measure(from + row * stride, into + place * columns, columns)
          }
        }
      }
      return Matrix(rows: rows.count, columns: columns, values: values)
    }
  }
}
