import Kernels
public import PruningNumerics

/// How much each candidate covers of each row: what ``CoverageSearch`` chooses by.
///
/// A weight counts by the share of its row. Every exact weight lies within `absoluteError + relativeError * fast` of its
/// fast one, and every exact share within `shareError * share` of its fast one.
public protocol CoverageWeights {
  var rowCount: Int { get }
  var candidateCount: Int { get }
  /// [candidates or more, rows]: the weights of one candidate lie together.
  var fast: [Float] { get }
  /// One for each row; not negative.
  var shares: [Float] { get }
  var absoluteError: Float { get }
  /// Not 0 only where no weight is negative.
  var relativeError: Float { get }
  var shareError: Float { get }
  /// The exact shares as far as they are there from the beginning, NaN where not.
  var knownShares: [Double] { get }

  /// The float64 weights of a candidate for some rows.
  mutating func exact(
    _ candidate: Int, for rows: [Int], _ steps: inout StepCounter
  ) throws(PruningError) -> [Double]

  /// The float64 shares of some rows.
  mutating func exactShares(of rows: [Int], _ steps: inout StepCounter) throws(PruningError) -> [Double]

  /// Whether two candidates are the same numbers, so that their exact weights are equal.
  func isCopy(_ candidate: Int, of other: Int) -> Bool
}

/// Greedy facility location: every pick is the candidate that adds most to what the picks before it cover.
///
/// gain(j) = sum over rows r of share(r) max(0, w(r, j) - c(r)), where c(r) is the largest weight of a pick for r, 0 at
/// first; score(j) = gain(j) * factor(j) + addend(j). Equal scores go to the lower index.
///
/// The function is submodular, so gains never grow, and a score that was formed earlier is an upper bound (M. Minoux,
/// "Accelerated greedy algorithms for maximizing submodular set functions", 1978): only candidates whose bound could
/// still win are evaluated again. Gains are formed in float32 with a bound of their error; candidates that it does
/// not tell apart are compared by exact weights, then by the exact shares that matter most, at last by all of them, in
/// float64: the picks are those of float64 arithmetic throughout.
/// - Complexity: O(N rows) to begin with; each pick evaluates a few candidates, all of them at worst.
public struct CoverageSearch {
  /// Asked for little: what is done for all rows reads ``FastGains``.
  private var weights: any CoverageWeights
  private var gains: FastGains
  private let factors: [Double]
  private let addends: [Double]
  /// Of each candidate an upper bound of its score; minus infinity for what is picked, and behind the last.
  private let scoreBounds: FloatColumns
  /// The largest exact weight of the first `exactCounts` picks for a row, unless another's is surely larger.
  private var exactCovered: [Double]
  private var exactCounts: [Int]
  /// NaN where it was not asked for.
  private var exactShares: [Double]
  private var picks: [Int] = []
  private var steps: StepCounter
  /// How often a gain was formed, the first time included.
  private(set) var evaluationCount = 0
  /// How often one was formed by exact weights, and how many shares were looked up.
  private(set) var exactCount = (gains: 0, shares: 0)

  /// A candidate whose score lies in low...high.
  private struct Contender {
    public let index: Int
    public var low: Double
    public var high: Double
  }

  /// - Parameters:
  ///   - factors: one for each candidate, not negative.
  ///   - addends: one for each candidate.
  ///   - given: candidates beyond `candidateCount` that are picked already.
  public init(
    _ weights: any CoverageWeights, factors: [Double], addends: [Double], given: Range<Int>,
    steps: StepCounter
  ) throws(PruningError) {
    self.weights = weights
    self.factors = factors
    self.addends = addends
    self.steps = steps
    gains = FastGains(
      weights.fast, shares: weights.shares,
      errors: (weights.absoluteError, weights.relativeError, weights.shareError))
    exactCovered = Array(repeating: 0, count: weights.rowCount)
    exactCounts = Array(repeating: 0, count: weights.rowCount)
    exactShares = weights.knownShares
    scoreBounds = FloatColumns(1, of: weights.candidateCount)
    scoreBounds.fill(0, with: -.infinity)
    for other in given { cover(other) }
    for candidate in 0..<weights.candidateCount {
      try self.steps.spend(evaluationCost)
      limit(candidate, to: bounds(of: candidate).high)
    }
  }

