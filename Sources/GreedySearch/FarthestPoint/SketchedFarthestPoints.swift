import Kernels
import PruningNumerics

/// ``FarthestPointSearch`` over features that a ``RowSketch`` explains.
///
/// Every candidate knows its largest similarity to the selections. A new selection is compared with those candidates
/// alone whose upper bound exceeds that. The first pick begins with the row that seems nearest to each by coordinates,
/// which is a lower bound of the nearest; then the row with the lowest bound meets all whose upper bounds exceed it,
/// until the lowest has met all.
/// - Complexity: O(N^2 d) for the first pick, O(N d) for each other, and O(D) for each pair that bounds do not rule out.
struct SketchedFarthestPoints {
  private let space: CosineSpace
  private let sketch: RowSketch
  private let kernels: SearchKernelSet
  /// By place; none of them zero. The first ones are candidates, the others were selected from the start.
  private let rows: [Int]
  private let candidateCount: Int
  /// By place the largest fast similarity to a selection; infinity for what is selected, and behind the last.
  private let nearest: FloatColumns
  /// Bounds of one row, and limits to compare them with.
  private let room: FloatColumns
  private var indices: [Int32]
  /// The selections, by slot.
  private var selected: [Int] = []
  /// Per candidate the largest exact similarity to the first `exactSeen` selections.
  private var exactNearest: [Double]
  private var exactSeen: [Int]
  private let sharing: WorkSharing

  /// - Parameters:
  ///   - candidates: ascending, none of them zero.
  ///   - given: rows selected already, none of them zero.
  /// - Throws: when it is more work than the limit allows.
  init(
    _ space: CosineSpace, among candidates: [Int], given: [Int], sharing: WorkSharing,
    _ steps: inout StepCounter
  ) throws(PruningError) {
    self.space = space
    self.sharing = sharing
    kernels = space.kernels.search
    rows = candidates + given
    candidateCount = candidates.count
    sketch = try RowSketch(space, rows, sharing: sharing, &steps)
    nearest = FloatColumns(1, of: rows.count)
    nearest.fill(0, with: .infinity)
    nearest.base.update(repeating: -.infinity, count: candidateCount)
    room = FloatColumns(2, of: rows.count)
    indices = Array(repeating: 0, count: nearest.stride)
    exactNearest = Array(repeating: -.infinity, count: candidateCount)
    exactSeen = Array(repeating: 0, count: candidateCount)
    try space.withReader { reader throws(PruningError) in
      for slot in candidateCount..<rows.count { try select(slot, reader, &steps) }
    }
  }

  /// The next row; nil once all are selected.
  ///
  /// - Throws: when it is more work than the limit allows.
  public mutating func next(_ reader: CosineReader, _ steps: inout StepCounter) throws(PruningError) -> Int? {
    guard let slot = try selected.isEmpty ? mostIsolated(reader, &steps) : farthest(&steps) else {
      return nil
    }
    try select(slot, reader, &steps)
    return rows[slot]
  }

  private mutating func select(
    _ slot: Int, _ reader: CosineReader, _ steps: inout StepCounter
  ) throws(PruningError) {
    selected.append(slot)
    nearest[slot] = .infinity
    try steps.spend(StepCounter.bounds(count: rows.count, dimensions: sketch.dimensions))
    sketch.bounds(of: slot, into: room.base)
    let margin = space.slack + sketch.boundError
    let found = kernels.above(room.base, nearest.base, margin, &indices, room.stride)
    try steps.spend(comparingWith: found, of: space)
    reader.raise(nearest.base, bySimilaritiesTo: rows[slot], of: rows, at: indices[..<found])
  }

  private mutating func farthest(_ steps: inout StepCounter) throws(PruningError) -> Int? {
    let contenders = try contenders(&steps)
    guard let first = contenders.first, nearest[first] < .infinity else { return nil }
    guard contenders.count > 1 else { return first }
    try steps.spend(contenders.count * StepCounter.exactDecision)
    for slot in contenders { try refreshExactly(slot, &steps) }
    // Contenders ascend, and the first of equals is the minimum.
    return contenders.min { exactNearest[$0] < exactNearest[$1] }
  }

