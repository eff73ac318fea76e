public import Kernels
public import Tensors

/// Rows of features [count, columns] with their lengths, read where they lie and widened a row at a time.
///
/// For searches that look at few rows: a copy of all in float32 would be the dearest thing they do, because fresh
/// memory costs more than reading it.
public struct MeasuredRows: Sendable {
  /// Euclidean lengths in float64 [count].
  public let norms: [Double]

  private let source: FeatureRows
  private let kernels: KernelSet

  public init(_ matrix: Matrix, kernels: KernelSet = .active) {
    self.init(FeatureRows(matrix, kernels), norms: matrix.norms(kernels), kernels)
  }

  private init(_ source: FeatureRows, norms: [Double], _ kernels: KernelSet) {
    self.source = source
    self.norms = norms
    self.kernels = kernels
  }

  public var count: Int { source.count }
  public var columns: Int { source.columns }

  /// A tensor read as [rows, columns], and on the way the inner product of every row with `direction` in float64.
  ///
  /// Rows with an element that is not finite have a norm that is not.
  /// - Precondition: columns >= 1, the tensor holds whole rows of that many, and so many numbers are in `direction`.
  /// - Complexity: O(rows x columns): one pass over the bytes, or two where elements are converted one by one.
  public static func reading(
    _ tensor: Tensor, columns: Int, comparedWith direction: [Double]?
  ) -> (rows: MeasuredRows, products: [Double]) {
    let kernels = KernelSet.active
    let source =
      FeatureRows(tensor, columns: columns) ?? FeatureRows(Matrix(tensor, columns: columns), kernels)
    let count = tensor.elementCount / columns
    guard let direction else {
      let norms = tensor.squares(columns: columns).map { $0.squareRoot() }
      return (MeasuredRows(source, norms: norms, kernels), [])
    }
    var sums = [Double](repeating: 0, count: 8 * ((count + 3) / 4))
    source.withBase { base in
      direction.withUnsafeBufferPointer { direction in
        sums.withUnsafeMutableBufferPointer { sums in
          guard let direction = direction.baseAddress, let sums = sums.baseAddress else { return }
          source.measure(base, with: direction, kernels, sums)
        }
      }
    }
    let slots = (0..<count).map { 8 * ($0 / 4) + $0 % 4 }
    return (
      MeasuredRows(source, norms: slots.map { sums[$0].squareRoot() }, kernels), slots.map { sums[$0 + 4] }
    )
  }

  /// Calls `body` with what reads rows as long as it runs.
  public func withReader<Result>(_ body: (Reader) -> Result) -> Result {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: max(2 * Reader.waysPerSlot * columns, 1)) {
      room in
      withUnsafeTemporaryAllocation(of: Int.self, capacity: 2 * Reader.waysPerSlot) { held in
        held.initialize(repeating: -1)
        return norms.withUnsafeBufferPointer { norms in
          func run(_ base: UnsafeRawPointer?) -> Result {
            body(Reader(self, base, room.baseAddress, held.baseAddress, norms.baseAddress))
          }
          return source.withBase(run) ?? run(nil)
        }
      }
    }
  }

  /// What reads and compares rows while their bytes stay where they are.
  public struct Reader {
    /// Rows of such lengths are compared in float32: no product of theirs overflows, and what vanishes is far below
    /// the tolerance.
    private static let ordinaryNorms = 0x1p-30...0x1p30

    /// How many rows are held of those asked for in one slot.
    fileprivate static let waysPerSlot = 4

    private let base: UnsafeRawPointer?
    private let rowBytes: Int
    private let columns: Int
    private let room: UnsafeMutablePointer<Float>?
    /// Which rows the room holds, or -1: who is asked for again soon is not widened again.
    private let held: UnsafeMutablePointer<Int>?
    private let norms: UnsafePointer<Double>?
    private let product: @Sendable (_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Float
    private let preciseDot:
      @Sendable (_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Double
    private let widen:
      @Sendable (_ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int) -> Void
    /// Whether rows are aligned and float32, and are read where they lie.
    private let isPlain: Bool

    fileprivate init(
      _ rows: MeasuredRows, _ base: UnsafeRawPointer?, _ room: UnsafeMutablePointer<Float>?,
      _ held: UnsafeMutablePointer<Int>?, _ norms: UnsafePointer<Double>?
    ) {
      self.base = base
      columns = rows.columns
      rowBytes = rows.source.stride
      self.room = room
      self.held = held
      self.norms = norms
      product = rows.source.format.product
      preciseDot = rows.kernels.preciseDot
      let isAligned = UInt(bitPattern: base).isMultiple(of: UInt(MemoryLayout<Float>.alignment))
      widen = rows.source.format.widen
      isPlain = rowBytes == 4 * columns && isAligned
    }

    /// Where a row is widened to.
    public enum Place: Int { case first, second }

    /// A row as float32; valid until another is asked for in the same place.
    public func row(_ index: Int, in slot: Place = .first) -> UnsafePointer<Float> {
      guard let base, let room, let held else {
        preconditionFailure("a row is asked for of those that are there")
      }
      let bytes = base + index * rowBytes
      if isPlain { return bytes.assumingMemoryBound(to: Float.self) }
      let way = Self.waysPerSlot * slot.rawValue + index % Self.waysPerSlot
      let into = room + way * columns
      if held[way] != index {
        widen(bytes, into, columns)
        held[way] = index
      }
      return UnsafePointer(into)
    }

    /// The cosine of two rows that are not zero, within `KernelSet.tolerance`.
    public func cosine(_ a: Int, _ b: Int) -> Double {
      guard let base, let norms, Self.ordinaryNorms.contains(norms[a]), Self.ordinaryNorms.contains(norms[b])
      else {
        return preciseCosine(a, b)
      }
      return Double(product(base + a * rowBytes, base + b * rowBytes, columns)) / (norms[a] * norms[b])
    }

    /// The cosine of two rows that are not zero, in float64.
    public func preciseCosine(_ a: Int, _ b: Int) -> Double {
      guard let norms else { preconditionFailure("rows are compared of those that are there") }
      return preciseDot(row(a), row(b, in: .second), columns) / (norms[a] * norms[b])
    }
  }
}

extension FeatureRows {
  /// Of each four rows the squares of their lengths, then their products with a direction: eight numbers.
  fileprivate func measure(
    _ base: UnsafeRawPointer, with direction: UnsafePointer<Double>, _ kernels: KernelSet,
    _ sums: UnsafeMutablePointer<Double>
  ) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 4 * columns) { room in
      guard let room = room.baseAddress else { return }
      for row in Swift.stride(from: 0, to: count, by: 4) {
        let first = base + row * stride
        if row + 4 <= count {
          format.measureWith(direction, first, room, columns, sums + 2 * row)
        } else {
          for rest in 0..<(count - row) {
            format.widen(first + rest * stride, room, columns)
            let both = kernels.measuredDot(room, direction, columns)
            sums[2 * row + rest] = both[0]
            sums[2 * row + rest + 4] = both[1]
          }
        }
      }
    }
  }
}