  private var evaluationCost: Int { 20 + gains.rowCount / 4 }

  /// The next picks, in order.
  ///
  /// - Precondition: there are as many candidates left.
  public mutating func next(_ count: Int) throws(PruningError) -> [Int] {
    var chosen: [Int] = []
    chosen.reserveCapacity(count)
    for _ in 0..<count {
      let pick = try nextPick()
      cover(pick)
      chosen.append(pick)
    }
    return chosen
  }

  private mutating func nextPick() throws(PruningError) -> Int {
    var contenders: [Contender] = []
    // The best of the scores that are reached for certain, and whose it is.
    var certain = (score: -Double.infinity, index: -1)
    let highest = KernelSet.active.search.highest
    while true {
      let index = highest(scoreBounds.base, scoreBounds.stride)
      let bound = Double(scoreBounds[index])
      // A lower bound cannot win any more, not even a tie.
      if bound < certain.score || bound == -.infinity { break }
      try steps.spend(evaluationCost + StepCounter.scan(of: scoreBounds.count))
      var contender = bounds(of: index)
      contender.high = min(contender.high, bound)
      contender.low = min(contender.low, contender.high)
      if certain.index < 0 || contender.low > certain.score { certain = (contender.low, index) }
      contenders.append(contender)
      scoreBounds[index] = -.infinity
    }
    precondition(certain.index >= 0, "a pick is asked for of candidates that are left")
    var open = 0
    for contender in contenders where contender.high >= certain.score { open += 1 }
    let winner = open > 1 ? try decide(&contenders, certain.score) : certain.index
    for contender in contenders where contender.index != winner { limit(contender.index, to: contender.high) }
    return winner
  }

  /// Notes an upper bound of a score.
  private func limit(_ candidate: Int, to score: Double) {
    let nearest = Float(score)
    scoreBounds[candidate] = Double(nearest) < score ? nearest.nextUp : nearest
  }

  /// The best of the contenders that reach a score.
  private mutating func decide(
    _ contenders: inout [Contender], _ score: Double
  ) throws(PruningError) -> Int {
    var score = score
    var open: [Finalist] = []
    for slot in contenders.indices where contenders[slot].high >= score {
      let index = contenders[slot].index
      if let copy = open.prefix(Self.mostCompared).firstIndex(where: { isEqual(index, $0.index) }) {
        // Equal scores go to the lower index, whatever they are.
        open[copy].index = min(open[copy].index, index)
        open[copy].slots.append(slot)
      } else {
        open.append(try finalist(index, slot))
      }
    }
    var shareCount = Self.firstShareCount
    while open.count > 1 {
      try steps.spend(open.reduce(0) { $0 + $1.rows.count } * Self.stepsPerFinalistRow)
      for position in open.indices {
        open[position].bounds = bounds(of: open[position])
        let (low, high) = open[position].bounds
        for slot in open[position].slots { contenders[slot].high = min(contenders[slot].high, high) }
        score = max(score, low)
      }
      open.removeAll { $0.bounds.high < score }
      var terms: [Int: Double] = [:]
      if let leader = open.max(by: { $0.middle < $1.middle }) {
        open.removeAll { $0.index != leader.index && isBehind($0, leader, &terms) }
      }
      if open.count > 1, try !findShares(shareCount, with: terms) { break }
      shareCount *= 2
    }
    var best = (score: -Double.infinity, index: -1)
    for finalist in open {
      let score = exactScore(of: finalist)
      if best.index < 0 || score > best.score || (score == best.score && finalist.index < best.index) {
        best = (score, finalist.index)
      }
    }
    precondition(best.index >= 0, "the candidate with that score is among them")
    return best.index
  }

  /// A contender with what it covers more than the picks do, by exact weights, row by row.
  private struct Finalist {
    /// The lowest of those that are copies of each other.
    public var index: Int
    /// Among the contenders.
    public var slots: [Int]
    public var rows: [Int] = []
    public var excess: [Double] = []
    /// What its score lies between.
    public var bounds = (low: -Double.infinity, high: Double.infinity)

