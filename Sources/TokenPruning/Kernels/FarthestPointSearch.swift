import Kernels

/// Max-min diversity by cosine distance: repeatedly the row farthest from everything selected so far.
///
/// The choice is that of binary64 arithmetic on the given rows, whatever kernels are in use: binary32
/// similarities only rule rows out, and rows closer together than their error bound are compared by
/// `KernelSet.preciseDot`. Evaluation is lazy, a row is compared with newer selections only while it could
/// still be the farthest.
/// - Complexity: at most O(T N D) for T selections; no N x N matrix. The first pick is O(N^2 D) at worst,
///   and far less where neighbouring tokens resemble each other.
struct FarthestPointSearch {
  private let space: CosineSpace
  private var slack: Float { space.slack }

  private(set) var selected: [Int] = []
  private var heap: BoundHeap
  /// Per row: the largest similarity to the first `seen` of `selected`, in binary32 and in binary64.
  private var nearest: [Float]
  private var seen: [Int]
  private var exactNearest: [Double]
  private var exactSeen: [Int]
  /// Zero rows have no direction: they are chosen only when nothing else is left.
  private var leftovers: [Int]
  private var steps: StepCounter

  /// - Parameters:
  ///   - given: rows selected already; zero rows among them repel nothing.
  ///   - candidates: rows to choose from, ascending, none of them in `given`.
  init(_ space: CosineSpace, among candidates: [Int], given: [Int] = [], stepLimit: StepLimit = .unlimited) {
    self.space = space
    steps = StepCounter(limit: stepLimit)
    nearest = Array(repeating: -.infinity, count: space.rows)
    seen = Array(repeating: 0, count: space.rows)
    exactNearest = Array(repeating: -.infinity, count: space.rows)
    exactSeen = Array(repeating: 0, count: space.rows)
    leftovers = candidates.filter { space.isZero($0) }
    selected = given.filter { !space.isZero($0) }
    heap = BoundHeap(
      candidates.filter { !space.isZero($0) }.map { BoundHeap.Entry(bound: .infinity, index: $0) })
  }

  /// The next `count` rows, in the order of choice.
  ///
  /// - Precondition: that many candidates are left.
  /// - Throws: when the choice is more work than the limit allows.
  mutating func next(_ count: Int) throws(PruningError) -> [Int] {
    var chosen: [Int] = []
    chosen.reserveCapacity(count)
    while chosen.count < count {
      if let row = try selected.isEmpty ? mostIsolated() : popFarthest() {
        selected.append(row)
        chosen.append(row)
      } else {
        let missing = count - chosen.count
        precondition(leftovers.count >= missing, "more rows asked for than there are candidates")
        chosen += leftovers.prefix(missing)
        leftovers.removeFirst(missing)
      }
    }
    return chosen
  }

  private mutating func popFarthest() throws(PruningError) -> Int? {
    var contenders: [BoundHeap.Entry] = []
    var threshold = -Double.infinity
    while let top = heap.first, top.bound >= threshold {
      if seen[top.index] < selected.count {
        try refresh(top.index)
        heap.lowerFirst(to: -Double(nearest[top.index]))
        continue
      }
      if contenders.isEmpty { threshold = top.bound - Double(slack) }
      try steps.spend(StepCounter.heapTurn)
      contenders.append(top)
      _ = heap.popFirst()
    }
    guard var best = contenders.first else { return nil }
    if contenders.count > 1 {
      for contender in contenders { try refreshExactly(contender.index) }
      for contender in contenders.dropFirst() where isFarther(contender.index, than: best.index) {
        best = contender
      }
      for contender in contenders where contender.index != best.index { heap.insert(contender) }
    }
    return best.index
  }

  private func isFarther(_ a: Int, than b: Int) -> Bool {
    exactNearest[a] != exactNearest[b] ? exactNearest[a] < exactNearest[b] : a < b
  }

  private mutating func refresh(_ row: Int) throws(PruningError) {
    let count = selected.count - seen[row]
    try steps.spend(StepCounter.heapTurn + count * StepCounter.comparison(columns: space.columns))
    nearest[row] = max(nearest[row], space.largestSimilarity(of: row, to: selected[seen[row]...]))
    seen[row] = selected.count
  }

