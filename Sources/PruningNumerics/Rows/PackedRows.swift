import Kernels

/// Some rows of a ``CosineSpace``, packed for blocked products: what many other rows are compared with.
///
/// Packing costs as much as reading the rows once, and the comparisons then run at the speed of a product of
/// matrices. Similarities lie within half of ``slack`` of the exact ones.
public struct PackedRows: Sendable {
  public let slack: Float
  public let rowCount: Int
  private let space: CosineSpace
  private let factors: [Float]
  private let panels: [Float]

  /// - Complexity: O(rows x columns).
  public init(_ space: CosineSpace, _ rows: [Int], sharing: WorkSharing) {
    self.space = space
    rowCount = rows.count
    factors = rows.map { space.factors[$0] }
    slack = max(space.slack, 2 * KernelSet.blockedTolerance(columns: space.columns))
    let size = space.kernels.packedCount(rows: rows.count, columns: space.columns)
    panels = [Float](unsafeUninitializedCapacity: size) { room, count in
      count = size
      LargeMemory.prepare(room)
      guard let base = room.baseAddress else { return }
      let target = SharedAddress(base)
      let width = space.kernels.panelWidth
      sharing.forEach(space.kernels.panelCount(rows: rows.count)) { panel in
        guard let target = target.pointer else { return }
        let some = rows[panel * width..<min((panel + 1) * width, rows.count)]
        space.fast.withGathered(some) { gathered in
          space.kernels.pack(
            gathered, some.count, space.columns, 0..<1, target + panel * width * space.columns)
        }
      }
    }
  }

  /// Calls `body` with each of `rows` of the space and its similarities to all packed rows, in their order.
  ///
  /// - Complexity: O(rows x packed rows x columns).
  public func forEachSimilarities(
    of rows: ArraySlice<Int>, _ body: (_ row: Int, _ similarities: UnsafeMutableBufferPointer<Float>) -> Void
  ) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: rows.count * rowCount) { similarities in
      guard let base = similarities.baseAddress else { return }
      panels.withUnsafeBufferPointer { panels in
        space.fast.withGathered(rows) { gathered in
          guard let panels = panels.baseAddress else { return }
          space.kernels.multiply(gathered, rows.count, space.columns, panels, rowCount, base, rowCount)
        }
      }
      for (slot, row) in rows.enumerated() {
        let own = UnsafeMutableBufferPointer(start: base + slot * rowCount, count: rowCount)
        scale(own, by: space.factors[row])
        body(row, own)
      }
    }
  }

  private func scale(_ products: UnsafeMutableBufferPointer<Float>, by factor: Float) {
    factors.withUnsafeBufferPointer { factors in
      for slot in products.indices { products[slot] *= factors[slot] * factor }
    }
  }
}
