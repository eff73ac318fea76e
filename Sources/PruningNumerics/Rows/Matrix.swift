public import Kernels
public import Tensors

/// A dense, row-major matrix of float32 numbers: [rows, columns].
public struct Matrix: Sendable, Equatable {
  public let rows: Int
  public let columns: Int
  public internal(set) var values: [Float] { didSet { squares = nil } }
  /// The sums of squares of the rows, where they were formed while reading.
  private var squares: [Double]?

  /// - Precondition: `values` holds rows x columns numbers.
  public init(rows: Int, columns: Int, values: [Float]) {
    precondition(values.count == rows * columns)
    self.rows = rows
    self.columns = columns
    self.values = values
    squares = nil
  }

  /// A tensor read as [rows, columns].
  ///
  /// - Precondition: columns >= 1, and the tensor holds whole rows of that many.
  public init(_ tensor: Tensor, columns: Int) {
    let (floats, squares) = tensor.measuredFloats(columns: columns)
    rows = squares.count
    self.columns = columns
    values = floats
    self.squares = squares
  }

  public static func == (a: Matrix, b: Matrix) -> Bool {
    a.rows == b.rows && a.columns == b.columns && a.values == b.values
  }

  /// Whether every element is finite, for a matrix read from a tensor; nil where only a look at all tells.
  public var isFinite: Bool? { squares?.allSatisfy(\.isFinite) }

  public func row(_ index: Int) -> ArraySlice<Float> { values[(index * columns)..<((index + 1) * columns)] }
}

extension Matrix {
  /// Row lengths (Euclidean norms) [rows], accumulated in float64: they neither overflow nor vanish.
  public func norms(_ kernels: KernelSet = .active) -> [Double] {
    if let squares { return squares.map { $0.squareRoot() } }
    return values.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return Array(repeating: 0, count: rows) }
      return (0..<rows).map { row in
        let pointer = base + row * columns
        return kernels.preciseDot(pointer, pointer, columns).squareRoot()
      }
    }
  }

  /// Every row divided by its norm; a zero row stays zero.
  ///
  /// The quotient is formed in float64, so that each element is rounded once whatever its scale.
  public func normalized(norms: [Double], _ kernels: KernelSet = .active) -> Matrix {
    precondition(norms.count == rows)
    let scaled = [Float](unsafeUninitializedCapacity: values.count) { target, count in
      count = values.count
      values.withUnsafeBufferPointer { source in
        guard let from = source.baseAddress, let into = target.baseAddress else { return }
        for row in 0..<rows {
          let inverse = norms[row] > 0 ? 1 / norms[row] : 0
          kernels.scale(from + row * columns, inverse, into + row * columns, columns)
        }
      }
    }
    return Matrix(rows: rows, columns: columns, values: scaled)
  }

  /// The sums of magnitudes of the rows, in float64: eight running sums each that take elements in turn.
  public func absoluteSums(_ kernels: KernelSet = .active) -> [Double] {
    var sums = [Double](repeating: 0, count: rows)
    values.withUnsafeBufferPointer { values in
      guard let base = values.baseAddress else { return }
      for row in stride(from: 0, to: rows, by: 4) {
        func pointer(_ lane: Int) -> KernelSet.Row { base + min(row + lane, rows - 1) * columns }
        let four = kernels.absoluteSums(pointer(0), pointer(1), pointer(2), pointer(3), columns)
        for lane in 0..<min(4, rows - row) { sums[row + lane] = four[lane] }
      }
    }
    return sums
  }
}
