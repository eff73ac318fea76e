import Kernels

/// Max-min diversity by cosine distance: repeatedly the row farthest from everything selected so far.
///
/// The choice is that of binary64 arithmetic on the given rows, whatever kernels are in use: binary32
/// similarities only rule rows out, and rows closer together than their error bound are compared by
/// `KernelSet.preciseDot`.
///
/// Evaluation is lazy by pairs. Distances only shrink as more is selected, so a stale one is an upper bound
/// (Minoux 1978). Candidates lie in blocks of four; the block with the highest bound is compared with up to four
/// selections it has not seen, in one tile, and goes back into the queue, until the first in the queue is up to
/// date. Most candidates are ruled out by few selections and never see the others. Where bounds rule out little
/// (rows without any structure), the first pick computes the similarities of all pairs in one go
/// (``SimilarityMatrix``), and the rest reads them.
/// - Complexity: at most O(T N D) for T selections. The first pick (``IsolationSearch``) is O(N^2 D) at worst,
///   and far less where neighbouring tokens resemble each other. Memory is O(N), or N^2 numbers with the matrix.
struct FarthestPointSearch {
  private let space: CosineSpace
  private let sharing: WorkSharing
  private var slack: Float { matrix?.slack ?? space.slack }

  private(set) var selected: [Int] = []
  private let blocks: RowBlocks
  private var heap: BoundHeap
  /// Per candidate: the largest fast similarity to the selections its block was compared with. Infinite for padding and
  /// for what is chosen.
  private var nearest: [SIMD4<Float>]
  private var seen: [Int]
  /// Per block: selections among the first `seen` that it was not compared with yet.
  private var pending: [[Int32]]
  /// Per candidate: the same in binary64, for those that were ever compared exactly.
  private var exactNearest: [Double]
  private var exactSeen: [Int]
  /// Zero rows have no direction: they are chosen only when nothing else is left.
  private var leftovers: [Int]
  private var steps: StepCounter
  private var matrix: SimilarityMatrix?
  /// The places of the selections that `nearest` does not know of yet; for the matrix alone.
  private var unread: [Int] = []

  /// - Parameters:
  ///   - given: rows selected already; zero rows among them repel nothing.
  ///   - candidates: rows to choose from, ascending, none of them in `given`.
  init(
    _ space: CosineSpace, among candidates: [Int], given: [Int] = [], stepLimit: StepLimit = .unlimited,
    sharing: WorkSharing = .none
  ) {
    self.space = space
    self.sharing = sharing
    steps = StepCounter(limit: stepLimit)
    leftovers = candidates.filter { space.isZero($0) }
    selected = given.filter { !space.isZero($0) }
    blocks = RowBlocks(leftovers.isEmpty ? candidates : candidates.filter { !space.isZero($0) })
    nearest = Array(repeating: SIMD4(repeating: -.infinity), count: blocks.count)
    seen = Array(repeating: 0, count: blocks.count)
    pending = Array(repeating: [], count: blocks.count)
    exactNearest = Array(repeating: -.infinity, count: blocks.rowCount)
    exactSeen = Array(repeating: 0, count: blocks.rowCount)
    for place in blocks.rowCount..<max(4 * blocks.count, blocks.rowCount) {
      nearest[place / 4][place % 4] = .infinity
    }
    heap = BoundHeap((0..<blocks.count).map { BoundHeap.Entry(bound: .infinity, index: $0) })
  }

  /// The next `count` rows, in the order of choice.
  ///
  /// - Precondition: that many candidates are left.
  /// - Throws: when the choice is more work than the limit allows.
  mutating func next(_ count: Int) throws(PruningError) -> [Int] {
    var chosen: [Int] = []
    chosen.reserveCapacity(count)
    while chosen.count < count {
      if let place = try selected.isEmpty ? mostIsolated() : farthest() {
        nearest[place / 4][place % 4] = .infinity
        selected.append(blocks.row(at: place))
        if matrix != nil { unread.append(place) }
        chosen.append(blocks.row(at: place))
      } else {
        let missing = count - chosen.count
        precondition(leftovers.count >= missing, "more rows asked for than there are candidates")
        chosen += leftovers.prefix(missing)
        leftovers.removeFirst(missing)
      }
    }
    return chosen
  }

  private mutating func mostIsolated() throws(PruningError) -> Int? {
    guard blocks.rowCount > 1 else { return blocks.rowCount == 1 ? 0 : nil }
    var search = IsolationSearch(space, blocks, sharing: sharing)
    let place = try search.run(&steps)
    matrix = search.matrix
    return place
  }

