public import Kernels
public import PruningNumerics

/// Greedy maximum a posteriori inference of a determinantal point process over K = diag(q) S diag(q), where
/// S holds the cosines between rows and q >= 0 is each row's quality.
///
/// The fast greedy algorithm of Chen, Zhang and Zhou (NeurIPS 2018, arXiv 1709.05135, algorithm 1), all in
/// float64, evaluated lazily by pairs: marginal gains only shrink, so a stale gain is an upper bound. The candidate
/// with the largest bound is compared with a selection beside it (``NearSelections``), or brought forward by up to
/// eight selections, and goes back into the queue, until the first in the queue is up to date. No number depends on
/// when it is computed, so the result is that of the eager algorithm, step by step and bit by bit.
/// - Complexity: at most O(T N (D + T)) for T selections, and about O(T^2 (D + T)) where bounds rule out most. Memory is
///   T (T + D) numbers, and T for each candidate that was ever brought forward.
public struct DeterminantalSearch {
  /// The rank counts as exhausted for a row whose residual fell to this share of its diagonal: what is left
  /// there is rounding, and a square root or quotient of it would be noise or NaN.
  static let exhaustedShare = 1e-10

  /// Features of so few columns are compared all at once (``DeterminantalColumns``).
  private static let fewColumns = 128

  /// How many entries behind the first of the queue may go forward with it: the three levels below.
  private static let lookahead = 14

  /// How far a row has come, by slot.
  private struct State {
    /// What is left of the diagonal after `seen` selections.
    public var residual: Double
    public var seen = 0
    /// Its row of the factor, once it was brought forward.
    public var row: UnsafeMutablePointer<Double>?
  }

  private let features: MeasuredRows
  private let quality: [Double]
  /// Quality over norm by row: the factor that makes an inner product an entry of the kernel; 0 for zero rows.
  private let scales: [Double]
  /// Rows by slot: the candidates, then what is given.
  private let rows: [Int]
  private let candidateCount: Int

  private var states: [State]
  private var heap: BoundHeap
  private let near: NearSelections
  private var selected: [Int] = []
  /// Of each selection its slot, and its pivot: the last entry of its row of the factor.
  private var selectedSlots: [Int] = []
  private var pivots: [Double] = []
  private let factor: SelectedFactor
  private var exhausted: [Int]
  /// The eager form, for narrow features.
  private let columns: DeterminantalColumns?
  private let cosineError: Double
  private var steps: StepCounter

  /// - Parameters:
  ///   - capacity: the most selections there will be, `given` included.
  ///   - given: rows selected already; what they explain no longer counts as gain.
  ///   - isEager: whether all gains are kept up to date; decided by the number of columns where nobody says.
  public init(
    _ features: MeasuredRows, quality: [Double], among candidates: [Int], given: [Int] = [], capacity: Int,
    stepLimit: StepLimit = .unlimited, kernels: KernelSet = .active, isEager: Bool? = nil
  ) throws(PruningError) {
    self.features = features
    self.quality = quality
    steps = StepCounter(limit: stepLimit)
    cosineError = Double(KernelSet.tolerance(columns: features.columns))
    let norms = features.norms
    // A zero row is similar to nothing, itself included: it has no gain and counts as exhausted from the start.
    scales = norms.indices.map { norms[$0] > 0 ? quality[$0] / norms[$0] : 0 }
    rows = candidates + given
    candidateCount = candidates.count
    let states = rows.map { State(residual: norms[$0] > 0 ? quality[$0] * quality[$0] : 0) }
    self.states = states
    // Only a row with a direction and a quality has cosines and bounds: the others never enter the queue.
    let (open, closed) = Self.partition(candidates.indices, by: { states[$0].residual > 0 })
    heap = BoundHeap(open.map { BoundHeap.Entry(bound: states[$0].residual, index: $0) })
    exhausted = closed.map { candidates[$0] }
    near = NearSelections(
      slots: candidates.count, rows: features.count, columns: features.columns, capacity: capacity)
    factor = SelectedFactor(columns: features.columns, capacity: capacity, kernels: kernels.factors)
    selected.reserveCapacity(capacity)
    columns =
      !(isEager ?? (features.columns <= Self.fewColumns))
      ? nil
      : DeterminantalColumns(
        features, rows: rows, quality: quality, scales: scales, gains: states.map(\.residual),
        capacity: capacity, kernels: kernels.factors)
    if let columns {
      for slot in candidateCount..<rows.count { try columns.selectGiven(slot, &steps) }
    } else if !given.isEmpty {
      try withReader { search, reader throws(PruningError) in try search.selectGiven(reader) }
    }
  }

