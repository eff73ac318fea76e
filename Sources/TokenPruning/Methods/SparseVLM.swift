import GreedySearch
import JSON
import PruningNumerics

/// SparseVLM keeps the tokens that the relevant words of the prompt attend to, and merges part of the others.
///
/// Of the text tokens only the *raters* count (``TextRaters``). score[i] is the mean over heads and raters of their
/// attention to visual token i. On /compress, 30 % of the pruned tokens, the best of them, are merged into clusters
/// by density peaks (``DensityPeaks``), whose rows follow those of the kept tokens.
/// - Complexity: O(heads M N), O(N M D) for the raters; O(n^2 D) for n = 0.3 (N - K) tokens that are merged.
///
/// Source: Zhang et al., "SparseVLM: Visual Token Sparsification for Efficient Vision-Language Model Inference",
/// ICML 2025, arXiv 2410.04417; the authors' version 1.
struct SparseVLM: ScoringMethod, TextRatingMethod {
  static let descriptor = MethodDescriptor(
    name: "sparsevlm",
    summary:
      "Keeps the tokens that the prompt's relevant words attend to, and merges the best of the others.",
    paper: "Zhang et al., ICML 2025, arXiv 2410.04417",
    requiredInputs: ["attention"], optionalInputs: ["text_features", "image_features", "text_raters"],
    parameters: [
      .init(
        "recycled_ratio", .number(0...1), default: 0.3, only: .compress,
        "share of the pruned tokens that is merged into clusters on /compress, rounded down, plus one")
    ] + RankRule.parameters,
    deviations: [
      "The caller chooses the number of kept tokens, per layer in `stages`; the authors' tables are available by name.",
      "Raters are found where `attention` is [heads, M, N] and text_features [M, D] and image_features are given;"
        + " else every query row counts.",
      "Equal densities are not told apart by random noise.",
    ],
    budget: "The kept tokens; on /compress the rows of clusters are added.",
    schedules: [
      PublishedSchedule("192", of: 576, layers: layers, keepTokens: [300, 200, 110]),
      PublishedSchedule("128", of: 576, layers: layers, keepTokens: [303, 110, 36]),
      PublishedSchedule("96", of: 576, layers: layers, keepTokens: [238, 48, 26]),
      PublishedSchedule("64", of: 576, layers: layers, keepTokens: [66, 30, 17]),
    ], properties: [.nested, .orderEquivariant],
    facts: MethodFacts(
      .languageModel, isQuestionAware: true, cost: "O(H M N + N M D)", inexactParameter: "rank_scale",
      reported: ["97 % of LLaVA with 54 % fewer FLOPs": "arXiv 2410.04417"]))

  /// Of an LLM of 32, as in the authors' table; the names are its averages over all layers, with clusters.
  static let layers = [2, 6, 15]

  private let recycledRatio: Double
  private let rankRule: RankRule?

  init(_ parameters: Parameters) throws(PruningError) {
    recycledRatio = parameters.number("recycled_ratio")
    rankRule = try RankRule(parameters)
  }

  func otherSteps(on input: PruningInput) -> Double { TextRaters.steps(on: input) }

  func scores(of input: PruningInput) throws(PruningError) -> [Double] {
    let attention = try TextAttention(of: input)
    var steps = StepCounter(limit: input.stepLimit, work: "reading the attention of these text tokens")
    return try attention.mean(over: try TextRaters.rows(of: input, count: attention.queries), &steps)
  }

  var mayKeepFewer: Bool { rankRule != nil }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    var count = task.count
    if let rankRule {
      let attention = try TextAttention(of: input)
      let raters = try TextRaters.rows(of: input, count: attention.queries)
      let rank = try attention.rank(of: raters, stepLimit: input.stepLimit)
      count = min(count, rankRule.count(rank: rank, tokenCount: input.tokenCount))
    }
    return Ranking.highest(count, of: try scores(of: input), among: task.candidates)
  }

  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    let features = try input.features()
    let all = Array(0..<input.tokenCount)
    let scores = try scores(of: input)
    let kept = try select(SelectionTask(count: count, candidates: all), from: input).sorted()
    var assignments = MergedTokens.ownRows(kept, tokenCount: input.tokenCount)
    let pruned = all.filter { assignments[$0] == nil }
    guard !pruned.isEmpty else { return MergedTokens.gathered(kept, of: features) }
    let share = (Double(pruned.count) * recycledRatio).rounded(.down)
    let recycled = Ranking.highest(min(Int(share) + 1, pruned.count), of: scores, among: pruned)
    let clusters = try DensityPeaks(
      features.gathered(recycled), count: recycled.count / 10 + 1, stepLimit: input.stepLimit,
      sharing: input.sharing)

    var rows = features.gathered(kept)
    for cluster in 0..<clusters.centres.count {
      let members = recycled.indices.filter { clusters.assignments[$0] == cluster }.map { recycled[$0] }
      for token in members { assignments[token] = kept.count + cluster }
      // The authors' divisor, which leaves the row a little below the mean.
      rows = rows.appending(features.weightedSum(members) { _ in 1 / (Double(members.count) + 1e-6) })
    }
    return MergedTokens(features: rows, kept: kept, assignments: assignments)
  }
}
