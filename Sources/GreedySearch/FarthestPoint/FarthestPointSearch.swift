import Kernels
public import PruningNumerics

/// Max-min diversity by cosine distance: repeatedly the row farthest from everything selected so far.
///
/// The choice is that of float64 arithmetic on the given rows, whatever kernels are in use: float32
/// similarities only rule rows out, and rows closer together than their error bound are compared by
/// `KernelSet.preciseDot`.
///
/// Evaluation is lazy by pairs. Distances only shrink as more is selected, so a stale one is an upper bound
/// (Minoux 1978). Only the candidate with the highest bound is compared with selections it has not met, four of them in
/// a tile with up to three more candidates that have come equally far, until the one with the highest bound has met
/// all. Most candidates are ruled out by few selections and never see the others; above all by their neighbours in the
/// sequence, which resemble them most, and which the first pick has compared them with: a candidate that close to one
/// selection cannot be closer to others that are far from that one (`passOver`). Where bounds rule out little (rows
/// without any structure, or of few columns), the first pick computes the similarities of all pairs in one go
/// (``SimilarityMatrix``), and the rest reads them. Where rows share a mean, all similarities are high and no stale one rules
/// anything out: then bounds by few coordinates do (``SketchedFarthestPoints``).
/// - Complexity: at most O(T N (D + N / 256)) for T selections. The first pick (``IsolationSearch``) is O(N^2 D) at
///   worst, and far less where neighbouring tokens resemble each other. Memory is O(N), or N^2 numbers with the matrix.
public struct FarthestPointSearch {
  /// How pairs are spared; whichever is chosen, the result is the same.
  public enum Design: CaseIterable { case lazy, matrix, sketch }

  private let design: Design?
  private let space: CosineSpace
  private let sharing: WorkSharing
  private var slack: Float { matrix?.slack ?? space.slack }

  public private(set) var selected: [Int] = []
  private let blocks: RowBlocks
  /// Per candidate, by slot: the largest fast similarity to the selections it was compared with, which are the
  /// first ones, as many as its progress says, and some others; closed for what is chosen.
  private let nearest: BoundTable
  /// Of the first pick: the fast similarities within segments, which say at once what it does to its neighbours.
  private var neighbours: SegmentSimilarities?
  /// Per selection the largest fast similarity to those before; infinity for what is given.
  private var nearestBefore: [Float]
  /// Per candidate which selection it became; -1 until then.
  private var order: [Int32]
  /// Per candidate: the same in float64, for those that were ever compared exactly.
  private var exactNearest: [Double]
  private var exactSeen: [Int]
  /// Zero rows have no direction: they are chosen only when nothing else is left.
  private var leftovers: [Int]
  private var steps: StepCounter
  private var matrix: SimilarityMatrix?
  /// What chooses instead, where rows share a mean; nothing is decided before the first choice.
  private var sketched: SketchedFarthestPoints?
  private var hasBegun = false
  /// The slots of the selections that `nearest` does not know of yet; for the matrix alone.
  private var unread: [Int] = []

  /// - Parameters:
  ///   - given: rows selected already; zero rows among them repel nothing.
  ///   - candidates: rows to choose from, ascending, none of them in `given`.
  ///   - design: decided by what the rows are like where nobody says.
  public init(
    _ space: CosineSpace, among candidates: [Int], given: [Int] = [], stepLimit: StepLimit = .unlimited,
    sharing: WorkSharing = .none, design: Design? = nil
  ) {
    self.design = design
    self.space = space
    self.sharing = sharing
    steps = StepCounter(limit: stepLimit)
    leftovers = candidates.filter { space.isZero($0) }
    selected = given.filter { !space.isZero($0) }
    blocks = RowBlocks(leftovers.isEmpty ? candidates : candidates.filter { !space.isZero($0) })
    nearest = BoundTable(count: blocks.rowCount)
    nearestBefore = Array(repeating: .infinity, count: selected.count)
    order = Array(repeating: -1, count: blocks.rowCount)
    exactNearest = Array(repeating: -.infinity, count: blocks.rowCount)
    exactSeen = Array(repeating: 0, count: blocks.rowCount)
  }

  /// The next `count` rows, in the order of choice.
  ///
  /// - Precondition: that many candidates are left.
  /// - Throws: when the choice is more work than the limit allows.
  public mutating func next(_ count: Int) throws(PruningError) -> [Int] {
    guard count > 0 else { return [] }
    let space = space
    return try space.withReader { reader throws(PruningError) in try choose(count, reader) }
  }