    public var middle: Double { bounds.low / 2 + bounds.high / 2 }
  }

  /// Contenders are looked at for copies of these; more are not worth it.
  private static let mostCompared = 4
  /// Shares that are looked up before gains are compared again; then twice as many each time.
  private static let firstShareCount = 4
  /// What bounding a finalist and finding its missing shares cost for each row.
  private static let stepsPerFinalistRow = 16

  private func isEqual(_ a: Int, _ b: Int) -> Bool {
    factors[a] == factors[b] && addends[a] == addends[b] && weights.isCopy(a, of: b)
  }

  private mutating func finalist(_ candidate: Int, _ slot: Int) throws(PruningError) -> Finalist {
    let rows = gains.rows(reachedBy: candidate)
    try steps.spend(gains.rowCount)
    try findExactCovered(rows)
    let own = try weights.exact(candidate, for: rows, &steps)
    exactCount.gains += 1
    var finalist = Finalist(index: candidate, slots: [slot])
    for (row, weight) in zip(rows, own) where weight > exactCovered[row] {
      finalist.rows.append(row)
      finalist.excess.append(weight - exactCovered[row])
    }
    return finalist
  }

  /// The score in float64, summed in the order of the rows; their shares are known.
  private func exactScore(of finalist: Finalist) -> Double {
    let gain = finalist.rows.indices.reduce(0.0) {
      $0 + exactShares[finalist.rows[$1]] * finalist.excess[$1]
    }
    return gain * factors[finalist.index] + addends[finalist.index]
  }

  /// What that score lies between as long as they are not.
  private func bounds(of finalist: Finalist) -> (low: Double, high: Double) {
    var (known, unknown) = (0.0, 0.0)
    for (row, excess) in zip(finalist.rows, finalist.excess) {
      if exactShares[row].isNaN {
        unknown += Double(gains.shares[row]) * excess
      } else {
        known += exactShares[row] * excess
      }
    }
    // What float64 rounds off is far below the first.
    let off = (known + unknown) * 0x1p-40 + unknown * Double(gains.shareError)
    let (factor, addend) = (factors[finalist.index], addends[finalist.index])
    return (max(known + unknown - off, 0) * factor + addend, (known + unknown + off) * factor + addend)
  }

  /// Whether the score of a finalist is surely below that of another; if not, adds what the missing shares of rows make
  /// of their difference to `terms`.
  ///
  /// A share that is not known exactly is the same for both: it moves their difference by what they cover differently.
  private func isBehind(_ finalist: Finalist, _ leader: Finalist, _ terms: inout [Int: Double]) -> Bool {
    let (factor, ownFactor) = (factors[leader.index], factors[finalist.index])
    let (addend, ownAddend) = (addends[leader.index], addends[finalist.index])
    var (difference, unknown) = (ownAddend - addend, 0.0)
    var missing: [(row: Int, term: Double)] = []
    var (own, other) = (0, 0)
    while own < finalist.rows.count || other < leader.rows.count {
      let ownRow = own < finalist.rows.count ? finalist.rows[own] : .max
      let row = min(ownRow, other < leader.rows.count ? leader.rows[other] : .max)
      var more = 0.0
      if ownRow == row {
        more = finalist.excess[own] * ownFactor
        own += 1
      }
      if other < leader.rows.count, leader.rows[other] == row {
        more -= leader.excess[other] * factor
        other += 1
      }
      let isKnown = !exactShares[row].isNaN
      let term = (isKnown ? exactShares[row] : Double(gains.shares[row])) * more
      difference += term
      if !isKnown {
        unknown += term.magnitude
        missing.append((row, term.magnitude))
      }
    }
    // What float64 rounds off is far below the first.
    let rounding =
      (finalist.bounds.high.magnitude + leader.bounds.high.magnitude + addend.magnitude + ownAddend.magnitude)
      * 0x1p-40
    if difference + unknown * Double(gains.shareError) + rounding < 0 { return true }
    for (row, term) in missing { terms[row, default: 0] += term }
    return false
  }

