import Kernels

extension CosineSpace {
  /// For each row the position in `others` of the one most similar to it; the first of equals.
  ///
  /// - Precondition: `others` is not empty.
  /// - Throws: when it is more work than the limit allows.
  /// - Complexity: O(rows x others x columns).
  public func mostSimilar(
    to rows: [Int], among others: [Int], sharing: WorkSharing, _ steps: inout StepCounter
  ) throws(PruningError) -> [Int] {
    precondition(!others.isEmpty)
    // Packed once for all rows: as soon as a few use it, that pays.
    if rows.count >= Self.rowsPerPart, others.count >= Self.fewestPacked {
      return try mostSimilarByProducts(to: rows, among: others, sharing: sharing, &steps)
    }
    return try mostSimilarByTiles(to: rows, among: others, sharing: sharing, &steps)
  }

  private static let rowsPerPart = 64
  private static let fewestPacked = 16

  /// The same with one blocked product, the way of large sets.
  func mostSimilarByProducts(
    to rows: [Int], among others: [Int], sharing: WorkSharing, _ steps: inout StepCounter
  ) throws(PruningError) -> [Int] {
    let packed = PackedRows(self, others, sharing: sharing)
    let parts = (rows.count + Self.rowsPerPart - 1) / Self.rowsPerPart
    // In turns, so that the limit and the client's patience are asked now and then.
    let perTurn = 8
    var positions: [Int] = []
    positions.reserveCapacity(rows.count)
    for first in stride(from: 0, to: parts, by: perTurn) {
      let turn = first * Self.rowsPerPart..<min((first + perTurn) * Self.rowsPerPart, rows.count)
      try steps.spend(comparingWith: turn.count * others.count, of: self)
      let ties = TieLimit(steps, columns: columns)
      let found = sharing.map(min(perTurn, parts - first)) { part in
        let start = turn.lowerBound + part * Self.rowsPerPart
        var nearest = Nearest(ties)
        guard !ties.isStopped() else { return nearest }
        packed.forEachSimilarities(of: rows[start..<min(start + Self.rowsPerPart, turn.upperBound)]) {
          self.find(&nearest, to: $0, others, UnsafeBufferPointer($1), within: packed.slack)
        }
        return nearest
      }
      try take(found, into: &positions, &steps)
    }
    return positions
  }

  /// How many blocks of rows meet a block of others while that lies in the first caches.
  private static let groupBlocks = 4

  /// The same four by four, the way of small sets.
  func mostSimilarByTiles(
    to rows: [Int], among others: [Int], sharing: WorkSharing, _ steps: inout StepCounter
  ) throws(PruningError) -> [Int] {
    let left = RowBlocks(rows)
    let right = RowBlocks(others)
    let groups = (left.count + Self.groupBlocks - 1) / Self.groupBlocks
    let perTurn = 16
    var positions: [Int] = []
    positions.reserveCapacity(rows.count)
    for first in stride(from: 0, to: groups, by: perTurn) {
      let count = min(perTurn, groups - first)
      try steps.spend(comparingWith: 4 * Self.groupBlocks * count * others.count, of: self)
      let ties = TieLimit(steps, columns: columns)
      let found = sharing.map(count) { part in
        let group = first + part
        let end = min((group + 1) * Self.groupBlocks, left.count)
        return self.nearest(left, group * Self.groupBlocks..<end, right, ties)
      }
      try take(found, into: &positions, &steps)
    }
    return positions
  }

  /// How many ties a part may break before it is given up: rows that are all alike tie with one another, many more than the
  /// comparisons that a turn has spent.
  private struct TieLimit: Sendable {
    let count: Int
    let isStopped: @Sendable () -> Bool

    init(_ steps: StepCounter, columns: Int) {
      count = steps.remaining / StepCounter.exactComparison(columns: columns)
      isStopped = steps.isStopped
    }
  }

  /// What one part found.
  private struct Nearest {
    /// Of each row, in order; of a part that was given up, anything.
    var positions: [Int] = []
    /// How many rows float32 could not tell from the nearest, and float64 compared.
    private(set) var ties = 0
    private let limit: TieLimit

    init(_ limit: TieLimit) { self.limit = limit }

    /// Counts what one row ties with.
    ///
    /// - Returns: whether they may still be compared.
    mutating func add(ties count: Int) -> Bool {
      ties += count
      return ties <= limit.count && (count < Self.fewTies || !limit.isStopped())
    }

    /// Comparing so many takes some microseconds, beside which asking costs nothing.
    private static let fewTies = 64
  }

  /// Takes over what parts found, and spends what no count of pairs tells: rows alike are all compared twice.
  private func take(
    _ found: [Nearest], into positions: inout [Int], _ steps: inout StepCounter
  ) throws(PruningError) {
    for part in found {
      positions += part.positions
      try steps.spend(part.ties * StepCounter.exactComparison(columns: columns))
    }
    try steps.check()
  }

  private func nearest(
    _ left: RowBlocks, _ group: Range<Int>, _ right: RowBlocks, _ ties: TieLimit
  ) -> Nearest {
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
    return similarities.withUnsafeBufferPointer { similarities in
      var nearest = Nearest(ties)
      for a in group {
        for lane in left.lanes(of: a) {
          let start = (4 * (a - group.lowerBound) + lane) * stride
          find(
            &nearest, to: left[a][lane], right.rows,
            UnsafeBufferPointer(rebasing: similarities[start..<(start + right.rowCount)]), within: slack)
        }
      }
      return nearest
    }
  }

  /// The largest of the given fast similarities, where several are near by the exact ones.
  private func find(
    _ nearest: inout Nearest, to row: Int, _ others: [Int], _ similarities: UnsafeBufferPointer<Float>,
    within slack: Float
  ) {
    let limit = Self.largest(similarities) - slack
    var near: [Int] = []
    for slot in similarities.indices where similarities[slot] >= limit { near.append(slot) }
    guard near.count > 1 else { return nearest.positions.append(near[0]) }
    guard nearest.add(ties: near.count) else { return nearest.positions.append(near[0]) }
    let exact = exactSimilarities(of: near.map { others[$0] }, to: features.row(row), norm: norm(of: row))
    // The first of equals.
    nearest.positions.append(near[exact.indices.max { exact[$0] < exact[$1] } ?? 0])
  }

  private static func largest(_ values: UnsafeBufferPointer<Float>) -> Float {
    var four = SIMD4<Float>(repeating: -.infinity)
    let bytes = UnsafeRawBufferPointer(values)
    for block in 0..<(values.count / 4) {
      four.raise(to: bytes.loadUnaligned(fromByteOffset: 16 * block, as: SIMD4<Float>.self))
    }
    var largest = four.max()
    for slot in (values.count / 4 * 4)..<values.count { largest = max(largest, values[slot]) }
    return largest
  }
}