  private mutating func choose(_ count: Int, _ reader: CosineReader) throws(PruningError) -> [Int] {
    var chosen: [Int] = []
    chosen.reserveCapacity(count)
    selected.reserveCapacity(selected.count + count)
    nearestBefore.reserveCapacity(selected.count + count)
    try begin(reader)
    while chosen.count < count {
      if let row = try nextRow(reader) {
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

  private mutating func nextRow(_ reader: CosineReader) throws(PruningError) -> Int? {
    if sketched != nil { return try sketched?.next(reader, &steps) }
    guard let slot = try selected.isEmpty ? mostIsolated(reader) : farthest(reader) else { return nil }
    select(slot)
    return blocks.row(at: slot)
  }

  private mutating func begin(_ reader: CosineReader) throws(PruningError) {
    guard !hasBegun else { return }
    hasBegun = true
    guard blocks.rowCount > 0, design == nil || design == .sketch else { return }
    let promisesMuch = try RowSketch.promisesMuch(space, blocks.rows, reader, &steps)
    guard design == .sketch || promisesMuch else { return }
    sketched = try SketchedFarthestPoints(
      space, among: blocks.rows, given: selected, sharing: sharing, &steps)
  }

  private mutating func mostIsolated(_ reader: CosineReader) throws(PruningError) -> Int? {
    guard blocks.rowCount > 1 else { return blocks.rowCount == 1 ? 0 : nil }
    var search = IsolationSearch(space, blocks, design, sharing: sharing)
    let slot = try search.run(reader, &steps)
    matrix = search.matrix
    neighbours = search.neighbours
    if matrix == nil, let similarities = search.similaritiesBeyondSegment(of: slot) {
      nearest.raiseAll(to: similarities)
      // Who is chosen first, everybody has met with that.
      for slot in 0..<blocks.rowCount { nearest.setProgress(of: slot, to: 1) }
    }
    return slot
  }

  private mutating func select(_ slot: Int) {
    nearestBefore.append(nearest[slot])
    order[slot] = Int32(truncatingIfNeeded: selected.count)
    nearest.close(slot)
    selected.append(blocks.row(at: slot))
    if matrix != nil {
      unread.append(slot)
    } else {
      neighbours?.raiseNeighbours(of: slot, in: nearest)
    }
  }

  private mutating func farthest(_ reader: CosineReader) throws(PruningError) -> Int? {
    guard let contenders = try matrix == nil ? lazyContenders(reader) : eagerContenders() else { return nil }
    return contenders.count == 1 ? contenders[0] : try farthestExactly(contenders)
  }

  // MARK: Contenders: the candidates that may be the farthest, as far as float32 can tell

  /// Places in ascending order; nil when every candidate is chosen.
  private mutating func lazyContenders(_ reader: CosineReader) throws(PruningError) -> [Int]? {
    while true {
      try steps.spend(StepCounter.look(atSlots: blocks.rowCount))
      guard let slot = nearest.lowestSlot() else { return nil }
      if passOver(slot) < selected.count {
        let (slots, count) = nearest.mates(of: slot)
        try refresh(slots, count, reader)
        continue
      }
      let contenders = nearest.slots(upTo: nearest[slot] + slack)
      if contenders.count == 1 { return contenders }
      let stale = contenders.filter { nearest.progress(of: $0) < selected.count }
      if stale.isEmpty { return contenders }
      for slot in stale where passOver(slot) < selected.count {
        try refresh(SIMD4(repeating: slot), 1, reader)
      }
    }
  }

  /// Passes over the selections that cannot be nearer to a candidate than the nearest of its segment, and returns
  /// how far it has come.
  ///
  /// Angles obey the triangle inequality. So what is twice as far from that selection as the candidate is, is as far
  /// from the candidate at least; and how near two selections are, the later knew when it was chosen.
  private func passOver(_ slot: Int) -> Int {
    var progress = nearest.progress(of: slot)
    // Of who is farther than half a right angle, twice as far is more than a right one, and selections hardly are.
    guard progress < selected.count, nearest[slot] > 0.7072,
      let witness = neighbours?.nearestChosen(to: slot, order)
    else { return progress }
    let limit = 2 * witness.similarity * witness.similarity - 1 - 4 * slack
    while progress < selected.count,
      progress == witness.selection || nearestBefore[max(progress, witness.selection)] <= limit
    { progress += 1 }
    nearest.setProgress(of: slot, to: progress)
    return progress
  }

  /// Compares `present` slots that have met equally many selections with the next up to four.
  private mutating func refresh(
    _ slots: SIMD4<Int>, _ present: Int, _ reader: CosineReader
  ) throws(PruningError) {
    let first = nearest.progress(of: slots[0])
    let count = min(4, selected.count - first)
    try steps.spend(4 * count * StepCounter.comparison(columns: space.columns))
    var others = SIMD4(repeating: selected[first])
    for lane in 1..<count { others[lane] = selected[first + lane] }
    if present == 1 {
      let row = blocks.row(at: slots[0])
      nearest.raise(slots[0], to: reader.similarities(of: row, to: others).largest)
    } else {
      let rows = SIMD4(
        blocks.row(at: slots[0]), blocks.row(at: slots[1]), blocks.row(at: slots[2]),
        blocks.row(at: slots[3]))
      let largest =
        count == 1
        ? reader.similarities(of: others[0], to: rows) : reader.similarities(of: rows, to: others).largest
      for lane in 0..<present { nearest.raise(slots[lane], to: largest[lane]) }
    }
    for lane in 0..<present { nearest.setProgress(of: slots[lane], to: first + count) }
  }

  private mutating func eagerContenders() throws(PruningError) -> [Int]? {
    guard let matrix else { return nil }
    try steps.spend((unread.count + 1) * blocks.rowCount)
    nearest.update { values in for slot in unread { matrix.merge(slot, into: values) } }
    unread = []
    guard let lowest = nearest.lowestSlot() else { return nil }
    return nearest.slots(upTo: nearest[lowest] + slack)
  }

  // MARK: Exactly

  private mutating func farthestExactly(_ contenders: [Int]) throws(PruningError) -> Int {
    try steps.spend(contenders.count * StepCounter.exactDecision)
    for slot in contenders { try refreshExactly(slot) }
    // Contenders ascend, and the first of equals is the minimum.
    return contenders.min { exactNearest[$0] < exactNearest[$1] } ?? contenders[0]
  }

  private mutating func refreshExactly(_ slot: Int) throws(PruningError) {
    let unseen = selected[exactSeen[slot]...]
    try steps.spend(unseen.count * StepCounter.exactComparison(columns: space.columns))
    let largest = space.largestExactSimilarity(
      of: blocks.row(at: slot), to: unseen, fastest: nearest[slot], within: slack)
    exactNearest[slot] = max(exactNearest[slot], largest)
    exactSeen[slot] = selected.count
  }
}