  private mutating func farthest() throws(PruningError) -> Int? {
    guard let contenders = try matrix == nil ? lazyContenders() : eagerContenders() else { return nil }
    return contenders.count == 1 ? contenders[0] : try farthestExactly(contenders)
  }

  // MARK: Contenders: the candidates that may be the farthest, as far as binary32 can tell

  /// Places in ascending order; nil when every candidate is chosen.
  private mutating func lazyContenders() throws(PruningError) -> [Int]? {
    var limit = Float.infinity
    var places: [Int] = []
    var fresh: [Int] = []
    while let top = heap.first, top.bound > -.infinity, top.bound >= -Double(limit) {
      let block = top.index
      let bound = -Double(nearest[block].min())
      if bound < top.bound {
        heap.lowerFirst(to: bound)
        continue
      }
      if seen[block] < selected.count || !pending[block].isEmpty {
        try refresh(block)
        heap.lowerFirst(to: -Double(nearest[block].min()))
        continue
      }
      if limit == .infinity { limit = nearest[block].min() + slack }
      fresh.append(block)
      _ = heap.popFirst()
    }
    for block in fresh {
      for lane in 0..<4 where nearest[block][lane] <= limit && nearest[block][lane] < .infinity {
        places.append(4 * block + lane)
      }
      heap.insert(BoundHeap.Entry(bound: -Double(nearest[block].min()), index: block))
    }
    return places.isEmpty ? nil : places.sorted()
  }

  /// Compares a block with up to four of the selections it has not met: those nearest in the sequence, because
  /// they are the most similar and soonest rule the block out.
  private mutating func refresh(_ block: Int) throws(PruningError) {
    if seen[block] < selected.count {
      pending[block].append(contentsOf: Int32(seen[block])..<Int32(selected.count))
      seen[block] = selected.count
    }
    let count = min(4, pending[block].count)
    try steps.spend(
      StepCounter.heapTurn + pending[block].count + 4 * count * StepCounter.comparison(columns: space.columns)
    )
    let rows = blocks[block]
    let others = takeNearest(of: block, to: rows[0])
    var largest = nearest[block]
    if count <= 2 {
      for index in 0..<count {
        largest.raise(to: space.similarities(of: others[index], to: rows))
      }
    } else {
      let tile = space.similarities(of: rows, to: others).columns
      largest.raise(to: tile.0)
      largest.raise(to: tile.1)
      largest.raise(to: tile.2)
      largest.raise(to: tile.3)
    }
    nearest[block] = largest
  }

  /// Of how many pending selections the nearest are looked for.
  private static let window = 24

  /// Takes up to four pending selections, the nearest in the sequence; the last of fewer is repeated.
  private mutating func takeNearest(of block: Int, to row: Int) -> SIMD4<Int> {
    var taken = SIMD4(repeating: 0)
    var count = 0
    while count < 4, let last = pending[block].indices.last {
      var best = last
      var distance = Int.max
      for index in max(0, last - Self.window + 1 + count)...last {
        let other = abs(selected[Int(pending[block][index])] - row)
        if other < distance {
          best = index
          distance = other
        }
      }
      for lane in count..<4 { taken[lane] = selected[Int(pending[block][best])] }
      pending[block].swapAt(best, last)
      pending[block].removeLast()
      count += 1
    }
    return taken
  }

  private mutating func eagerContenders() throws(PruningError) -> [Int]? {
    guard let matrix else { return nil }
    try steps.spend((unread.count + 1) * blocks.rowCount)
    for place in unread { matrix.merge(place, into: &nearest) }
    unread = []
    let lowest = nearest.reduce(Float.infinity) { min($0, $1.min()) }
    guard lowest < .infinity else { return nil }
    var places: [Int] = []
    for block in 0..<blocks.count where nearest[block].min() <= lowest + slack {
      for lane in 0..<4 where nearest[block][lane] <= lowest + slack { places.append(4 * block + lane) }
    }
    return places
  }

  // MARK: Exactly

  private mutating func farthestExactly(_ contenders: [Int]) throws(PruningError) -> Int {
    for place in contenders { try refreshExactly(place) }
    // Contenders ascend, and the first of equals is the minimum.
    return contenders.min { exactNearest[$0] < exactNearest[$1] } ?? contenders[0]
  }

  private mutating func refreshExactly(_ place: Int) throws(PruningError) {
    let unseen = selected[exactSeen[place]...]
    try steps.spend(unseen.count * StepCounter.exactComparison(columns: space.columns))
    let largest = space.largestExactSimilarity(
      of: blocks.row(at: place), to: unseen, fastest: nearest[place / 4][place % 4], within: slack)
    exactNearest[place] = max(exactNearest[place], largest)
    exactSeen[place] = selected.count
  }
}
