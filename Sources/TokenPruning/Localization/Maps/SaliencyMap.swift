/// How salient each block of the 8 x 8 grid over the *original* image is.
public struct SaliencyMap: Sendable, Hashable {
  /// 64 finite numbers, row-major.
  public let values: [Double]

  /// - Precondition: 64 finite values.
  init(values: [Double]) {
    precondition(values.count == BlockRegion.side * BlockRegion.side && values.allSatisfy(\.isFinite))
    self.values = values
  }

  subscript(row row: Int, column column: Int) -> Double { values[row * BlockRegion.side + column] }

  /// Token scores resampled to blocks: the mean over all cells, of all views, weighted by the area each shares
  /// with the block.
  ///
  /// A block that no token covers (cut away by a centre crop) is 0.
  /// - Parameter scores: one finite number per token, [N].
  /// - Precondition: `scores.count == layout.tokenCount`.
  /// - Complexity: O(N + 64).
  init(scores: [Double], layout: TokenLayout) {
    precondition(scores.count == layout.tokenCount)
    let side = BlockRegion.side
    var sums = [Double](repeating: 0, count: side * side)
    var weights = [Double](repeating: 0, count: side * side)
    let blocks = AxisCells(start: 0, end: 1, count: side)
    for view in layout.views where view.rows > 0 && view.columns > 0 {
      let area = view.box.width * view.box.height / Double(view.rows * view.columns)
      guard area > 0 else { continue }
      let columns = Self.overlaps(of: view.columns, from: view.box.x0, to: view.box.x1, with: blocks)
      let rows = Self.overlaps(of: view.rows, from: view.box.y0, to: view.box.y1, with: blocks)
      for (row, vertical) in rows.enumerated() where !vertical.isEmpty {
        var rowSums = [Double](repeating: 0, count: side)
        var rowWeights = [Double](repeating: 0, count: side)
        for (column, horizontal) in columns.enumerated() {
          let score = scores[view.token(row: row, column: column)]
          for (block, width) in horizontal {
            rowSums[block] += score * width
            rowWeights[block] += width
          }
        }
        for (block, height) in vertical {
          for column in 0..<side {
            sums[block * side + column] += rowSums[column] * height
            weights[block * side + column] += rowWeights[column] * height
          }
        }
      }
    }
    values = zip(sums, weights).map { sum, weight in
      let mean = sum / weight
      return weight > 0 && mean.isFinite ? mean : 0
    }
  }

  /// For each cell of a view the blocks it overlaps and by how many block widths.
  private static func overlaps(
    of count: Int, from start: Double, to end: Double, with blocks: AxisCells
  ) -> [[(block: Int, width: Double)]] {
    (0..<count).map { cell in
      let left = start + (end - start) * (Double(cell) / Double(count))
      let right = start + (end - start) * (Double(cell + 1) / Double(count))
      let low = max(left, 0)
      let high = min(right, 1)
      guard low < high else { return [] }
      return blocks.shares(of: low, to: high).map { ($0.cell, $0.share) }
    }
  }
}