  /// Finds the exact shares of those rows whose terms are largest; false when none is missing.
  private mutating func findShares(_ count: Int, with terms: [Int: Double]) throws(PruningError) -> Bool {
    if terms.isEmpty { return false }
    let largest = terms.sorted { $0.value != $1.value ? $0.value > $1.value : $0.key < $1.key }
    let rows = largest.prefix(count).map(\.key)
    for (row, share) in zip(rows, try weights.exactShares(of: rows, &steps)) { exactShares[row] = share }
    exactCount.shares += rows.count
    return true
  }

  private mutating func cover(_ pick: Int) {
    picks.append(pick)
    gains.cover(pick)
  }

  /// The score of a candidate, between two bounds.
  private mutating func bounds(of candidate: Int) -> Contender {
    evaluationCount += 1
    let (low, high) = gains.bounds(of: candidate)
    let (factor, addend) = (factors[candidate], addends[candidate])
    return Contender(index: candidate, low: low * factor + addend, high: high * factor + addend)
  }

  /// Brings exact weights of picks up to date for some rows.
  private mutating func findExactCovered(_ rows: [Int]) throws(PruningError) {
    let first = rows.reduce(picks.count) { min($0, exactCounts[$1]) }
    for turn in first..<picks.count {
      let near = rows.filter { exactCounts[$0] <= turn && gains.mayCover(picks[turn], $0) }
      try steps.spend(rows.count)
      if near.isEmpty { continue }
      for (row, weight) in zip(near, try weights.exact(picks[turn], for: near, &steps)) {
        exactCovered[row] = max(exactCovered[row], weight)
      }
    }
    for row in rows { exactCounts[row] = picks.count }
  }
}

/// Gains in float32 with bounds of their errors: the loops over all rows, apart from what is generic.
struct FastGains {
  public let rowCount: Int
  public let shares: [Float]
  public let shareError: Float
  private let weights: [Float]
  /// c(r): the largest weight of a pick.
  private var covered: [Float]
  private let slack: Float
  private let relativeError: Float
  private let kernels: CoverageKernelSet

  init(_ weights: [Float], shares: [Float], errors: (absolute: Float, relative: Float, share: Float)) {
    self.weights = weights
    self.shares = shares
    rowCount = shares.count
    covered = Array(repeating: 0, count: shares.count)
    // Both weights of a difference err.
    slack = 2 * errors.absolute
    relativeError = errors.relative
    shareError = errors.share
    kernels = KernelSet.active.coverage
  }

  public mutating func cover(_ pick: Int) {
    weights.withUnsafeBufferPointer { weights in
      covered.withUnsafeMutableBufferPointer { covered in
        guard let base = weights.baseAddress, let into = covered.baseAddress else { return }
        kernels.cover(into, base + pick * rowCount, rowCount)
      }
    }
  }

  /// What the gain of a candidate lies between.
  public func bounds(of candidate: Int) -> (low: Double, high: Double) {
    let sums = weights.withUnsafeBufferPointer { weights in
      covered.withUnsafeBufferPointer { covered in
        shares.withUnsafeBufferPointer { shares in
          guard let base = weights.baseAddress, let best = covered.baseAddress, let own = shares.baseAddress
          else { return SIMD2<Float>.zero }
          return kernels.gain(base + candidate * rowCount, best, own, rowCount, slack, relativeError)
        }
      }
    }
    // A lane adds up rows / 16 numbers that are not negative, each of them rounded a few times.
    let rounding = (Double(rowCount) / 16 + 16) * 0x1p-24 + Double(shareError)
    let (sum, error) = (Double(sums[0]), Double(sums[1]))
    let off = error * (1 + rounding) + sum * rounding
    return (max(sum - off, 0), sum + off)
  }

  /// The rows of which a candidate may cover more than the picks do.
  public func rows(reachedBy candidate: Int) -> [Int] {
    (0..<rowCount).filter { mayCover(candidate, $0) }
  }

  /// Whether a candidate's exact weight for a row may reach the largest exact one of the picks.
  @inline(__always)
  public func mayCover(_ candidate: Int, _ row: Int) -> Bool {
    let weight = weights[candidate * rowCount + row]
    return weight - covered[row] >= -(slack + relativeError * (weight + covered[row]))
  }
}
