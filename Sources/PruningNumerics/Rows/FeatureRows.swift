public import Kernels
public import Tensors

/// Rows of features [count, columns] where they lie: numbers of a ``Matrix``, or the bytes of a tensor.
///
/// Half-precision features stay as they came: whoever compares rows widens them on the way into a register, or a row at
/// a time. That saves writing and reading twice as many bytes, which is what comparing thousands of wide rows costs
/// most.
public struct FeatureRows: Sendable {
  private enum Storage: Sendable {
    case floats([Float])
    case bytes(ArraySlice<UInt8>)
  }

  public let count: Int
  public let columns: Int
  /// The inner loops over these rows.
  public let format: FormatKernels
  /// From one row to the next, in bytes.
  public let stride: Int
  private let storage: Storage

  public init(_ matrix: Matrix, _ kernels: KernelSet) {
    count = matrix.rows
    columns = matrix.columns
    format = kernels.float32
    stride = 4 * columns
    storage = .floats(matrix.values)
  }

  /// The rows of a tensor without a copy; nil where its elements are converted one by one.
  ///
  /// - Precondition: the tensor holds whole rows of that many columns.
  public init?(_ tensor: Tensor, columns: Int) {
    guard let format = tensor.format else { return nil }
    count = tensor.elementCount / columns
    self.columns = columns
    self.format = format
    stride = columns * tensor.elementType.byteWidth
    storage = .bytes(tensor.bytes)
  }

  /// The address of the first row, for as long as `body` runs; nil where there is none.
  @inline(__always)
  public func withBase<Result>(_ body: (UnsafeRawPointer) -> Result) -> Result? {
    switch storage {
    case .floats(let floats): floats.withUnsafeBytes { $0.baseAddress.map(body) }
    case .bytes(let bytes): bytes.withUnsafeBytes { $0.baseAddress.map(body) }
    }
  }

  /// Four rows in float32, for as long as `body` runs; those of a matrix where they lie.
  public func withFloats<Result>(
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
    case .bytes:
      return withUnsafeTemporaryAllocation(of: Float.self, capacity: 4 * columns) { target in
        guard let into = target.baseAddress else { return nil }
        gather([rows[0], rows[1], rows[2], rows[3]], into)
        return body(into, into + columns, into + 2 * columns, into + 3 * columns)
      }
    }
  }

  /// Some rows in float32, one after the other, for as long as `body` runs; those of a matrix where they lie if they
  /// lie so already.
  ///
  /// - Complexity: O(rows x columns) where they do not.
  func withGathered(_ rows: ArraySlice<Int>, _ body: (KernelSet.Row) -> Void) {
    guard let first = rows.first else { return }
    if case .floats(let floats) = storage, rows.enumerated().allSatisfy({ $0.element == first + $0.offset }) {
      return floats.withUnsafeBufferPointer { if let base = $0.baseAddress { body(base + first * columns) } }
    }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: rows.count * columns) { room in
      guard let into = room.baseAddress else { return }
      gather(rows, into)
      body(into)
    }
  }

  private func gather(_ rows: ArraySlice<Int>, _ target: UnsafeMutablePointer<Float>) {
    withBase { base in
      for (slot, row) in rows.enumerated() {
        format.widen(base + row * stride, target + slot * columns, columns)
      }
    }
  }

  /// A row in float32.
  public func row(_ index: Int) -> ArraySlice<Float> { matrix(of: [index]).row(0) }

  /// Rows in float32; all of them where none are named.
  public func matrix(of rows: [Int]? = nil) -> Matrix {
    switch storage {
    case .floats(let floats):
      let all = Matrix(rows: count, columns: columns, values: floats)
      return rows.map(all.gathered) ?? all
    case .bytes:
      let rows = rows ?? Array(0..<count)
      let values = [Float](unsafeUninitializedCapacity: rows.count * columns) { target, written in
        written = rows.count * columns
        LargeMemory.prepare(target)
        if let into = target.baseAddress { gather(rows[...], into) }
      }
      return Matrix(rows: rows.count, columns: columns, values: values)
    }
  }
}