  private mutating func refreshExactly(_ row: Int) throws(PruningError) {
    let count = selected.count - exactSeen[row]
    try steps.spend(count * StepCounter.exactComparison(columns: space.columns))
    for index in exactSeen[row]..<selected.count {
      exactNearest[row] = max(exactNearest[row], space.exactSimilarity(row, selected[index]))
    }
    exactSeen[row] = selected.count
  }

  // MARK: The first pick

  /// How many candidates scan the others together, so that each row fetched from memory serves all of them.
  private static let blockSize = 16

  /// Takes out the candidate whose nearest other candidate is farthest (DivPrune's start).
  ///
  /// A candidate is abandoned as soon as one neighbour is nearer than the best candidate's nearest. The scan
  /// goes outwards from the candidate's block, because neighbouring tokens are the most similar.
  private mutating func mostIsolated() throws(PruningError) -> Int? {
    var remaining: [Int] = []
    while let entry = heap.popFirst() { remaining.append(entry.index) }
    guard var choice = remaining.first else { return nil }
    if remaining.count > 1 {
      var best = Float.infinity
      var survivors: [(index: Int, similarity: Float)] = []
      for start in stride(from: 0, to: remaining.count, by: Self.blockSize) {
        let block = start..<min(start + Self.blockSize, remaining.count)
        for survivor in try nearestSimilarities(of: block, in: remaining, abandonAbove: best + slack) {
          best = min(best, survivor.similarity)
          survivors.append(survivor)
        }
      }
      let contenders = survivors.filter { $0.similarity <= best + slack }.map(\.index)
      choice = contenders.count == 1 ? contenders[0] : try mostIsolatedExactly(contenders, in: remaining)
    }
    heap = BoundHeap(
      remaining.filter { $0 != choice }.map { BoundHeap.Entry(bound: .infinity, index: $0) })
    return choice
  }

  /// Each row of the block and its largest similarity to another row, for those that stay within the limit.
  private mutating func nearestSimilarities(
    of block: Range<Int>, in rows: [Int], abandonAbove limit: Float
  ) throws(PruningError) -> [(index: Int, similarity: Float)] {
    var active = block.map { (index: rows[$0], similarity: -Float.infinity) }
    var scan = OutwardScan(around: block, count: rows.count)
    while !active.isEmpty, let positions = scan.nextFour() {
      let others = SIMD4(rows[positions[0]], rows[positions[1]], rows[positions[2]], rows[positions[3]])
      try steps.spend(4 * active.count * StepCounter.comparison(columns: space.columns))
      active = active.compactMap { [space] row in
        var four = space.similarities(of: row.index, to: others)
        for lane in 0..<4 where others[lane] == row.index { four[lane] = -.infinity }
        let similarity = max(row.similarity, four.max())
        return similarity > limit ? nil : (row.index, similarity)
      }
    }
    return active
  }

  private mutating func mostIsolatedExactly(
    _ contenders: [Int], in rows: [Int]
  ) throws(PruningError) -> Int {
    var choice = contenders[0]
    var best = Double.infinity
    for contender in contenders {
      var largest = -Double.infinity
      for row in rows where row != contender {
        try steps.spend(StepCounter.exactComparison(columns: space.columns))
        largest = max(largest, space.exactSimilarity(contender, row))
        // Contenders ascend, so an equal one loses to the earlier.
        if largest >= best { break }
      }
      if largest < best {
        best = largest
        choice = contender
      }
    }
    return choice
  }
}

/// The positions 0..<count, those inside a block first and then alternately above and below it, in fours; the
/// last four repeats a position where the count is no multiple of four.
private struct OutwardScan {
  private let count: Int
  private let middle: Int
  private var below: Int
  private var above: Int

  init(around block: Range<Int>, count: Int) {
    self.count = count
    middle = (block.lowerBound + block.upperBound) / 2
    below = middle - 1
    above = middle
  }

  mutating func nextFour() -> SIMD4<Int>? {
    guard let first = next() else { return nil }
    var four = SIMD4(repeating: first)
    for lane in 1..<4 { four[lane] = next() ?? first }
    return four
  }

  private mutating func next() -> Int? {
    if above < count, below < 0 || above - middle <= middle - below {
      above += 1
      return above - 1
    }
    guard below >= 0 else { return nil }
    below -= 1
    return below + 1
  }
}
