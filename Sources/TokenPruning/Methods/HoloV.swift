import JSON
import PruningNumerics

/// HoloV gives each crop of an image a share of the budget, and keeps the most attended tokens of each.
///
/// Crops are runs of consecutive tokens of about equal length. The score of a crop is the mean over its tokens of
/// A + 0.09 s v, A = 1000 times the attention, v the variance of a token's cosines with the crop's others, s the factor
/// that makes the means of |v| and |A| equal; for a crop of one token it is the attention.
struct HoloV: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "holov",
    summary:
      "Divides the budget among runs of tokens by attention and variety, and keeps the most attended of each.",
    paper: "Zou et al., NeurIPS 2025, arXiv 2510.02912",
    requiredInputs: ["image_features", "attention"],
    parameters: [
      .init(
        "crops", .integer(1...(1 << 20)), default: 16,
        "P, how many runs the tokens are cut into; the authors' code for Qwen takes max(1, floor(1024 N / (576 K)))"
      ),
      .init("beta", .number(0...1000), default: 0.09, "the weight of the variance in a crop's score"),
      .init(
        "faithful", .boolean, default: false,
        "whether what a crop cannot fill is left unspent, as in the authors' code; rows of /compress are then followed by"
          + " zero rows up to K"),
    ],
    deviations: [
      "K is exact: what a crop cannot fill goes to the highest attention left. The authors' code appends zero rows"
        + " instead (`faithful`).",
      "Of crops with equal weights the first gets what rounding leaves over; their order is torch.topk's there.",
      "With a region the candidates are cut into crops, not the whole image.",
    ],
    budget: "The kept tokens, exactly that many; `faithful` may keep fewer.",
    // A crop's rows in float64, one array each; one crop may be all tokens.
    memory: MethodMemory(perElement: 24, perPair: 4),
    facts: MethodFacts(
      .encoder, isQuestionAware: false, cost: "O(N^2 D / crops)", inexactParameter: "faithful",
      reported: ["95.8 % of LLaVA-1.5 at 64 of 576 tokens": "arXiv 2510.02912"],
      automatic: AutomaticUse(
        .image, ["image_features", "attention"], retained: 0.958,
        "shares the budget among parts of the image, and its authors report 95.8 % of LLaVA-1.5 at 64 of 576 tokens"
      )))

  private let crops: Int
  private let beta: Double
  private let isFaithful: Bool

  init(_ parameters: Parameters) {
    crops = parameters.integer("crops")
    beta = parameters.number("beta")
    isFaithful = parameters.boolean("faithful")
  }

  var mayKeepFewer: Bool { isFaithful }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let features = try input.features()
    let attention = try input.attentionScores()
    let runs = Self.runs(of: task.candidates, crops)
    guard task.count > 0 else { return [] }
    let quotas = try quotas(of: task.count, runs, features, attention, input)
    var kept: [Int] = []
    for (run, quota) in zip(runs, quotas) where quota > 0 {
      kept += quota >= run.count ? run : Ranking.highest(quota, of: attention, among: run)
    }
    if kept.count > task.count { kept.removeLast(kept.count - task.count) }
    return isFaithful ? kept : task.filled(kept, by: attention)
  }

  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    let kept = try select(SelectionTask(count: count, of: input), from: input)
    let features = try input.features()
    guard isFaithful, kept.count < count else { return MergedTokens.gathered(kept, of: features) }
    let zeros = [Float](repeating: 0, count: (count - kept.count) * features.columns)
    let rows = Matrix(rows: count, columns: features.columns, values: features.gathered(kept).values + zeros)
    return MergedTokens(
      features: rows, kept: kept, assignments: MergedTokens.ownRows(kept, tokenCount: input.tokenCount))
  }

  /// Consecutive runs, the first ones a token longer where the number does not divide; none empty.
  static func runs(of tokens: [Int], _ count: Int) -> [[Int]] {
    let (size, longer) = tokens.count.quotientAndRemainder(dividingBy: count)
    var runs: [[Int]] = []
    var start = 0
    while start < tokens.count {
      let end = start + size + (runs.count < longer ? 1 : 0)
      runs.append(Array(tokens[start..<end]))
      start = end
    }
    return runs
  }

  /// How many tokens each run keeps: float32 decides where it can, float64 otherwise.
  private func quotas(
    of count: Int, _ runs: [[Int]], _ features: Matrix, _ attention: [Double], _ input: PruningInput
  ) throws(PruningError) -> [Int] {
    var steps = StepCounter(limit: input.stepLimit)
    // Lengths are raised by 1e-6, as the authors do.
    let norms = features.norms().map { $0 + 1e-6 }
    if runs.allSatisfy({ $0.count <= SimilarityMatrix.maximumCount }) {
      let space = CosineSpace(features, norms: norms)
      var scores: [ClosedRange<Double>] = []
      for run in runs {
        // A single token has no variance.
        let variances =
          run.count > 1
          ? Self.meanVariances(try SimilarityMatrix(space, run, sharing: input.sharing, &steps)) : 0...0
        scores.append(scoreRange(of: run, attention, variances))
      }
      if let quotas = Self.quotas(within: scores, of: count) { return quotas }
    }
    let scores = try runs.map { (run) throws(PruningError) in
      try score(of: run, features, norms, attention, &steps)
    }
    guard scores.reduce(0, { $0 + $1.magnitude }).isFinite else {
      throw PruningError(
        at: "attention", "is so large that the scores of crops are beyond 64-bit floats; scale it down")
    }
    return Self.quotas(scores, of: count)
  }

  /// In what range the score lies of a run whose tokens' variances have a mean in a range.
  private func scoreRange(
    of run: [Int], _ attention: [Double], _ variances: ClosedRange<Double>
  ) -> ClosedRange<Double> {
    guard run.count > 1 else { return attention[run[0]]...attention[run[0]] }
    let count = Double(run.count)
    let mean = run.reduce(0) { $0 + 1000 * attention[$1] } / count
    let magnitude = run.reduce(0) { $0 + (1000 * attention[$1]).magnitude } / count
    // The sum over tokens of s v is their number times mean |A| mean v / (mean v + 1e-6), since no v is negative.
    func score(_ variance: Double) -> Double { mean + beta * magnitude * (variance / (variance + 1e-6)) }
    // What float64 rounds, here and in `score(of:)`.
    let rounding = 1e-11 * (magnitude + beta * magnitude)
    let (lowest, highest) = (score(variances.lowerBound) - rounding, score(variances.upperBound) + rounding)
    return lowest <= highest ? lowest...highest : -.infinity ... .infinity
  }

  /// In what range the mean of the tokens' variances lies, from similarities in float32.
  ///
  /// A difference from the mean errs by at most 2 e, e the error of a similarity, so a variance v by at most
  /// (4 e sum |c - mean| + 4 e^2 n) / (n - 1), which is below 4 e sqrt(2 v) + 8 e^2; and so does the mean of all.
  static func meanVariances(_ matrix: SimilarityMatrix) -> ClosedRange<Double> {
    var matrix = matrix
    let count = matrix.count
    let error = Double(matrix.error)
    let similarities = matrix.takeSimilarities()
    let others = Double(max(count - 1, 1))
    var sum = 0.0
    similarities.withUnsafeBufferPointer { similarities in
      for row in 0..<count {
        var (ones, squares) = (0.0, 0.0)
        for other in (row * count)..<((row + 1) * count) where other != row * (count + 1) {
          let cosine = Double(similarities[other])
          ones += cosine
          squares += cosine * cosine
        }
        let mean = ones / others
        sum += max(squares - mean * mean * Double(count - 2), 0) / others
      }
    }
    let variance = sum / Double(count)
    let slack = 4 * error * (2 * variance).squareRoot() + 8 * error * error + 1e-12
    return max(variance - slack, 0)...(variance + slack)
  }

  /// What ``quotas(_:of:)`` gives for all scores within their ranges; nil where it does not give the same for all.
  static func quotas(within ranges: [ClosedRange<Double>], of count: Int) -> [Int]? {
    let lowest = ranges.reduce(1e-6) { $0 + $1.lowerBound }
    let highest = ranges.reduce(1e-6) { $0 + $1.upperBound }
    guard highest.isFinite, ranges.allSatisfy({ $0.lowerBound > 0 }) else { return nil }
    let rounding = 1e-12
    var quotas: [Int] = []
    for range in ranges {
      let least = range.lowerBound / highest * Double(count) * (1 - rounding)
      let most = range.upperBound / lowest * Double(count) * (1 + rounding)
      guard least.rounded(.down) == most.rounded(.down), most < Double(count) else { return nil }
      quotas.append(Int(least.rounded(.down)))
    }
    let rest = min(max(count - quotas.reduce(0, +), 0), quotas.count)
    let middles = ranges.map { $0.lowerBound / 2 + $0.upperBound / 2 }
    let raised = Ranking.highest(rest, of: middles, among: Array(quotas.indices))
    let isRaised = Set(raised)
    let least = raised.map { ranges[$0].lowerBound }.min() ?? .infinity
    for crop in quotas.indices where !isRaised.contains(crop) {
      guard ranges[crop].upperBound * (1 + rounding) < least * (1 - rounding) else { return nil }
    }
    for crop in raised { quotas[crop] += 1 }
    return quotas
  }

  private func score(
    of run: [Int], _ features: Matrix, _ norms: [Double], _ attention: [Double], _ steps: inout StepCounter
  ) throws(PruningError) -> Double {
    guard run.count > 1 else { return attention[run[0]] }
    let variances = try Self.variances(of: run, features, norms, &steps)
    let count = Double(run.count)
    let scaled = run.map { 1000 * attention[$0] }
    let scale =
      scaled.reduce(0) { $0 + $1.magnitude } / count
      / (variances.reduce(0) { $0 + $1.magnitude } / count + 1e-6)
    return zip(scaled, variances).reduce(0) { $0 + $1.0 + beta * scale * $1.1 } / count
  }

  /// Of each token of a run the variance of its cosines with the others, its own place counted as 0.
  static func variances(
    of run: [Int], _ features: Matrix, _ norms: [Double], _ steps: inout StepCounter
  ) throws(PruningError) -> [Double] {
    let rows = run.map { token in features.row(token).map { Double($0) / norms[token] } }
    let others = Double(run.count - 1)
    return try rows.indices.map { (row) throws(PruningError) in
      try steps.spend(rows.count * StepCounter.plainComparison(columns: features.columns))
      let cosines = rows.indices.map { $0 == row ? 0 : innerProduct(rows[row], rows[$0]) }
      let mean = cosines.reduce(0, +) / others
      return cosines.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / others
    }
  }

  /// floor(weight K) for each crop, and one more for those with the largest weights.
  static func quotas(_ scores: [Double], of count: Int) -> [Int] {
    let sum = scores.reduce(0, +) + 1e-6
    let weights = scores.map { sum != 0 ? $0 / sum : 0 }
    // Weights of attention that is no attention may be anything; no crop has use for more than all.
    var quotas = weights.map { Int(min(max(($0 * Double(count)).rounded(.down), 0), Double(count))) }
    let rest = count - quotas.reduce(0, +)
    if rest > 0 {
      for crop in Ranking.highest(min(rest, quotas.count), of: weights, among: Array(quotas.indices)) {
        quotas[crop] += 1
      }
    }
    return quotas
  }
}
