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
  }

  /// Calls `body` with the indices of the `kept` highest scores, ascending; of equal scores the lower index stays.
  ///
  /// - Precondition: 0 <= kept <= ``count``.
  /// - Returns: false, without a call, when a score is not finite.
  /// - Complexity: O(n + ``count`` log r), n being the number of elements, and r how many different scores the type can
  ///   express between the lowest and the highest.
  public func withHighest(
    _ kept: Int, _ scratch: inout Scratch, _ body: (UnsafeBufferPointer<Int32>) -> Void
  ) -> Bool {
    precondition(kept >= 0 && kept <= count)
    let kernels = KernelSet.active.selection
    if scratch.flags.count < count { scratch.flags = [UInt8](repeating: 0, count: (count + 63) / 64 * 64) }
    if scratch.indices.count < max(kept, 1) { scratch.indices = [Int32](repeating: 0, count: max(kept, 1)) }
    let isFinite =
      if rows > 1 {
        chooseOfMeans(kept, &scratch, kernels.highest64)
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

  /// Of columns, by sums in binary64: no sum of so few binary32 numbers overflows, so one is finite exactly when all
  /// that it is the sum of are.
  private func chooseOfMeans(
    _ kept: Int, _ scratch: inout Scratch, _ choice: SelectionKernelSet.Choice<Int64>
  ) -> Bool {
    if scratch.sums.count < count { scratch.sums = [Double](repeating: 0, count: count) }
    let format =
      switch type {
      case .float32: KernelSet.active.float32
      case .float16: KernelSet.active.float16
      default: KernelSet.active.bfloat16
      }
    scratch.sums.withUnsafeMutableBufferPointer { sums in
      guard let sums = sums.baseAddress else { return }
      sums.update(repeating: 0, count: count)
      bytes.withUnsafeBytes { source in
        if let source = source.baseAddress { format.accumulate(source, rows, count, sums, count) }
      }
      for index in 0..<count { sums[index] /= Double(rows) }
    }
    return scratch.sums.withUnsafeBytes { sums in
      choose(kept, sums, 0x7ff0_0000_0000_0000, &scratch.wide, &scratch.flags, &scratch.indices, choice)
    }
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
