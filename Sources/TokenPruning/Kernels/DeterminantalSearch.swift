import Kernels

/// Greedy maximum a posteriori inference of a determinantal point process over K = diag(q) S diag(q), where
/// S holds the cosines between rows and q >= 0 is each row's quality.
///
/// The fast greedy algorithm of Chen, Zhang and Zhou (NeurIPS 2018, arXiv 1709.05135, algorithm 1), all in
/// binary64, evaluated lazily by pairs: marginal gains only shrink, so a stale gain is an upper bound. Candidates lie
/// in blocks of four; the block with the largest bound is brought forward by up to four selections in one tile of
/// inner products, and goes back into the queue, until the first in the queue is up to date. No number depends on
/// when or in which tile it is computed, so the result is that of the eager algorithm, step by step and bit by bit.
/// - Complexity: at most O(T N (D + T)) for T selections, with T (T + 4 B) numbers of memory, B <= N / 4 the blocks
///   that were ever looked at.
struct DeterminantalSearch {
  /// The rank counts as exhausted for a row whose residual fell to this share of its diagonal: what is left
  /// there is rounding, and a square root or quotient of it would be noise or NaN.
  static let exhaustedShare = 1e-10

  private let features: Matrix
  private let quality: [Double]
  private let kernels: KernelSet
  private let capacity: Int

  /// Candidates, then in blocks of their own the given rows.
  private let candidates: RowBlocks
  private let given: RowBlocks
  private var heap: BoundHeap
  /// Quality over norm by row: the factor that makes an inner product an entry of the kernel; 0 for zero rows.
  private let scales: [Double]
  /// What is left of the diagonal after `seen` selections, by block; minus infinity for padding and for what is
  /// chosen or exhausted.
  private var residual: [SIMD4<Double>]
  private var seen: [Int]
  /// Rows of the incomplete Cholesky factor, by block: four numbers for each selection seen.
  private var factors: [[Double]]

  private var selected: [Int] = []
  /// Per selection: 1 / sqrt(gain when selected), and its row of the factor [T, capacity].
  private var inversePivots: [Double] = []
  private var selectedFactors: [Double]
  private var exhausted: [Int] = []
  private var steps: StepCounter

  /// - Parameters:
  ///   - capacity: the most selections there will be, `given` included.
  ///   - given: rows selected already; what they explain no longer counts as gain.
  init(
    _ features: Matrix, quality: [Double], among candidates: [Int], given: [Int] = [], capacity: Int,
    norms: [Double]? = nil, stepLimit: StepLimit = .unlimited, kernels: KernelSet = .active
  ) throws(PruningError) {
    self.features = features
    self.quality = quality
    self.kernels = kernels
    self.capacity = capacity
    steps = StepCounter(limit: stepLimit)
    let norms = norms ?? features.norms(kernels)
    // A zero row is similar to nothing, itself included: it has no gain and waits with the exhausted rows.
    scales = norms.indices.map { norms[$0] > 0 ? quality[$0] / norms[$0] : 0 }
    self.candidates = RowBlocks(candidates)
    self.given = RowBlocks(given)
    let count = self.candidates.count + self.given.count
    residual = []
    residual.reserveCapacity(count)
    for blocks in [self.candidates, self.given] {
      for block in 0..<blocks.count {
        var four = SIMD4(repeating: -Double.infinity)
        for lane in blocks.lanes(of: block) {
          let row = blocks[block][lane]
          four[lane] = norms[row] > 0 ? quality[row] * quality[row] : 0
        }
        residual.append(four)
      }
    }
    seen = Array(repeating: 0, count: count)
    factors = Array(repeating: [], count: count)
    selectedFactors = Array(repeating: 0, count: capacity * capacity)
    let bounds = residual
    heap = BoundHeap(
      (0..<self.candidates.count).map { BoundHeap.Entry(bound: bounds[$0].max(), index: $0) })
    try selectGiven()
  }

  private mutating func selectGiven() throws(PruningError) {
    for place in 0..<given.rowCount {
      let block = candidates.count + place / 4
      while seen[block] < selected.count { try refresh(block, given[place / 4]) }
      if !isExhausted(residual[block][place % 4], given.row(at: place)) {
        select(given.row(at: place), lane: place % 4, of: block)
      }
    }
  }

  /// The next `count` rows in the order of choice; once the rank is exhausted, the rest by quality.
  ///
  /// - Precondition: that many candidates are left.
  /// - Throws: when the choice is more work than the limit allows.
  mutating func next(_ count: Int) throws(PruningError) -> [Int] {
    var chosen: [Int] = []
    chosen.reserveCapacity(count)
    while chosen.count < count, let row = try selectBest() { chosen.append(row) }
    let missing = count - chosen.count
    guard missing > 0 else { return chosen }
    let rest = Ranking.highest(missing, of: quality, among: exhausted.sorted())
    let isTaken = Set(rest)
    exhausted.removeAll { isTaken.contains($0) }
    return chosen + rest
  }

