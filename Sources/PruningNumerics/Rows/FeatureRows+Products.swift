import Kernels

extension FeatureRows {
  /// The inner products of all pairs of some rows, in float32: [rows, room + rows].
  ///
  /// - Parameters:
  ///   - room: numbers before the products of each row, zero.
  ///   - isStopped: asked for each block of rows; once true, the rest of the result is anything.
  /// - Complexity: O(rows^2 columns / 2).
  func products(
    of rows: [Int], room: Int = 0, _ kernels: KernelSet, sharing: WorkSharing,
    isStopped: @escaping @Sendable () -> Bool
  ) -> [Float] {
    let count = rows.count
    guard count > 0 else { return [] }
    let strip = Strip(rows: count, columns: Self.stripColumns(rows: count, columns: columns), kernels)
    let parts = kernels.symmetricParts(rows: count, parts: max(1, count / 96))
    let width = room + count
    return [Float](unsafeUninitializedCapacity: count * width) { target, written in
      written = count * width
      LargeMemory.prepare(target)
      guard let base = target.baseAddress else { return }
      for row in 0..<count { (base + row * width).initialize(repeating: 0, count: room) }
      let into = SharedAddress(base + room)
      for start in Swift.stride(from: 0, to: columns, by: strip.columns) {
        let range = start..<min(start + strip.columns, columns)
        sharing.forEach(kernels.panelCount(rows: count)) { strip.fill(panel: $0, with: self, rows, range) }
        sharing.forEach(parts.count) { part in
          guard !isStopped(), let into = into.pointer else { return }
          kernels.symmetricProducts(
            strip.rows, count, range.count, strip.panels, parts[part], into, width, start > 0,
            range.upperBound == columns)
        }
      }
    }
  }

  /// How many columns are widened at once.
  ///
  /// A few hundred stay in the second cache, in memory that the next ones take again; fresh pages for all of them cost as
  /// much as half of the products. Results of more rows do not stay there, and each strip reads and writes all of them.
  private static func stripColumns(rows: Int, columns: Int) -> Int {
    rows <= 1024 ? min(columns, 256) : columns
  }
}

/// Some columns of all rows in float32: as rows, and as panels.
private final class Strip: Sendable {
  public let columns: Int
  private let rowCount: Int
  private let kernels: KernelSet
  private let memory: SharedAddress<Float>

  init(rows: Int, columns: Int, _ kernels: KernelSet) {
    rowCount = rows
    self.columns = columns
    self.kernels = kernels
    let size = kernels.packedCount(rows: rows, columns: columns) + rows * columns
    let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: size * MemoryLayout<Float>.stride, alignment: KernelSet.panelAlignment)
    let floats = bytes.bindMemory(to: Float.self)
    LargeMemory.prepare(floats)
    guard let base = floats.baseAddress else { preconditionFailure("there are rows and columns") }
    memory = SharedAddress(base)
  }

  deinit { panels.deallocate() }

  public var panels: UnsafeMutablePointer<Float> {
    guard let base = memory.pointer else { preconditionFailure("memory that was allocated has an address") }
    return base
  }

  public var rows: UnsafeMutablePointer<Float> {
    panels + kernels.packedCount(rows: rowCount, columns: columns)
  }

  /// Widens a panel's rows and packs them; `range` may be shorter than a strip.
  public func fill(panel: Int, with features: FeatureRows, _ chosen: [Int], _ range: Range<Int>) {
    let width = kernels.panelWidth
    features.withBase { base in
      let first = base + features.stride / features.columns * range.lowerBound
      for slot in (panel * width)..<min((panel + 1) * width, rowCount) {
        features.format.widen(
          first + chosen[slot] * features.stride, rows + slot * range.count, range.count)
      }
    }
    kernels.pack(rows, rowCount, range.count, panel..<(panel + 1), panels)
  }
}
