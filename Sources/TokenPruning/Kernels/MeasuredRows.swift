import Kernels
import Tensors

/// Rows of features [count, columns] with their lengths, read where they lie and widened a row at a time.
///
/// For searches that look at few rows: a copy of all in binary32 would be the dearest thing they do, because fresh
/// memory costs more than reading it.
struct MeasuredRows: Sendable {
  /// Euclidean lengths in binary64 [count].
  let norms: [Double]

  private let source: FeatureRows
  private let kernels: KernelSet

  init(_ matrix: Matrix, kernels: KernelSet = .active) {
    self.init(FeatureRows(matrix, kernels), norms: matrix.norms(kernels), kernels)
  }

  private init(_ source: FeatureRows, norms: [Double], _ kernels: KernelSet) {
    self.source = source
    self.norms = norms
    self.kernels = kernels
  }

  var count: Int { source.count }
  var columns: Int { source.columns }

  /// A tensor read as [rows, columns], and on the way the inner product of every row with `direction` in binary64.
  ///
  /// Rows with an element that is not finite have a norm that is not.
  /// - Precondition: columns >= 1, the tensor holds whole rows of so many, and so many numbers are in `direction`.
  /// - Complexity: O(rows x columns): one pass over the bytes, or two where elements are converted one by one.
  static func reading(
    _ tensor: Tensor, columns: Int, comparedWith direction: [Double]?
  ) -> (rows: MeasuredRows, products: [Double]) {
    let kernels = KernelSet.active
    let source =
      FeatureRows(tensor, columns: columns) ?? FeatureRows(Matrix(tensor, columns: columns), kernels)
    let count = tensor.elementCount / columns
    var norms = [Double](repeating: 0, count: count)
    var products = [Double](repeating: 0, count: direction == nil ? 0 : count)
    MeasuredRows(source, norms: norms, kernels).withReader { reader in
      for row in 0..<count {
        let values = reader.row(row)
        guard let direction else {
          norms[row] = kernels.preciseDot(values, values, columns).squareRoot()
          continue
        }
        direction.withUnsafeBufferPointer { direction in
          guard let other = direction.baseAddress else { return }
          let sums = kernels.measuredDot(values, other, columns)
          norms[row] = sums[0].squareRoot()
          products[row] = sums[1]
        }
      }
    }
    return (MeasuredRows(source, norms: norms, kernels), products)
  }

  /// Calls `body` with what reads rows as long as it runs.
  func withReader<Result>(_ body: (Reader) -> Result) -> Result {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: max(2 * columns, 1)) { room in
      norms.withUnsafeBufferPointer { norms in
        func run(_ base: UnsafeRawPointer?) -> Result {
          body(Reader(self, base, room.baseAddress, norms.baseAddress))
        }
        return source.withBase(run) ?? run(nil)
      }
    }
  }

  /// What reads and compares rows while their bytes stay where they are.
  struct Reader {
    private typealias Dot<Number> =
      @Sendable (_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Number

    /// Rows of such lengths are compared in binary32: no product of theirs overflows, and what vanishes is far below
    /// the tolerance.
    private static let ordinaryNorms = 0x1p-30...0x1p30

    private let base: UnsafeRawPointer?
    private let rowBytes: Int
    private let columns: Int
    private let room: UnsafeMutablePointer<Float>?
    private let norms: UnsafePointer<Double>?
    private let dot: Dot<Float>
    private let preciseDot: Dot<Double>
    /// Widens a row; nil where rows are aligned and binary32, and are read where they lie.
    private let widen:
      (@Sendable (_ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int) -> Void)?

    fileprivate init(
      _ rows: MeasuredRows, _ base: UnsafeRawPointer?, _ room: UnsafeMutablePointer<Float>?,
      _ norms: UnsafePointer<Double>?
    ) {
      self.base = base
      columns = rows.columns
      rowBytes = rows.source.stride
      self.room = room
      self.norms = norms
      dot = rows.kernels.dot
      preciseDot = rows.kernels.preciseDot
      let isAligned = UInt(bitPattern: base).isMultiple(of: UInt(MemoryLayout<Float>.alignment))
      widen = rowBytes == 4 * columns && isAligned ? nil : rows.source.format.widen
    }

    /// Where a row is widened to.
    enum Place: Int { case first, second }

    /// A row as binary32; valid until another is asked for in the same place.
    func row(_ index: Int, in place: Place = .first) -> UnsafePointer<Float> {
      guard let base, let room else { preconditionFailure("a row is asked for of those that are there") }
      let bytes = base + index * rowBytes
      guard let widen else { return bytes.assumingMemoryBound(to: Float.self) }
      let into = room + place.rawValue * columns
      widen(bytes, into, columns)
      return UnsafePointer(into)
    }

    /// The cosine of two rows that are not zero, within ``KernelSet/tolerance(columns:)``.
    func cosine(_ a: Int, _ b: Int) -> Double {
      guard let norms, Self.ordinaryNorms.contains(norms[a]), Self.ordinaryNorms.contains(norms[b]) else {
        return preciseCosine(a, b)
      }
      return Double(dot(row(a), row(b, in: .second), columns)) / (norms[a] * norms[b])
    }

    /// The cosine of two rows that are not zero, in binary64.
    func preciseCosine(_ a: Int, _ b: Int) -> Double {
      guard let norms else { preconditionFailure("rows are compared of those that are there") }
      return preciseDot(row(a), row(b, in: .second), columns) / (norms[a] * norms[b])
    }
  }
}