  private static func partition(
    _ slots: Range<Int>, by isOpen: (Int) -> Bool
  ) -> (open: [Int], closed: [Int]) {
    var (open, closed): ([Int], [Int]) = ([], [])
    open.reserveCapacity(slots.count)
    for slot in slots { if isOpen(slot) { open.append(slot) } else { closed.append(slot) } }
    return (open, closed)
  }

  private mutating func withReader<Value>(
    _ body: (inout DeterminantalSearch, MeasuredRows.Reader) throws(PruningError) -> Value
  ) throws(PruningError) -> Value {
    let features = features
    return try features.withReader { reader in
      Result { () throws(PruningError) in try body(&self, reader) }
    }.get()
  }

  private mutating func selectGiven(_ reader: MeasuredRows.Reader) throws(PruningError) {
    for slot in candidateCount..<rows.count {
      while states[slot].seen < selected.count { try advance(slot, reader) }
      if !isExhausted(states[slot].residual, rows[slot]) { select(slot, reader) }
    }
  }

  /// The next `count` rows in the order of choice; once the rank is exhausted, the rest by quality.
  ///
  /// - Precondition: that many candidates are left.
  /// - Throws: when the choice is more work than the limit allows.
  public mutating func next(_ count: Int) throws(PruningError) -> [Int] {
    let chosen = try withReader { search, reader throws(PruningError) in
      var chosen: [Int] = []
      chosen.reserveCapacity(count)
      while chosen.count < count, let row = try search.selectNext(reader) { chosen.append(row) }
      return chosen
    }
    exhausted += columns?.takeExhausted() ?? []
    let missing = count - chosen.count
    guard missing > 0 else { return chosen }
    let rest = Ranking.highest(missing, of: quality, among: exhausted.sorted())
    let isTaken = Set(rest)
    exhausted.removeAll { isTaken.contains($0) }
    return chosen + rest
  }

  private mutating func selectNext(_ reader: MeasuredRows.Reader) throws(PruningError) -> Int? {
    if let columns { return try columns.selectBest(&steps) }
    return try selectBest(reader)
  }

  private mutating func selectBest(_ reader: MeasuredRows.Reader) throws(PruningError) -> Int? {
    while let top = heap.first {
      let slot = top.index
      let row = rows[slot]
      // Residuals only shrink, so a bound says that as well as they do.
      if isExhausted(top.bound, row) {
        exhausted.append(row)
        _ = heap.popFirst()
      } else if states[slot].seen == selected.count {
        select(slot, reader)
        _ = heap.popFirst()
        return row
      } else if let bound = try nearBound(of: slot, reader) {
        heap.lowerFirst(to: min(bound, top.bound))
      } else {
        try advanceFirst(top, reader)
      }
    }
    return nil
  }

  private func isExhausted(_ residual: Double, _ row: Int) -> Bool {
    Self.isExhausted(residual, quality: quality[row])
  }

  public static func isExhausted(_ residual: Double, quality: Double) -> Bool {
    residual <= exhaustedShare * quality * quality || residual <= 0
  }

  /// Conditions on a row, which is up to date and has a positive residual.
  private mutating func select(_ slot: Int, _ reader: MeasuredRows.Reader) {
    let row = rows[slot]
    factor.append(
      reader.row(row), factorRow(of: slot), scale: scales[row], residual: states[slot].residual)
    near.append(row: row)
    selected.append(row)
    selectedSlots.append(slot)
    pivots.append(states[slot].residual.squareRoot())
  }

  /// A bound by one more selection beside the candidate; nil where there is none.
  private mutating func nearBound(
    of slot: Int, _ reader: MeasuredRows.Reader
  ) throws(PruningError) -> Double? {
    let row = rows[slot]
    guard let selection = near.next(for: slot, at: row), selection >= states[slot].seen else { return nil }
    let (members, count) = near.members(of: slot)
    var comparisons = StepCounter.comparison(columns: features.columns)
    for index in 0..<count where !near.knows(Int(members[index]), selection) {
      let other = Int(members[index])
      near.learn(cosine(ofSelections: other, selection, reader), of: other, selection)
      comparisons += StepCounter.exactComparison(columns: min(other, selection))
    }
    try steps.spend(StepCounter.heapTurn + comparisons)
    let share = near.shareLeft(
      of: slot, with: selection, cosine: reader.cosine(row, selected[selection]), error: cosineError)
    return share * quality[row] * quality[row]
  }

