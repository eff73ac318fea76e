import JSON
import PruningNumerics

/// VisionZip keeps the tokens the vision encoder's [CLS] token attends to most, and a few more that collect what
/// the others hold.
///
/// Dominant tokens are the highest by attention. Of the rest every step-th, step = floor(rest / contextual),
/// becomes a contextual token: its feature plus the mean of the features of those whose keys are most similar to
/// its own. The sum of two terms is the authors'; it is no average.
/// - Complexity: O(heads N) to choose, O(N contextual d) to merge.
struct VisionZip: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "visionzip",
    summary: "Keeps the tokens [CLS] attends to most, and evenly spaced ones that collect all others.",
    paper: "Yang et al., CVPR 2025, arXiv 2412.04467",
    requiredInputs: ["attention"], optionalInputs: ["image_features", "key"],
    parameters: [
      .init(
        "contextual_tokens", .integer(0...(1 << 20)), default: nil,
        "how many of the kept tokens are contextual, at most all; absent: the share of the published settings,"
          + " 10 of 64, rounded half to even")
    ],
    deviations: [
      "The budget counts dominant and contextual tokens. The authors' `dominant` counts the [CLS] token too,"
        + " whose feature they put in front; here the caller adds it.",
      "Without `key` the similarity is that of image_features.",
      "Equal scores keep the lower index; the authors' code leaves their order to torch.topk.",
    ],
    budget:
      "Dominant and contextual tokens together; the [CLS] row, which the authors count too, is the"
      + " caller's.", properties: [.scaleInvariant], cost: .linear,
    facts: MethodFacts(
      .encoder, isQuestionAware: false, cost: "O(H N + N log N)",
      reported: ["8 times faster prefill, at least 5 % better than earlier methods": "arXiv 2412.04467"]))

  /// README: 54 + 10, 108 + 20, 162 + 30.
  static let contextualShare = 10.0 / 64

  private let contextualTokens: Int?

  init(_ parameters: Parameters) { contextualTokens = parameters.optionalInteger("contextual_tokens") }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let parts = try choose(task, from: input)
    return parts.dominant + parts.contextual
  }

  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    let all = Array(0..<input.tokenCount)
    let parts = try choose(SelectionTask(count: count, candidates: all), from: input)
    let features = try input.features()
    let space = CosineSpace(try input.keys(or: features))
    var steps = StepCounter(limit: input.stepLimit)

    let kept = parts.dominant.sorted() + parts.contextual
    var assignments = MergedTokens.ownRows(kept, tokenCount: input.tokenCount)
    var members = [[Int]](repeating: [], count: parts.contextual.count)
    if !parts.contextual.isEmpty {
      let others = all.filter { assignments[$0] == nil }
      let targets = try space.mostSimilar(to: others, among: parts.contextual, sharing: input.sharing, &steps)
      for (token, target) in zip(others, targets) {
        members[target].append(token)
        assignments[token] = parts.dominant.count + target
      }
    }
    var rows = features.gathered(kept)
    for (target, members) in members.enumerated() where !members.isEmpty {
      let sums = features.weightedSum(members) { _ in 1 / Double(members.count) }
      rows.add(sums, to: parts.dominant.count + target)
    }
    return MergedTokens(features: rows, kept: kept, assignments: assignments)
  }

  private func choose(
    _ task: SelectionTask, from input: PruningInput
  ) throws(PruningError) -> (dominant: [Int], contextual: [Int]) {
    let scores = try input.attentionScores()
    let contextual = min(
      contextualTokens ?? roundHalfToEven(Self.contextualShare, of: task.count), task.count)
    let dominant = Ranking.highest(task.count - contextual, of: scores, among: task.candidates)
    let isDominant = Set(dominant)
    let rest = task.candidates.filter { !isDominant.contains($0) }
    let step = max(1, rest.count / max(contextual, 1))
    return (dominant, (0..<contextual).map { rest[$0 * step] })
  }
}