  private mutating func refreshExactly(_ slot: Int, _ steps: inout StepCounter) throws(PruningError) {
    let unseen = selected[exactSeen[slot]...].map { rows[$0] }
    try steps.spend(unseen.count * StepCounter.exactComparison(columns: space.columns))
    let largest = space.largestExactSimilarity(
      of: rows[slot], to: unseen[...], fastest: nearest[slot], within: space.slack)
    exactNearest[slot] = max(exactNearest[slot], largest)
    exactSeen[slot] = selected.count
  }

  /// The slots that may be the lowest, as far as float32 can tell, ascending.
  private mutating func contenders(_ steps: inout StepCounter) throws(PruningError) -> [Int] {
    try steps.spend(StepCounter.scan(of: rows.count))
    room.fill(0, with: nearest[kernels.lowest(nearest.base, nearest.stride)])
    let count = kernels.above(room.base, nearest.base, space.slack, &indices, room.stride)
    return indices[..<count].lazy.map { Int($0) }.filter { $0 < candidateCount }
  }

  // MARK: The first pick

  private mutating func mostIsolated(
    _ reader: CosineReader, _ steps: inout StepCounter
  ) throws(PruningError) -> Int? {
    defer { nearest.base.update(repeating: -.infinity, count: candidateCount) }
    guard candidateCount > 1 else { return 0 }
    try steps.spend(comparingWith: rows.count, of: space)
    for (slot, other) in try sketch.likelyNearest(sharing: sharing, &steps).enumerated() {
      let similarity = reader.similarity(of: rows[slot], to: rows[other])
      raise(slot, to: similarity)
      raise(other, to: similarity)
    }
    var hasMetAll = [Bool](repeating: false, count: candidateCount)
    while true {
      let lowest = kernels.lowest(nearest.base, nearest.stride)
      if hasMetAll[lowest] {
        let contenders = try contenders(&steps)
        guard let late = contenders.first(where: { !hasMetAll[$0] }) else {
          return try space.mostIsolated(of: contenders, rows, fastest: nearest.base, space.slack, &steps)
        }
        try meetAll(late, reader, &steps)
        hasMetAll[late] = true
      } else {
        try meetAll(lowest, reader, &steps)
        hasMetAll[lowest] = true
      }
    }
  }

  private func raise(_ slot: Int, to similarity: Float) {
    if similarity > nearest[slot] { nearest[slot] = similarity }
  }

  /// The row in a slot meets all that could be its nearest.
  private mutating func meetAll(
    _ slot: Int, _ reader: CosineReader, _ steps: inout StepCounter
  ) throws(PruningError) {
    try steps.spend(StepCounter.bounds(count: rows.count, dimensions: sketch.dimensions))
    sketch.bounds(of: slot, into: room.base)
    room[slot] = -.infinity
    room.fillPadding(0, with: -.infinity)
    let margin = space.slack + sketch.boundError
    let highest = room[kernels.highest(room.base, room.stride)]
    // First those that are likely to be nearest: what they leave is little.
    for limit in [(highest + nearest[slot]) / 2, -.infinity] {
      room.fill(1, with: max(limit, nearest[slot]))
      let found = kernels.above(room.base, room.column(1), margin, &indices, room.stride)
      try steps.spend(comparingWith: found, of: space)
      for index in 0..<found {
        let other = Int(indices[index])
        let similarity = reader.similarity(of: rows[slot], to: rows[other])
        raise(slot, to: similarity)
        raise(other, to: similarity)
        room[other] = -.infinity
      }
    }
  }
}

extension CosineSpace {
  /// Of several rows that are equally isolated, as far as float32 can tell, the one whose nearest is farthest in float64; the
  /// first of equals.
  ///
  /// - Parameters:
  ///   - contenders: slots in `rows`, ascending.
  ///   - fastest: by slot the largest fast similarity to another row.
  func mostIsolated(
    of contenders: [Int], _ rows: [Int], fastest: UnsafePointer<Float>, _ slack: Float,
    _ steps: inout StepCounter
  ) throws(PruningError) -> Int {
    var choice = contenders[0]
    guard contenders.count > 1 else { return choice }
    var best = Double.infinity
    for slot in contenders {
      try steps.spend(
        StepCounter.exactDecision + rows.count * StepCounter.comparison(columns: columns))
      let largest = largestExactSimilarity(
        of: rows[slot], to: rows[...], fastest: fastest[slot], within: slack, enough: best)
      if largest < best {
        best = largest
        choice = slot
      }
    }
    return choice
  }
}
