public import Numerics

/// How much each candidate covers of each row: what ``CoverageSearch`` chooses by.
///
/// Every exact weight lies within `absoluteError + relativeError * fast` of its fast one.
public protocol CoverageWeights {
  var rowCount: Int { get }
  var candidateCount: Int { get }
  /// [candidates or more, rows]: the weights of one candidate lie together.
  var fast: [Float] { get }
  var absoluteError: Float { get }
  /// Not 0 only where no weight is negative.
  var relativeError: Float { get }

  /// The float64 weights of a candidate for some rows.
  mutating func exact(
    _ candidate: Int, for rows: [Int], _ steps: inout StepCounter
  ) throws(PruningError) -> [Double]

  /// Whether two candidates are the same numbers, so that their exact weights are equal.
  func isCopy(_ candidate: Int, of other: Int) -> Bool
}

/// Greedy facility location: every pick is the candidate that adds most to what the picks before it cover.
///
/// gain(j) = sum over rows r of max(0, w(r, j) - c(r)), where c(r) is the largest weight of a pick for r, 0 at first;
/// score(j) = gain(j) * factor(j) + addend(j). Equal scores go to the lower index.
///
/// The function is submodular, so gains never grow, and a score that was formed earlier is an upper bound (M. Minoux,
/// "Accelerated greedy algorithms for maximizing submodular set functions", 1978): only candidates whose bound could
/// still win are evaluated again. Gains are formed in float32 with a bound of their error; candidates that it does
/// not tell apart are compared in float64, so that the picks are those of float64 arithmetic throughout.
/// - Complexity: O(N rows) to begin with; each pick evaluates a few candidates, all of them at worst.
public struct CoverageSearch<Weights: CoverageWeights> {
  private var weights: Weights
  private let factors: [Double]
  private let addends: [Double]
  private var heap: BoundHeap
  /// c(r), and the same in float64 where it was asked for; NaN where it was not.
  private var covered: [Float]
  private var exactCovered: [Double]
  private var picks: [Int] = []
  private var steps: StepCounter
  /// How often a gain was formed, the first time included.
  private(set) var evaluationCount = 0

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
    _ weights: Weights, factors: [Double], addends: [Double], given: Range<Int>, steps: StepCounter
  ) throws(PruningError) {
    self.weights = weights
    self.factors = factors
    self.addends = addends
    self.steps = steps
    covered = Array(repeating: 0, count: weights.rowCount)
    exactCovered = Array(repeating: 0, count: weights.rowCount)
    heap = BoundHeap([])
    for other in given { cover(other) }
    var entries: [BoundHeap.Entry] = []
    for candidate in 0..<weights.candidateCount {
      try self.steps.spend(evaluationCost)
      entries.append(BoundHeap.Entry(bound: bounds(of: candidate).high, index: candidate))
    }
    heap = BoundHeap(entries)
  }

  private var evaluationCost: Int { 20 + weights.rowCount / 2 }

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
    var best: BoundHeap.Entry?
    // A bound that does not come before the best certain score cannot win, not even a tie.
    while let top = heap.first, best.map({ top.precedes($0) }) ?? true {
      _ = heap.popFirst()
      try steps.spend(evaluationCost + StepCounter.heapTurn)
      var contender = bounds(of: top.index)
      contender.high = min(contender.high, top.bound)
      contender.low = min(contender.low, contender.high)
      let certain = BoundHeap.Entry(bound: contender.low, index: contender.index)
      if best.map({ certain.precedes($0) }) ?? true { best = certain }
      contenders.append(contender)
    }
    guard let certain = best else { preconditionFailure("a pick is asked for of candidates that are left") }
    let open = contenders.indices.filter {
      contenders[$0].high >= certain.bound && contenders[$0].index != certain.index
    }
    var winner = certain
    if !open.isEmpty { winner = try decide(&contenders, certain.bound) }
    for contender in contenders where contender.index != winner.index {
      heap.insert(BoundHeap.Entry(bound: contender.high, index: contender.index))
    }
    return winner.index
  }

  /// The best of the contenders that reach a score, in float64.
  private mutating func decide(
    _ contenders: inout [Contender], _ score: Double
  ) throws(PruningError) -> BoundHeap.Entry {
    var best: BoundHeap.Entry?
    var known: [(index: Int, gain: Double)] = []
    for slot in contenders.indices where contenders[slot].high >= score {
      let index = contenders[slot].index
      if contenders[slot].low < contenders[slot].high {
        let copy = known.first { weights.isCopy(index, of: $0.index) }
        let gain = if let copy { copy.gain } else { try exactGain(of: index) }
        if copy == nil, known.count < Self.mostCompared { known.append((index, gain)) }
        contenders[slot].high = gain * factors[index] + addends[index]
      }
      let entry = BoundHeap.Entry(bound: contenders[slot].high, index: index)
      if best.map({ entry.precedes($0) }) ?? true { best = entry }
    }
    guard let best else { preconditionFailure("the candidate with that score is among them") }
    return best
  }

  /// Candidates that were compared exactly are looked at for copies; more than these are not worth it.
  private static var mostCompared: Int { 4 }

  private mutating func cover(_ pick: Int) {
    picks.append(pick)
    weights.fast.withUnsafeBufferPointer { fast in
      let start = pick * covered.count
      for row in covered.indices {
        let weight = fast[start + row]
        // What comes near may be the larger one: which is found out when it is asked for.
        if weight > covered[row] - margin(weight, covered[row]) { exactCovered[row] = .nan }
        covered[row] = max(covered[row], weight)
      }
    }
  }

  /// How far the difference of two fast weights may lie from the exact one.
  @inline(__always)
  private func margin(_ a: Float, _ b: Float) -> Float {
    2 * weights.absoluteError + weights.relativeError * (a + b)
  }

  /// The score of a candidate, between two bounds.
  private mutating func bounds(of candidate: Int) -> Contender {
    evaluationCount += 1
    var gains = SIMD8<Float>.zero
    var errors = SIMD8<Float>.zero
    var (gain, error) = (Float(0), Float(0))
    let rows = covered.count
    let slack = SIMD8<Float>(repeating: 2 * weights.absoluteError)
    let relative = SIMD8<Float>(repeating: weights.relativeError)
    weights.fast.withUnsafeBytes { fast in
      covered.withUnsafeBytes { covered in
        let start = 4 * candidate * rows
        for block in 0..<(rows / 8) {
          let weight = fast.loadUnaligned(fromByteOffset: start + 32 * block, as: SIMD8<Float>.self)
          let best = covered.loadUnaligned(fromByteOffset: 32 * block, as: SIMD8<Float>.self)
          let difference = weight - best
          let margin = slack + relative * (weight + best)
          gains += difference.replacing(with: 0, where: difference .< 0)
          errors += margin.replacing(with: 0, where: difference .< -margin)
        }
        for row in (rows / 8 * 8)..<rows {
          let weight = fast.loadUnaligned(fromByteOffset: start + 4 * row, as: Float.self)
          let best = covered.loadUnaligned(fromByteOffset: 4 * row, as: Float.self)
          let margin = margin(weight, best)
          gain += max(weight - best, 0)
          if weight - best >= -margin { error += margin }
        }
      }
    }
    // A lane adds up rows / 8 numbers that are not negative, each rounded once.
    let rounding = (Double(rows) / 8 + 16) * 0x1p-24
    let sum = Double(gains.sum()) + Double(gain)
    let off = (Double(errors.sum()) + Double(error)) * (1 + rounding) + sum * rounding
    let (factor, addend) = (factors[candidate], addends[candidate])
    return Contender(
      index: candidate, low: max(sum - off, 0) * factor + addend, high: (sum + off) * factor + addend)
  }

  /// The gain of a candidate in float64, summed in the order of the rows.
  private mutating func exactGain(of candidate: Int) throws(PruningError) -> Double {
    let start = candidate * covered.count
    var rows: [Int] = []
    for row in covered.indices {
      let weight = weights.fast[start + row]
      if weight - covered[row] >= -margin(weight, covered[row]) { rows.append(row) }
    }
    try findExactCovered(rows)
    let own = try weights.exact(candidate, for: rows, &steps)
    return zip(rows, own).reduce(0.0) { $0 + max($1.1 - exactCovered[$1.0], 0) }
  }

  private mutating func findExactCovered(_ rows: [Int]) throws(PruningError) {
    let unknown = rows.filter { exactCovered[$0].isNaN }
    guard !unknown.isEmpty else { return }
    for row in unknown { exactCovered[row] = 0 }
    for pick in picks {
      let near = unknown.filter { row in
        let weight = weights.fast[pick * covered.count + row]
        return weight >= covered[row] - margin(weight, covered[row])
      }
      if near.isEmpty { continue }
      try steps.spend(unknown.count)
      for (row, weight) in zip(near, try weights.exact(pick, for: near, &steps)) {
        exactCovered[row] = max(exactCovered[row], weight)
      }
    }
  }
}
