import Kernels
public import Tensors

/// Scores as a body holds them, for the choice that needs nothing else: the highest ones.
///
/// One row as it is, or several rows and the mean of each column. The same choice as ``Ranking/highest(_:of:among:)``
/// over `attentionScores` of that tensor, in ascending order and without an allocation.
public struct ScoreRow {
  private let bytes: ArraySlice<UInt8>
  private let type: ElementType
  private let rows: Int
  /// Of scores, one per column.
  public let count: Int

  /// - Returns: nil for element types other than F16, BF16 and F32, and for bytes that are no `rows` rows of them.
  public init?(_ bytes: ArraySlice<UInt8>, _ type: ElementType, rows: Int = 1) {
    #if !_endian(little)
      return nil
    #endif
    switch type {
    case .float16, .bfloat16, .float32: break
    default: return nil
    }
    let (rowBytes, remainder) = rows > 0 ? bytes.count.quotientAndRemainder(dividingBy: rows) : (0, 1)
    guard remainder == 0, rowBytes % type.byteWidth == 0 else { return nil }
    self.bytes = bytes
    self.type = type
    self.rows = rows
    count = rowBytes / type.byteWidth
  }

  /// Memory for one choice after another.
  public struct Scratch: Sendable {
    fileprivate var short: [Int16] = []
    fileprivate var long: [Int32] = []
    fileprivate var wide: [Int64] = []
    fileprivate var sums: [Double] = []
    fileprivate var flags: [UInt8] = []
    fileprivate var indices: [Int32] = []

    public init() {}

    fileprivate mutating func takeSums() -> [Double] {
      var taken: [Double] = []
      swap(&taken, &sums)
      return taken
    }
  }

  /// The sums of columns, in float64 and row after row, of as many rows as there are yet.
  public struct ColumnSums: Sendable {
    private var sums: [Double]
    private let type: ElementType
    private let count: Int
    /// So many rows are added up.
    fileprivate private(set) var rows = 0

    fileprivate init(_ row: ScoreRow, memory: consuming [Double]) {
      sums = memory
      type = row.type
      count = row.count
      if sums.count < count {
        sums = [Double](repeating: 0, count: count)
      } else {
        sums.withUnsafeMutableBufferPointer { $0.update(repeating: 0) }
      }
    }

    /// Of `count` columns, before the first row.
    public init(count: Int, _ type: ElementType) {
      sums = [Double](repeating: 0, count: count)
      self.type = type
      self.count = count
    }

    /// Adds the whole rows of `bytes` behind those that were added before.
    ///
    /// - Precondition: `bytes` are those of the last call, and more.
    public mutating func add(_ bytes: ArraySlice<UInt8>) {
      let rowBytes = count * type.byteWidth
      let newRows = rowBytes == 0 ? 0 : bytes.count / rowBytes - rows
      guard newRows > 0 else { return }
      let format =
        switch type {
        case .float32: KernelSet.active.float32
        case .float16: KernelSet.active.float16
        default: KernelSet.active.bfloat16
        }
      let start = rows * rowBytes
      sums.withUnsafeMutableBufferPointer { sums in
        bytes.withUnsafeBytes { source in
          guard let source = source.baseAddress, let sums = sums.baseAddress else { return }
          format.accumulate(source + start, newRows, count, sums, count)
        }
      }
      rows += newRows
    }

    /// Divides by the number of rows, and calls `body` with the means as bytes.
    fileprivate mutating func means(_ body: (UnsafeRawBufferPointer) -> Bool) -> Bool {
      sums.withUnsafeMutableBufferPointer { sums in
        for index in 0..<count { sums[index] /= Double(rows) }
        return body(UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: sums[..<count])))
      }
    }

    fileprivate mutating func takeMemory() -> [Double] {
      var taken: [Double] = []
      swap(&taken, &sums)
      return taken
    }
  }

  /// Calls `body` with the indices of the `kept` highest scores, ascending; of equal scores the lower index stays.
  ///
  /// - Precondition: 0 <= kept <= ``count``.
  /// - Returns: false, without a call, when a score is not finite.
  /// - Complexity: O(n + ``count`` log r), n being the number of elements, and r how many different scores the type can
  ///   express between the lowest and the highest.
  ///
  /// - Parameter sums: of rows that were added up before.
  public func withHighest(
    _ kept: Int, _ scratch: inout Scratch, sums: consuming ColumnSums? = nil,
    _ body: (UnsafeBufferPointer<Int32>) -> Void
  ) -> Bool {
    precondition(kept >= 0 && kept <= count)
    let kernels = KernelSet.active.selection
    if scratch.flags.count < count { scratch.flags = [UInt8](repeating: 0, count: (count + 63) / 64 * 64) }
    if scratch.indices.count < max(kept, 1) { scratch.indices = [Int32](repeating: 0, count: max(kept, 1)) }
    let isFinite =
      if rows > 1 {
        chooseOfMeans(kept, consume sums, &scratch, kernels.highest64)
      } else {
        bytes.withUnsafeBytes { source in
          switch type {
          case .float32:
            choose(
              kept, source, 0x7f80_0000, &scratch.long, &scratch.flags, &scratch.indices, kernels.highest32)
          case .float16:
            choose(kept, source, 0x7c00, &scratch.short, &scratch.flags, &scratch.indices, kernels.highest16)
          default:
            choose(kept, source, 0x7f80, &scratch.short, &scratch.flags, &scratch.indices, kernels.highest16)
          }
        }
      }
    if isFinite {
      scratch.indices.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[..<kept])) }
    }
    return isFinite
  }

  /// Of columns, by sums in float64: no sum of so few float32 numbers overflows, so one is finite exactly when all
  /// that it is the sum of are.
  private func chooseOfMeans(
    _ kept: Int, _ given: consuming ColumnSums?, _ scratch: inout Scratch,
    _ choice: SelectionKernelSet.Choice<Int64>
  ) -> Bool {
    let isGiven = given != nil
    var sums = (consume given) ?? ColumnSums(self, memory: scratch.takeSums())
    sums.add(bytes)
    precondition(sums.rows == rows, "sums are those of this tensor")
    let isFinite = sums.means { means in
      choose(
        kept, means, 0x7ff0_0000_0000_0000, &scratch.wide, &scratch.flags, &scratch.indices, choice)
    }
    if !isGiven { scratch.sums = sums.takeMemory() }
    return isFinite
  }

  @inline(__always)
  private func choose<Key: FixedWidthInteger & SignedInteger>(
    _ kept: Int, _ source: UnsafeRawBufferPointer, _ exponent: Key, _ keys: inout [Key],
    _ flags: inout [UInt8],
    _ indices: inout [Int32], _ choice: SelectionKernelSet.Choice<Key>
  ) -> Bool {
    if keys.count < count { keys = [Key](repeating: 0, count: count) }
    guard let source = source.baseAddress else { return true }
    return keys.withUnsafeMutableBufferPointer { keys in
      flags.withUnsafeMutableBufferPointer { flags in
        indices.withUnsafeMutableBufferPointer { indices in
          guard let keys = keys.baseAddress, let flags = flags.baseAddress, let indices = indices.baseAddress
          else { return true }
          return choice(source, count, exponent, kept, keys, flags, indices)
        }
      }
    }
  }
}
