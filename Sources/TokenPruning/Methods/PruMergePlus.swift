import JSON
import PruningNumerics

/// PruMerge+ adds evenly spaced tokens to the anchors of PruMerge, so that every part of the image stays visible.
///
/// A share of the budget goes to the highest attention, the rest to tokens at even steps among the others; merging
/// is that of ``PruMerge``.
struct PruMergePlus: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "prumerge_plus",
    summary: "PruMerge with evenly spaced tokens beside those [CLS] attends to most.",
    paper: "Shang et al., ICCV 2025, arXiv 2403.15388",
    requiredInputs: ["attention"], optionalInputs: ["image_features", "key"],
    parameters: [
      .init(
        "important_ratio", .number(0...1), default: 0.25,
        "share of the budget chosen by attention, rounded half to even; the authors' code comes to about 1/4"
          + " with its adaptive ratio and 1/2 with a fixed one"),
      PruMerge.neighbourParameter,
      .init(
        "adaptive", .boolean, default: false,
        "the authors' shipped default: outliers of the attention (scores above Q3 + 1.5 (Q3 - Q1)), a share r of all"
          + " tokens, and every floor(floor(1 / r) / 3)-th token; the budget is then the most"),
      .init(
        "faithful", .boolean, default: false, only: .compress,
        "the authors' fixed-ratio variant with its defects: the budget counts the tokens chosen by attention, every"
          + " step-th token from step / 2 is added, step = floor(N / K), tokens chosen twice are kept twice, and for"
          + " each of these one of the first pruned tokens is lost"),
    ],
    deviations: [
      "Unless `adaptive`, the number of tokens is exact and none is chosen twice; the authors' code adds every step-th"
        + " token, step from the ratio, and so finds its number itself.",
      "`adaptive` takes the quartiles of one image's attention, the authors' code those of the batch; without an outlier"
        + " r is 1 / N, where the authors' code divides by zero.",
      "Otherwise as `prumerge`.",
    ],
    budget:
      "Important and spaced tokens together, at most that many with `adaptive`; on /compress one row for all pruned tokens comes on"
      + " top, and with `faithful` the spaced ones too.", properties: [.scaleInvariant],
    facts: MethodFacts(
      .encoder, isQuestionAware: false, cost: "O(N log N), O(K N D) to merge", inexactParameter: "adaptive"))

  private let importantRatio: Double
  private let neighbours: Int
  private let isAdaptive: Bool
  private let isFaithful: Bool

  init(_ parameters: Parameters) throws(PruningError) {
    importantRatio = parameters.number("important_ratio")
    neighbours = parameters.integer("neighbours")
    isAdaptive = parameters.boolean("adaptive")
    isFaithful = parameters.boolean("faithful")
    guard !(isAdaptive && isFaithful) else {
      throw PruningError(
        at: "/method_parameters/faithful",
        "is the authors' variant with a fixed ratio, and `adaptive` the one without; give one of both")
    }
    try parameters.refuse(
      "important_ratio", when: isAdaptive || isFaithful,
      "divides an exact budget; with `\(isAdaptive ? "adaptive" : "faithful")` the method finds the share itself"
    )
  }

  var mayKeepFewer: Bool { isAdaptive }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let scores = try input.attentionScores()
    if isAdaptive { return Self.adaptive(task, scores) }
    let important = Ranking.highest(
      roundHalfToEven(importantRatio, of: task.count), of: scores, among: task.candidates)
    let isImportant = Set(important)
    let rest = task.candidates.filter { !isImportant.contains($0) }
    let spread = task.count - important.count
    return important + (0..<spread).map { rest[(2 * $0 + 1) * rest.count / (2 * spread)] }
  }

  /// The outliers by descending attention, then the evenly spaced tokens among the others, cut at the budget.
  private static func adaptive(_ task: SelectionTask, _ scores: [Double]) -> [Int] {
    let outliers = AdaptiveCount.outliers(among: scores)
    let important = Ranking.highest(min(outliers, task.candidates.count), of: scores, among: task.candidates)
    var isOpen = [Bool](repeating: false, count: scores.count)
    for token in task.candidates { isOpen[token] = true }
    for token in important { isOpen[token] = false }
    // In float64, as the authors do: 1 / (k / N) may fall short of N / k.
    let share = Double(max(outliers, 1)) / Double(max(scores.count, 1))
    let step = max(1, Int((1 / share).rounded(.down)) / 3)
    let spaced = stride(from: 0, to: scores.count - 1, by: step).filter { isOpen[$0] }
    return Array((important + spaced).prefix(task.count))
  }

  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    let all = Array(0..<input.tokenCount)
    var kept: [Int]
    if isFaithful, count > 0 {
      kept = Ranking.highest(count, of: try input.attentionScores(), among: all)
      let step = input.tokenCount / count
      kept += Array(stride(from: step / 2, to: input.tokenCount - 1, by: step))
    } else {
      kept = try select(SelectionTask(count: count, candidates: all), from: input)
    }
    let isKept = Set(kept)
    let pruned = all.filter { !isKept.contains($0) }.dropFirst(kept.count - isKept.count)
    return try NeighbourMerge(neighbours: neighbours).rows(kept, Array(pruned), of: input)
  }
}
