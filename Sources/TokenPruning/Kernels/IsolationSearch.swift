import Kernels

/// Finds the row whose nearest other row is farthest by cosine distance: DivPrune's first pick.
///
/// The largest similarity a row has met so far only grows, so it is a bound for all it has not met. The block of
/// four rows with the lowest is compared with the next block outwards from its own, because neighbouring tokens are
/// the most similar, and what the comparison says of the other block is kept too. As soon as the first in the queue
/// has met all others, it is the answer, up to the error bound of binary32; where that leaves several, binary64
/// decides.
/// - Complexity: O(N^2 D) at worst. When about a tenth of all pairs are compared and there is no answer yet, the
///   similarities of all pairs are computed in one go, if N is not too large for that.
struct IsolationSearch {
  private let space: CosineSpace
  private let blocks: RowBlocks
  private let sharing: WorkSharing
  private var nearest: [SIMD4<Float>]
  /// How far each block is in the order 0, +1, -1, +2, -2, ... of the blocks around it.
  private var turns: [Int]
  /// The similarities of all pairs, once they were worth computing.
  private(set) var matrix: SimilarityMatrix?

  /// - Precondition: at least two rows.
  init(_ space: CosineSpace, _ blocks: RowBlocks, sharing: WorkSharing) {
    self.space = space
    self.blocks = blocks
    self.sharing = sharing
    nearest = Array(repeating: SIMD4(repeating: -.infinity), count: blocks.count)
    for place in blocks.rowCount..<(4 * blocks.count) { nearest[place / 4][place % 4] = .infinity }
    turns = Array(repeating: 0, count: blocks.count)
  }

  /// The place of the row.
  ///
  /// - Throws: when it is more work than the limit allows.
  mutating func run(_ steps: inout StepCounter) throws(PruningError) -> Int {
    let limit = try scan(&steps)
    var contenders: [Int] = []
    for place in 0..<blocks.rowCount where nearest[place / 4][place % 4] <= limit { contenders.append(place) }
    return contenders.count == 1 ? contenders[0] : try mostIsolatedExactly(contenders, &steps)
  }

  /// Brings every row up to date that may be the most isolated.
  ///
  /// - Returns: how similar to its nearest such a row may be.
  private mutating func scan(_ steps: inout StepCounter) throws(PruningError) -> Float {
    var heap = BoundHeap((0..<blocks.count).map { BoundHeap.Entry(bound: .infinity, index: $0) })
    var limit = Float.infinity
    var tilesLeft = blocks.count * blocks.count / 24 + 4 * blocks.count
    let canCompareAll = blocks.rowCount <= SimilarityMatrix.maximumCount
    while let top = heap.first, top.bound >= -Double(limit) {
      let block = top.index
      let bound = -Double(nearest[block].min())
      if bound < top.bound {
        heap.lowerFirst(to: bound)
      } else if let other = nextTurn(of: block) {
        try steps.spend(StepCounter.heapTurn + 16 * StepCounter.comparison(columns: space.columns))
        compare(block, other)
        heap.lowerFirst(to: -Double(nearest[block].min()))
        tilesLeft -= 1
        if canCompareAll, tilesLeft < 0 { return try compareAll(&steps) }
      } else {
        if limit == .infinity { limit = nearest[block].min() + space.slack }
        _ = heap.popFirst()
      }
    }
    return limit
  }

  private mutating func compareAll(_ steps: inout StepCounter) throws(PruningError) -> Float {
    let all = try SimilarityMatrix(space, blocks.rows, sharing: sharing, &steps)
    nearest = all.nearestOthers()
    matrix = all
    return nearest.reduce(Float.infinity) { min($0, $1.min()) } + all.slack
  }

  /// The next block outwards that this one has not met, or nil.
  private mutating func nextTurn(of block: Int) -> Int? {
    while turns[block] < 2 * blocks.count {
      let turn = turns[block]
      turns[block] += 1
      let other = turn % 2 == 1 ? block + (turn + 1) / 2 : block - turn / 2
      // A block that lies outwards may have come this far already.
      guard (0..<blocks.count).contains(other), other == block || turns[other] <= Self.turn(block - other)
      else { continue }
      return other
    }
    return nil
  }

  private static func turn(_ offset: Int) -> Int { offset > 0 ? 2 * offset - 1 : -2 * offset }

  private mutating func compare(_ a: Int, _ b: Int) {
    var tile = space.similarities(of: blocks[a], to: blocks[b]).columns
    if a == b {
      tile.0[0] = -.infinity
      tile.1[1] = -.infinity
      tile.2[2] = -.infinity
      tile.3[3] = -.infinity
    }
    var rows = nearest[a]
    let lanes = blocks.lanes(of: b).count
    rows.raise(to: tile.0)
    if lanes > 1 { rows.raise(to: tile.1) }
    if lanes > 2 { rows.raise(to: tile.2) }
    if lanes > 3 { rows.raise(to: tile.3) }
    nearest[a] = rows
    if a != b {
      let present = blocks.lanes(of: a).count
      nearest[b].raise(
        to: SIMD4(
          Self.largest(tile.0, of: present), Self.largest(tile.1, of: present),
          Self.largest(tile.2, of: present), Self.largest(tile.3, of: present)))
    }
  }

  private static func largest(_ lanes: SIMD4<Float>, of count: Int) -> Float {
    if count == 4 { return lanes.max() }
    return (0..<count).reduce(-Float.infinity) { max($0, lanes[$1]) }
  }

  private func mostIsolatedExactly(
    _ contenders: [Int], _ steps: inout StepCounter
  ) throws(PruningError) -> Int {
    let rows = blocks.rows
    let slack = matrix?.slack ?? space.slack
    var choice = contenders[0]
    var best = Double.infinity
    for place in contenders {
      try steps.spend(rows.count * StepCounter.comparison(columns: space.columns))
      // Contenders ascend, so an equal one loses to the earlier.
      let largest = space.largestExactSimilarity(
        of: blocks.row(at: place), to: rows[...], fastest: nearest[place / 4][place % 4], within: slack,
        enough: best)
      if largest < best {
        best = largest
        choice = place
      }
    }
    return choice
  }
}
