import JSON
import Localization
import PruningNumerics

/// TRIM keeps the tokens least similar to the question and adds one row for the mean of the others.
///
/// score[i] = -(e[i] . t), e the tokens and t the question in CLIP's common space, neither normalised. The sign is
/// the authors': patch-level similarity of CLIP is inverted.
struct Trim: ScoringMethod {
  static let descriptor = MethodDescriptor(
    name: "trim",
    summary: "Keeps the tokens with the lowest CLIP similarity to the question, and the mean of the others.",
    paper: "Song et al., COLING 2025, arXiv 2409.10994",
    requiredInputs: ["image_features", "text_features"], optionalInputs: ["relevance_features"],
    parameters: [
      AdaptiveCount.parameter,
      .init(
        "relevance_sign", .choice(["negative", "positive"]), default: "negative",
        "negative: a low product with the text is relevant, as published; positive: a high one"),
    ],
    deviations: [
      "`relevance_features` are the tokens after CLIP's visual projection; without them the products are those of"
        + " image_features, which then need the width of text_features.",
      "Several text rows count by their mean.",
      "`adaptive` takes the outliers of the softmax of one image's scores; the authors' code those of the whole"
        + " batch.",
      "Where every token is kept there is no mean row; the authors' code fails.",
    ],
    budget: "The kept tokens, at most that many with `adaptive`; on /compress the mean row is added.",
    properties: [.nested, .scaleInvariant, .orderEquivariant],
    facts: MethodFacts(
      .question, isQuestionAware: true, cost: "O(N M D)", inexactParameter: "adaptive",
      reported: ["79 % fewer tokens on LLaVA-1.5-7B at the same accuracy": "arXiv 2409.10994"]))

  private let isAdaptive: Bool
  private let sign: Double

  init(_ parameters: Parameters) {
    isAdaptive = parameters.boolean("adaptive")
    sign = parameters.choice("relevance_sign") == "positive" ? 1 : -1
  }

  func scores(of input: PruningInput) throws(PruningError) -> [Double] {
    let features = try input.features()
    let name = LocalizationSource.embeddingsName
    let hasOwn = input.tensors[name] != nil
    let tokens = hasOwn ? try input.features(named: name) : features
    let text = try input.textFeatures()
    guard text.columns == tokens.columns else {
      throw PruningError(
        at: "text_features",
        "has \(text.columns) columns, but \(hasOwn ? name : "image_features") has \(tokens.columns); "
          + "the product needs equal widths (\(name) [N, E] may carry the tokens in the text's space)")
    }
    let mean = text.weightedSum(Array(0..<text.rows)) { _ in sign / Double(text.rows) }
    return (0..<tokens.rows).map { tokens.product(of: $0, with: mean) }
  }

  var mayKeepFewer: Bool { isAdaptive }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let scores = try scores(of: input)
    var count = task.count
    if isAdaptive, let highest = scores.max() {
      let shares = scores.map { exponential($0 - highest) }
      count = min(count, AdaptiveCount.outliers(among: shares))
    }
    return Ranking.highest(count, of: scores, among: task.candidates)
  }

  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    let all = Array(0..<input.tokenCount)
    let kept = try select(SelectionTask(count: count, candidates: all), from: input).sorted()
    let features = try input.features()
    var assignments = MergedTokens.ownRows(kept, tokenCount: input.tokenCount)
    let pruned = all.filter { assignments[$0] == nil }
    guard !pruned.isEmpty else { return MergedTokens.gathered(kept, of: features) }
    for token in pruned { assignments[token] = kept.count }
    let mean = features.weightedSum(pruned) { _ in 1 / Double(pruned.count) }
    return MergedTokens(
      features: features.gathered(kept).appending(mean), kept: kept, assignments: assignments)
  }
}