  /// The cosine of two selections as their rows of the factor have it, which is a short product where that of their
  /// features is a long one.
  private func cosine(ofSelections a: Int, _ b: Int, _ reader: MeasuredRows.Reader) -> Double {
    let (early, late) = (min(a, b), max(a, b))
    let (row, other) = (selected[a], selected[b])
    let scale = quality[row] * quality[other]
    // Beyond, entries of the kernel have lost digits or all meaning.
    guard (0x1p-900...0x1p900).contains(scale) else { return reader.preciseCosine(row, other) }
    guard let first = states[selectedSlots[early]].row, let second = states[selectedSlots[late]].row else {
      preconditionFailure("selections have rows of the factor")
    }
    var entry = pivots[early] * second[early]
    for index in 0..<early { entry += first[index] * second[index] }
    return entry / scale
  }

  /// Brings the first in the queue forward, and with it another that has come to the same block: a panel is read once
  /// for both, and whoever is near the head will be asked soon.
  private mutating func advanceFirst(
    _ top: BoundHeap.Entry, _ reader: MeasuredRows.Reader
  ) throws(PruningError) {
    guard let (position, other) = try companion(of: top.index, reader) else {
      try advance(top.index, reader)
      return heap.lowerFirst(to: bound(of: top))
    }
    try spendOnBlock(of: top.index, rows: 2)
    var (a, b) = (traveller(top.index, reader, .first), traveller(other.index, reader, .second))
    factor.advance(&a, &b)
    arrive(a, at: top.index)
    arrive(b, at: other.index)
    heap.lower(at: position, to: bound(of: other))
    heap.lowerFirst(to: bound(of: top))
  }

  /// One near the head of the queue that is to go through the same block as the first, and its position.
  private mutating func companion(
    of slot: Int, _ reader: MeasuredRows.Reader
  ) throws(PruningError) -> (position: Int, entry: BoundHeap.Entry)? {
    let block = states[slot].seen / SelectedFactor.blockSize
    for position in 1...Self.lookahead {
      guard let entry = heap.entry(at: position) else { return nil }
      let seen = states[entry.index].seen
      guard seen < selected.count, seen / SelectedFactor.blockSize == block else { continue }
      guard let bound = try nearBound(of: entry.index, reader) else { return (position, entry) }
      heap.lower(at: position, to: min(bound, entry.bound))
    }
    return nil
  }

  /// The bound of an entry that was brought forward: the gain itself where it is up to date.
  private func bound(of entry: BoundHeap.Entry) -> Double {
    let residual = states[entry.index].residual
    return states[entry.index].seen == selected.count ? residual : min(residual, entry.bound)
  }

  /// Brings a row forward through what it has not seen of a block of selections.
  private mutating func advance(_ slot: Int, _ reader: MeasuredRows.Reader) throws(PruningError) {
    try spendOnBlock(of: slot, rows: 1)
    var row = traveller(slot, reader, .first)
    factor.advance(&row)
    arrive(row, at: slot)
  }

  private mutating func spendOnBlock(of slot: Int, rows: Int) throws(PruningError) {
    let perEntry = StepCounter.exactComparison(columns: features.columns) + states[slot].seen / 4
    try steps.spend(rows * (StepCounter.heapTurn + SelectedFactor.blockSize * perEntry))
  }

  private mutating func traveller(
    _ slot: Int, _ reader: MeasuredRows.Reader, _ room: MeasuredRows.Reader.Place
  ) -> SelectedFactor.Traveller {
    SelectedFactor.Traveller(
      features: reader.row(rows[slot], in: room), scale: scales[rows[slot]], row: factorRow(of: slot),
      seen: states[slot].seen, residual: states[slot].residual)
  }

  private mutating func arrive(_ traveller: SelectedFactor.Traveller, at slot: Int) {
    states[slot].seen = traveller.seen
    states[slot].residual = traveller.residual
  }

  private mutating func factorRow(of slot: Int) -> UnsafeMutablePointer<Double> {
    if let row = states[slot].row { return row }
    let row = factor.makeRow()
    states[slot].row = row
    return row
  }
}
