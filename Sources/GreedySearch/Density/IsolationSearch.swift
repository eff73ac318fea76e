import Kernels
import PruningNumerics

/// Finds the row whose nearest other row is farthest by cosine distance: DivPrune's first pick.
///
/// The largest similarity a row has met so far only grows, so it is a bound for all it has not met. First every row
/// is compared with those of its segment, because neighbouring tokens are the most similar. Then the row with the
/// lowest bound is compared with one block of four after the other, in a tile with up to three more low ones that have
/// come equally far, and what the comparison says of the other block is kept too. As soon as the lowest has met
/// all others, it is the answer, up to the error bound of float32; where that leaves several, float64 decides.
/// - Complexity: O(N^2 D) at worst. When `patience` of all pairs are compared and there is no answer yet, the
///   similarities of all pairs are computed in one go, if N is not too large for that.
struct IsolationSearch {
  private let space: CosineSpace
  private let blocks: RowBlocks
  private let sharing: WorkSharing
  /// Progress is how many blocks, from the first, a row has met.
  private let nearest: BoundTable
  private var tilesLeft: Int
  public private(set) var neighbours: SegmentSimilarities
  private var followed: FollowedRows
  /// The similarities of all pairs, once they were worth computing.
  public private(set) var matrix: SimilarityMatrix?

  /// After what share of the tiles that all pairs would take the search stops being lazy.
  private static let patience = 0.4
  private static let narrow = 96
  private static let blocksPerSegment = BoundTable.segment / 4

  /// - Precondition: at least two rows.
  init(
    _ space: CosineSpace, _ blocks: RowBlocks, _ design: FarthestPointSearch.Design?, sharing: WorkSharing
  ) {
    self.space = space
    self.blocks = blocks
    self.sharing = sharing
    nearest = BoundTable(count: blocks.rowCount)
    neighbours = SegmentSimilarities(blocks)
    followed = FollowedRows(blocks)
    // All pairs of narrow rows cost no more than bounds that spare some.
    let isLazy =
      design.map { $0 == .lazy } ?? (space.columns > Self.narrow)
      || blocks.rowCount > SimilarityMatrix.maximumCount
    tilesLeft =
      !isLazy ? -1 : Int(Self.patience * Double(blocks.count * (blocks.count + 1) / 2)) + 4 * blocks.count
  }

  /// The place of the row.
  ///
  /// - Throws: when it is more work than the limit allows.
  public mutating func run(_ reader: CosineReader, _ steps: inout StepCounter) throws(PruningError) -> Int {
    if tilesLeft >= 0 { try compareSegments(reader, &steps) }
    let contenders = try scan(reader, &steps)
    return contenders.count == 1 ? contenders[0] : try mostIsolatedExactly(contenders, &steps)
  }

  /// The fast similarities of the row in a slot to those of other segments, by slot; nil where they were not kept.
  func similaritiesBeyondSegment(of slot: Int) -> ArraySlice<Float>? {
    nearest.progress(of: slot) == blocks.count ? followed.similarities(of: slot) : nil
  }

  // MARK: Contenders: the rows that may be the most isolated, as far as float32 can tell

  private mutating func compareSegments(
    _ reader: CosineReader, _ steps: inout StepCounter
  ) throws(PruningError) {
    for first in stride(from: 0, to: blocks.count, by: Self.blocksPerSegment) {
      let segment = first..<min(first + Self.blocksPerSegment, blocks.count)
      try steps.spend(
        8 * segment.count * (segment.count + 1) * StepCounter.comparison(columns: space.columns))
      for a in segment { for b in a..<segment.upperBound { compare(a, b, reader) } }
      neighbours.raiseAll(ofSegment: 4 * first, in: nearest)
    }
  }

  /// Compares all rows of a block with all of another of its segment, or with each other.
  private mutating func compare(_ a: Int, _ b: Int, _ reader: CosineReader) {
    var tile =
      a == b ? reader.similarities(of: blocks[a]) : reader.similarities(of: blocks[a], to: blocks[b])
    if a == b { tile.ignoreDiagonal() }
    neighbours.put(tile, a, b)
  }

