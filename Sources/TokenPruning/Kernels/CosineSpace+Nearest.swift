import Kernels

extension CosineSpace {
  /// How many blocks of rows meet a block of others while that lies in the first caches.
  private static let groupBlocks = 4

  /// For each row the position in `others` of the one most similar to it; the first of equals.
  ///
  /// - Precondition: `others` is not empty.
  /// - Throws: when it is more work than the limit allows.
  /// - Complexity: O(rows x others x columns).
  func mostSimilar(
    to rows: [Int], among others: [Int], sharing: WorkSharing, _ steps: inout StepCounter
  ) throws(PruningError) -> [Int] {
    precondition(!others.isEmpty)
    let left = RowBlocks(rows)
    let right = RowBlocks(others)
    let groups = (left.count + Self.groupBlocks - 1) / Self.groupBlocks
    // In turns of a few groups, so that the limit and the client's patience are asked now and then.
    let perTurn = 16
    var positions: [Int] = []
    positions.reserveCapacity(rows.count)
    for first in stride(from: 0, to: groups, by: perTurn) {
      let count = min(perTurn, groups - first)
      try steps.spend(comparingWith: 4 * Self.groupBlocks * count * others.count, of: self)
      let found = sharing.map(count) { part in
        let group = first + part
        let end = min((group + 1) * Self.groupBlocks, left.count)
        return nearest(left, group * Self.groupBlocks..<end, right)
      }
      for part in found { positions += part }
    }
    return positions
  }

  private func nearest(_ left: RowBlocks, _ group: Range<Int>, _ right: RowBlocks) -> [Int] {
    let stride = 4 * right.count
    // Row by row of the group, the similarities to all others.
    var similarities = [Float](repeating: 0, count: 4 * group.count * stride)
    for b in 0..<right.count {
      for a in group {
        let tile = self.similarities(of: left[a], to: right[b]).columns
        for lane in 0..<4 {
          let start = (4 * (a - group.lowerBound) + lane) * stride + 4 * b
          similarities[start] = tile.0[lane]
          similarities[start + 1] = tile.1[lane]
          similarities[start + 2] = tile.2[lane]
          similarities[start + 3] = tile.3[lane]
        }
      }
    }
    var positions: [Int] = []
    for a in group {
      for lane in left.lanes(of: a) {
        let start = (4 * (a - group.lowerBound) + lane) * stride
        positions.append(
          nearest(to: left[a][lane], right, similarities[start..<(start + right.rowCount)]))
      }
    }
    return positions
  }

  /// The largest of the given fast similarities, where several are near by the exact ones.
  private func nearest(to row: Int, _ others: RowBlocks, _ similarities: ArraySlice<Float>) -> Int {
    let start = similarities.startIndex
    var best = -Float.infinity
    for index in similarities.indices { best = max(best, similarities[index]) }
    let near = similarities.indices.filter { similarities[$0] >= best - slack }.map { $0 - start }
    guard near.count > 1 else { return near[0] }
    let exact = exactSimilarities(
      of: near.map { others.row(at: $0) }, to: features.row(row), norm: norms[row])
    // The first of equals.
    return near[exact.indices.max { exact[$0] < exact[$1] } ?? 0]
  }
}
