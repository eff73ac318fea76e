import JSON
import PruningNumerics

/// HoloV gives each crop of an image a share of the budget, and keeps the most attended tokens of each.
///
/// Crops are runs of consecutive tokens of about equal length. The score of a crop is the mean over its tokens of
/// A + 0.09 s v, A = 1000 times the attention, v the variance of a token's cosines with the crop's others, s the factor
/// that makes the means of |v| and |A| equal; for a crop of one token it is the attention.
/// - Complexity: O(N^2 D / crops).
///
/// Source: Zou et al., "Don't Just Chase 'Highlighted Tokens' in MLLMs: Revisiting Visual Holistic Context Retention",
/// NeurIPS 2025, arXiv 2510.02912.
struct HoloV: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "holov",
    summary:
      "Divides the budget among runs of tokens by attention and variety, and keeps the most attended of each.",
    paper: "Zou et al., NeurIPS 2025, arXiv 2510.02912",
    requiredInputs: ["image_features", "attention"],
    parameters: [
      ParameterDescriptor(
        "crops", .integer(1...(1 << 20)), default: 16,
        "P, how many runs the tokens are cut into; the authors' code for Qwen takes max(1, floor(1024 N / (576 K)))"
      ),
      ParameterDescriptor(
        "beta", .number(0...1000), default: 0.09, "the weight of the variance in a crop's score"),
      ParameterDescriptor(
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
    memory: MethodMemory(perElement: 24),
    facts: MethodFacts(
      .encoder, isQuestionAware: false, cost: "O(N^2 D / crops)", inexactParameter: "faithful",
      reported: [
        MethodFacts.Report("95.8 % of LLaVA-1.5 at 64 of 576 tokens", source: "arXiv 2510.02912")
      ],
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
    var steps = StepCounter(limit: input.stepLimit)
    let pairs = runs.reduce(0) { $0 + $1.count * $1.count }
    try steps.spend(pairs * (2 + features.columns / 2))
    var scores: [Double] = []
    for run in runs {
      try input.stepLimit.check()
      scores.append(score(of: run, features, attention))
    }
    guard scores.reduce(0, { $0 + $1.magnitude }).isFinite else {
      throw PruningError(
        at: "attention", "is so large that the scores of crops are beyond 64-bit floats; scale it down")
    }
    let quotas = Self.quotas(scores, of: task.count)
    var kept: [Int] = []
    for (run, quota) in zip(runs, quotas) where quota > 0 {
      kept += quota >= run.count ? run : Ranking.highest(quota, of: attention, among: run)
    }
    if kept.count > task.count { kept.removeLast(kept.count - task.count) }
    guard !isFaithful, kept.count < task.count else { return kept }
    let isKept = Set(kept)
    let rest = task.candidates.filter { !isKept.contains($0) }
    return kept + Ranking.highest(task.count - kept.count, of: attention, among: rest)
  }

  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    let task = SelectionTask(count: count, candidates: Array(0..<input.tokenCount))
    let kept = try select(task, from: input)
    let features = try input.features()
    guard isFaithful, kept.count < count else { return MergedTokens.gathered(kept, of: features) }
    let zeros = [Float](repeating: 0, count: (count - kept.count) * features.columns)
    let rows = Matrix(
      rows: count, columns: features.columns, values: features.gathered(kept).values + zeros)
    return MergedTokens(
      features: rows, kept: kept,
      assignments: MergedTokens.ownRows(kept, tokenCount: input.tokenCount))
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

  private func score(of run: [Int], _ features: Matrix, _ attention: [Double]) -> Double {
    guard run.count > 1 else { return attention[run[0]] }
    let variances = Self.variances(of: run, features)
    let count = Double(run.count)
    let scaled = run.map { 1000 * attention[$0] }
    let scale =
      scaled.reduce(0) { $0 + $1.magnitude } / count
      / (variances.reduce(0) { $0 + $1.magnitude } / count + 1e-6)
    return zip(scaled, variances).reduce(0) { $0 + $1.0 + beta * scale * $1.1 } / count
  }

  /// Of each token of a run the variance of its cosines with the others, its own place counted as 0.
  private static func variances(of run: [Int], _ features: Matrix) -> [Double] {
    // Lengths are raised by 1e-6, as the authors do.
    let rows = run.map { token -> [Double] in
      let row = features.row(token).map { Double($0) }
      let length = row.reduce(0) { $0 + $1 * $1 }.squareRoot() + 1e-6
      return row.map { $0 / length }
    }
    let others = Double(run.count - 1)
    return rows.indices.map { row in
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