  private mutating func selectBest() throws(PruningError) -> Int? {
    while let top = heap.first, top.bound > -.infinity {
      let block = top.index
      let bound = residual[block].max()
      if bound < top.bound {
        heap.lowerFirst(to: bound)
        continue
      }
      if seen[block] < selected.count {
        try refresh(block, candidates[block])
        heap.lowerFirst(to: residual[block].max())
        continue
      }
      // The lower of equal lanes, as the heap gives the lower of equal blocks.
      guard let lane = (0..<4).first(where: { residual[block][$0] == bound }) else { return nil }
      let row = candidates[block][lane]
      if isExhausted(bound, row) {
        exhausted.append(row)
      } else {
        select(row, lane: lane, of: block)
      }
      residual[block][lane] = -.infinity
      if isExhausted(bound, row) { continue }
      return row
    }
    return nil
  }

  private func isExhausted(_ residual: Double, _ row: Int) -> Bool {
    residual <= Self.exhaustedShare * quality[row] * quality[row] || residual <= 0
  }

  /// Conditions on a row, which is up to date and has a positive residual.
  private mutating func select(_ row: Int, lane: Int, of block: Int) {
    let start = selected.count * capacity
    for step in 0..<selected.count { selectedFactors[start + step] = factors[block][4 * step + lane] }
    selected.append(row)
    inversePivots.append(1 / residual[block][lane].squareRoot())
  }

  /// Brings a block forward by up to four of the selections it has not seen.
  private mutating func refresh(_ block: Int, _ rows: SIMD4<Int>) throws(PruningError) {
    let first = seen[block]
    let count = min(4, selected.count - first)
    let perEntry = StepCounter.exactComparison(columns: features.columns) + first / 4
    try steps.spend(StepCounter.heapTurn + 4 * count * perEntry)
    let own = SIMD4(scales[rows[0]], scales[rows[1]], scales[rows[2]], scales[rows[3]])
    var left = residual[block]
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 32) { scratch in
      guard let products = scratch.baseAddress else { return }
      let explained = products + 16
      multiply(rows, first, count, into: products)
      multiplyFactors(block, first, count, into: explained)
      for index in 0..<count {
        let step = first + index
        var sum = Self.four(explained, index)
        for earlier in first..<step {
          sum +=
            Self.four(factors[block], earlier) * selectedFactors[step * capacity + earlier]
        }
        let kernel = Self.four(products, index) * own * scales[selected[step]]
        let entry = (kernel - sum) * inversePivots[step]
        for lane in 0..<4 { factors[block].append(entry[lane]) }
        left -= entry * entry
      }
    }
    residual[block] = left
    seen[block] = first + count
  }

  private static func four(_ values: UnsafeMutablePointer<Double>, _ index: Int) -> SIMD4<Double> {
    UnsafeRawPointer(values + 4 * index).loadUnaligned(as: SIMD4<Double>.self)
  }

  private static func four(_ values: [Double], _ index: Int) -> SIMD4<Double> {
    SIMD4(values[4 * index], values[4 * index + 1], values[4 * index + 2], values[4 * index + 3])
  }

  /// products[4 j + i] = the inner product of row i with selection first + j.
  private func multiply(
    _ rows: SIMD4<Int>, _ first: Int, _ count: Int, into products: UnsafeMutablePointer<Double>
  ) {
    features.values.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      let columns = features.columns
      let a = rows &* columns
      func selection(_ index: Int) -> UnsafePointer<Float> { base + selected[first + index] * columns }
      if count <= 2 {
        for index in 0..<count {
          kernels.tiles.preciseColumn(
            base + a[0], base + a[1], base + a[2], base + a[3], selection(index), columns,
            products + 4 * index)
        }
      } else {
        kernels.tiles.preciseTile(
          base + a[0], base + a[1], base + a[2], base + a[3], selection(0), selection(1), selection(2),
          selection(count - 1), columns, products)
      }
    }
  }

  /// explained[4 j + i] = what the first `first` selections explain of the kernel's entry for row i and
  /// selection first + j.
  private func multiplyFactors(
    _ block: Int, _ first: Int, _ count: Int, into explained: UnsafeMutablePointer<Double>
  ) {
    factors[block].withUnsafeBufferPointer { own in
      selectedFactors.withUnsafeBufferPointer { theirs in
        guard let own = own.baseAddress, let theirs = theirs.baseAddress else {
          for index in 0..<16 { explained[index] = 0 }
          return
        }
        func factor(_ index: Int) -> UnsafePointer<Double> {
          theirs + (first + min(index, count - 1)) * capacity
        }
        kernels.tiles.factorProducts(own, factor(0), factor(1), factor(2), factor(3), first, explained)
      }
    }
  }
}
