import JSON
import PruningNumerics

/// PruMerge keeps the tokens the [CLS] token attends to most and adds to each what its nearest neighbours hold.
///
/// With a[i] the attention of [CLS] and cos that of the keys: the K highest a are anchors; an anchor's row is
/// x[i] + sum of a[j] x[j] over the 32 other tokens most similar to it; one more row is the sum of a[j] x[j] over
/// all pruned tokens. The weights are not normalised, and the right sides use the features as they came.
struct PruMerge: ScoringMethod {
  static let descriptor = MethodDescriptor(
    name: "prumerge",
    summary: "Keeps the tokens [CLS] attends to most and adds their nearest neighbours to them.",
    paper: "Shang et al., ICCV 2025, arXiv 2403.15388",
    requiredInputs: ["attention"], optionalInputs: ["image_features", "key"],
    parameters: [neighbourParameter, AdaptiveCount.parameter],
    deviations: [
      "`attention` is the softmax of q_CLS k / sqrt(width) over all keys with the heads not split, [CLS] left"
        + " out afterwards: the authors' weights.",
      "Where nothing is pruned there is no row for pruned tokens; the authors' code adds a zero row.",
      "Without `key` the similarity is that of image_features.",
    ],
    budget:
      "The kept tokens, at most that many with `adaptive`; on /compress one row for all pruned"
      + " tokens is added.", properties: [.nested, .scaleInvariant, .orderEquivariant],
    facts: MethodFacts(
      .encoder, isQuestionAware: false, cost: "O(N log N), O(K N D) to merge", inexactParameter: "adaptive",
      reported: ["14 times fewer tokens on LLaVA-1.5 at comparable accuracy": "arXiv 2403.15388"]))

  static let neighbourParameter = ParameterDescriptor(
    "neighbours", .integer(1...4096), default: 32, only: .compress, "how many tokens each anchor takes up")

  private let neighbours: Int
  private let isAdaptive: Bool

  init(_ parameters: Parameters) {
    neighbours = parameters.integer("neighbours")
    isAdaptive = parameters.boolean("adaptive")
  }

  func scores(of input: PruningInput) throws(PruningError) -> [Double] { try input.attentionScores() }

  var mayKeepFewer: Bool { isAdaptive }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let scores = try scores(of: input)
    let count = isAdaptive ? min(task.count, AdaptiveCount.outliers(among: scores)) : task.count
    return Ranking.highest(count, of: scores, among: task.candidates)
  }

  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    let task = SelectionTask(count: count, of: input)
    let kept = try select(task, from: input)
    let isKept = Set(kept)
    let pruned = task.candidates.filter { !isKept.contains($0) }
    return try NeighbourMerge(neighbours: neighbours).rows(kept, pruned, of: input)
  }
}

/// How many tokens stand out: the count that PruMerge and TRIM choose by themselves.
enum AdaptiveCount {
  static let parameter = ParameterDescriptor(
    "adaptive", .boolean, default: false,
    "whether only outliers are kept: scores above Q3 + 1.5 (Q3 - Q1); the budget is then the most")

  /// How many scores lie above the third quartile by more than 1.5 times the interquartile range.
  ///
  /// Quartiles are interpolated linearly between the order statistics, as numpy does.
  static func outliers(among scores: [Double]) -> Int {
    guard !scores.isEmpty else { return 0 }
    let sorted = scores.sorted()
    func quantile(_ share: Double) -> Double {
      let slot = share * Double(sorted.count - 1)
      let low = Int(slot.rounded(.down))
      let high = min(low + 1, sorted.count - 1)
      return sorted[low] + (slot - Double(low)) * (sorted[high] - sorted[low])
    }
    let third = quantile(0.75)
    let limit = third + 1.5 * (third - quantile(0.25))
    return scores.count { $0 > limit }
  }
}

/// PruMerge's way to add what is pruned to what is kept.
struct NeighbourMerge: Sendable {
  let neighbours: Int

  private static let anchorsPerPart = 8
  /// The limit and the client's patience are asked after that many.
  private static let partsPerTurn = 16

  /// What each anchor of a range takes up from its nearest neighbours.
  private func additions(
    _ range: Range<Int>, among others: [Int], in space: CosineSpace, _ features: Matrix, _ weights: [Double]
  ) -> [[Double]] {
    let similarities = space.exactSimilarities(of: Array(others[range]), to: others)
    return range.map { row in
      let start = (row - range.lowerBound) * others.count
      let candidates = others.indices.filter { $0 != row }
      let nearest = Ranking.highest(
        min(neighbours, candidates.count), of: Array(similarities[start..<(start + others.count)]),
        among: candidates)
      return features.weightedSum(nearest.map { others[$0] }) { weights[$0] }
    }
  }

  /// The anchors' rows in the given order, and one more for the pruned tokens, if there are any.
  ///
  /// - Parameters:
  ///   - kept: may name a token twice, as the authors' code does.
  ///   - pruned: the tokens of the last row; with the other anchors, those that anchors choose from.
  func rows(
    _ kept: [Int], _ pruned: [Int], of input: PruningInput
  ) throws(PruningError) -> MergedTokens {
    let weights = try input.attentionScores()
    let features = try input.features()
    let space = CosineSpace(try input.keys(or: features))
    var steps = StepCounter(limit: input.stepLimit)

    var rows = features.gathered(kept)
    let others = kept + pruned
    for first in stride(from: 0, to: kept.count, by: Self.anchorsPerPart * Self.partsPerTurn) {
      let end = min(first + Self.anchorsPerPart * Self.partsPerTurn, kept.count)
      try steps.spend(comparingWith: (end - first) * others.count, of: space, exactly: true)
      // Ranking them, and adding the nearest up.
      try steps.spend(
        (end - first) * (others.count * 30 + min(neighbours, others.count) * (20 + features.columns)))
      let parts = stride(from: first, to: end, by: Self.anchorsPerPart).map {
        $0..<min($0 + Self.anchorsPerPart, end)
      }
      let isStopped = steps.isStopped
      let sums = input.sharing.map(parts.count) { part in
        isStopped() ? [] : additions(parts[part], among: others, in: space, features, weights)
      }
      try steps.check()
      for (row, addition) in zip(first..<end, sums.joined()) { rows.add(addition, to: row) }
    }
    var assignments = MergedTokens.ownRows(kept, tokenCount: input.tokenCount)
    var sizes = [Int](repeating: 1, count: kept.count)
    if !pruned.isEmpty {
      rows = rows.appending(features.weightedSum(pruned) { weights[$0] })
      for token in pruned { assignments[token] = kept.count }
      sizes.append(pruned.count)
    }
    return MergedTokens(features: rows, kept: kept, assignments: assignments, sizes: sizes)
  }
}