  /// Notes what a tile says of some slots, of which `present` are no padding, and of block `b`.
  private func raise(_ slots: SIMD4<Int>, _ present: Int, _ tile: SimilarityTile, _ b: Int) {
    let columns = tile.columns
    let lanes = blocks.lanes(of: b).count
    var rows = columns.0
    if lanes > 1 { rows.raise(to: columns.1) }
    if lanes > 2 { rows.raise(to: columns.2) }
    if lanes > 3 { rows.raise(to: columns.3) }
    for lane in 0..<present { nearest.raise(slots[lane], to: rows[lane]) }
    nearest.raise(
      fourFrom: 4 * b,
      to: SIMD4(
        Self.largest(columns.0, of: present), Self.largest(columns.1, of: present),
        Self.largest(columns.2, of: present), Self.largest(columns.3, of: present)))
  }

  @inline(__always)
  private static func largest(_ lanes: SIMD4<Float>, of count: Int) -> Float {
    if count == 4 { return lanes.largest }
    return (0..<count).reduce(-Float.infinity) { max($0, lanes[$1]) }
  }

  /// Brings the rows up to date that may be the most isolated, and returns their slots, ascending.
  private mutating func scan(
    _ reader: CosineReader, _ steps: inout StepCounter
  ) throws(PruningError) -> [Int] {
    let canCompareAll = blocks.rowCount <= SimilarityMatrix.maximumCount
    while true {
      try steps.spend(StepCounter.look(atSlots: blocks.rowCount))
      if canCompareAll, tilesLeft < 0 { return try compareAll(&steps) }
      guard let slot = nearest.lowestSlot() else { return [] }
      if nearest.progress(of: slot) < blocks.count {
        let segment = nearest.progress(of: slot) / Self.blocksPerSegment
        let (slots, count) = nearest.mates(of: slot, but: segment)
        try advance(slots, count, reader, &steps)
        continue
      }
      let contenders = nearest.slots(upTo: nearest[slot] + space.slack)
      guard let late = contenders.first(where: { nearest.progress(of: $0) < blocks.count }) else {
        return contenders
      }
      try advance(SIMD4(repeating: late), 1, reader, &steps)
    }
  }

  /// Compares `present` slots that have come equally far with the next block.
  private mutating func advance(
    _ slots: SIMD4<Int>, _ present: Int, _ reader: CosineReader, _ steps: inout StepCounter
  ) throws(PruningError) {
    let block = nearest.progress(of: slots[0])
    let segment = block / Self.blocksPerSegment
    if segment == slots[0] / BoundTable.segment {
      // Its own segment, which it has met.
      nearest.setProgress(of: slots[0], to: min(blocks.count, (segment + 1) * Self.blocksPerSegment))
      return
    }
    let row = blocks.row(at: slots[0])
    if present == 1 {
      try steps.spend(4 * StepCounter.comparison(columns: space.columns))
      let four = reader.similarities(of: row, to: blocks[block])
      followed.put(four, of: slots[0], to: block)
      nearest.raise(slots[0], to: Self.largest(four, of: blocks.lanes(of: block).count))
      nearest.raise(fourFrom: 4 * block, to: four)
    } else {
      try steps.spend(16 * StepCounter.comparison(columns: space.columns))
      let rows = SIMD4(
        row, blocks.row(at: slots[1]), blocks.row(at: slots[2]), blocks.row(at: slots[3]))
      let tile = reader.similarities(of: rows, to: blocks[block])
      followed.put(tile, of: slots, present, to: block)
      raise(slots, present, tile, block)
    }
    tilesLeft -= 1
    for lane in 0..<present { nearest.setProgress(of: slots[lane], to: block + 1) }
  }

  private mutating func compareAll(_ steps: inout StepCounter) throws(PruningError) -> [Int] {
    let all = try SimilarityMatrix(space, blocks.rows, sharing: sharing, &steps)
    nearest.update { all.mergeAll(into: $0) }
    matrix = all
    guard let lowest = nearest.lowestSlot() else { return [] }
    return nearest.slots(upTo: nearest[lowest] + all.slack)
  }

  // MARK: Exactly

  private func mostIsolatedExactly(
    _ contenders: [Int], _ steps: inout StepCounter
  ) throws(PruningError) -> Int {
    let fastest = (0..<blocks.rowCount).map { nearest[$0] }
    return try space.mostIsolated(
      of: contenders, blocks.rows, fastest: fastest, matrix?.slack ?? space.slack, &steps)
  }
}
