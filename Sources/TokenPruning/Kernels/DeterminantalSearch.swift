import Kernels

/// Greedy maximum a posteriori inference of a determinantal point process over K = diag(q) S diag(q), where
/// S holds the cosines between rows and q >= 0 is each row's quality.
///
/// The fast greedy algorithm of Chen, Zhang and Zhou (NeurIPS 2018, arXiv 1709.05135, algorithm 1), all in
/// binary64, evaluated lazily: marginal gains only shrink, so a row is brought up to date only while its
/// stale gain could still be the largest. The result is that of the eager algorithm, step by step.
/// - Complexity: at most O(T N (D + T)) for T selections, with T N + T D numbers of memory.
struct DeterminantalSearch {
  /// The rank counts as exhausted for a row whose residual fell to this share of its diagonal: what is left
  /// there is rounding, and a square root or quotient of it would be noise or NaN.
  static let exhaustedShare = 1e-10

  private let features: Matrix
  private let norms: [Double]
  private let quality: [Double]
  private let kernels: KernelSet
  private let capacity: Int

  private var heap: BoundHeap
  private var selected: [Int] = []
  /// Per selection: 1 / sqrt(gain when selected), and its row divided by its norm, widened [T, D].
  private var inversePivots: [Double] = []
  private var selectedRows: [Double] = []
  /// Row i of the incomplete Cholesky factor [N, capacity], valid up to `seen[i]`.
  private var factor: [Double]
  private var seen: [Int]
  private var residual: [Double]
  private var exhausted: [Int] = []
  private var steps: StepCounter

  /// - Parameters:
  ///   - capacity: the most selections there will be, `given` included.
  ///   - given: rows selected already; what they explain no longer counts as gain.
  init(
    _ features: Matrix, quality: [Double], among candidates: [Int], given: [Int] = [], capacity: Int,
    stepLimit: StepLimit = .unlimited, kernels: KernelSet = .active
  ) throws(PruningError) {
    self.features = features
    steps = StepCounter(limit: stepLimit)
    self.quality = quality
    self.kernels = kernels
    self.capacity = capacity
    let norms = features.norms(kernels)
    self.norms = norms
    // A zero row is similar to nothing, itself included: it has no gain and waits with the exhausted rows.
    let residual =
      features.rows == 0 ? [] : quality.indices.map { norms[$0] > 0 ? quality[$0] * quality[$0] : 0 }
    self.residual = residual
    seen = Array(repeating: 0, count: features.rows)
    factor = Array(repeating: 0, count: features.rows * capacity)
    heap = BoundHeap(candidates.map { BoundHeap.Entry(bound: residual[$0], index: $0) })
    for row in given where try !isExhausted(refreshed: row) { append(row) }
  }

  /// The next `count` rows in the order of choice; once the rank is exhausted, the rest by quality.
  ///
  /// - Precondition: that many candidates are left.
  /// - Throws: when the choice is more work than the limit allows.
  mutating func next(_ count: Int) throws(PruningError) -> [Int] {
    var chosen: [Int] = []
    chosen.reserveCapacity(count)
    while chosen.count < count, let row = try popBest() {
      append(row)
      chosen.append(row)
    }
    let missing = count - chosen.count
    guard missing > 0 else { return chosen }
    let rest = Ranking.highest(missing, of: quality, among: exhausted.sorted())
    let isTaken = Set(rest)
    exhausted.removeAll { isTaken.contains($0) }
    return chosen + rest
  }

  private mutating func popBest() throws(PruningError) -> Int? {
    while let top = heap.first {
      if seen[top.index] < selected.count {
        try refresh(top.index)
        heap.lowerFirst(to: residual[top.index])
        continue
      }
      _ = heap.popFirst()
      if try !isExhausted(refreshed: top.index) { return top.index }
      exhausted.append(top.index)
    }
    return nil
  }

  private mutating func isExhausted(refreshed row: Int) throws(PruningError) -> Bool {
    try refresh(row)
    return residual[row] <= Self.exhaustedShare * quality[row] * quality[row] || residual[row] <= 0
  }

  /// Conditions on `row`, which is up to date and has a positive residual.
  private mutating func append(_ row: Int) {
    selected.append(row)
    inversePivots.append(1 / residual[row].squareRoot())
    let inverseNorm = 1 / norms[row]
    selectedRows.append(contentsOf: features.row(row).lazy.map { Double($0) * inverseNorm })
  }

  private mutating func refresh(_ row: Int) throws(PruningError) {
    guard seen[row] < selected.count else { return }
    let perEntry = StepCounter.exactComparison(columns: features.columns) + selected.count / 4
    try steps.spend(StepCounter.heapTurn + (selected.count - seen[row]) * perEntry)
    let columns = features.columns
    let scale = norms[row] > 0 ? quality[row] / norms[row] : 0
    for step in seen[row]..<selected.count {
      let cosine = features.values.withUnsafeBufferPointer { rows in
        selectedRows.withUnsafeBufferPointer { wide in
          guard let a = rows.baseAddress, let b = wide.baseAddress else { return 0.0 }
          return kernels.widenedDot(a + row * columns, b + step * columns, columns)
        }
      }
      let other = selected[step]
      let explained = factorProduct(row, other, step)
      let entry = (cosine * scale * quality[other] - explained) * inversePivots[step]
      factor[row * capacity + step] = entry
      residual[row] -= entry * entry
    }
    seen[row] = selected.count
  }

  private func factorProduct(_ a: Int, _ b: Int, _ count: Int) -> Double {
    factor.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return 0 }
      let x = base + a * capacity
      let y = base + b * capacity
      var sums = SIMD4<Double>.zero
      var index = 0
      while index + 4 <= count {
        let left = UnsafeRawPointer(x + index).loadUnaligned(as: SIMD4<Double>.self)
        let right = UnsafeRawPointer(y + index).loadUnaligned(as: SIMD4<Double>.self)
        sums += left * right
        index += 4
      }
      var sum = sums.sum()
      while index < count {
        sum += x[index] * y[index]
        index += 1
      }
      return sum
    }
  }
}
