import JSON

/// VisPruner keeps the tokens the vision encoder's [CLS] token attends to most, and of the others those that
/// have no duplicate.
///
/// A share of the budget goes to the highest attention. The rest L, in order of attention, is thinned by up to
/// eight at a time: each token at an even place is compared with all at odd places, and those with the largest
/// best cosine go. The next L is the remaining even ones, most duplicated first, then the odd ones. The order
/// decides the next split, so all of it is in binary64.
/// - Complexity: O(N^2 D + N (N - K) N / 32); 8 N^2 bytes of memory.
///
/// Source: Zhang et al., "Beyond Text-Visual Attention: Exploiting Visual Cues for Effective Token Pruning in
/// VLMs", ICCV 2025, arXiv 2412.01818.
struct VisPruner: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "vispruner",
    summary: "Keeps the tokens [CLS] attends to most, and of the others those without a duplicate.",
    paper: "Zhang et al., ICCV 2025, arXiv 2412.01818",
    requiredInputs: ["image_features", "attention"],
    parameters: [
      ParameterDescriptor(
        "important_ratio", .number(0...1), default: 0.5,
        "share of the budget chosen by attention, rounded down; the rest is chosen by diversity"),
      ParameterDescriptor(
        "faithful", .boolean, default: false,
        "whether a residue of odd length that must be thinned is refused, for which the authors' code raises"),
    ],
    deviations: [
      "A residue of odd length has one more even place than odd ones; the authors' code raises an error"
        + " (`faithful`).",
      "Similarities are binary64. The authors' binary32 ones differ in the last bits, which changes the order"
        + " that decides the next round: of 576 tokens they keep 69 to 77 % the same.",
      "Equal similarities go by the earlier place; the authors' code leaves their order to torch.argsort.",
    ], properties: [.scaleInvariant, .orderEquivariant])

  static let removedPerRound = 8
  /// The similarities of all pairs take 128 MiB at this size.
  static let maximumResidue = 4096

  private let importantRatio: Double
  private let isFaithful: Bool

  init(_ parameters: Parameters) {
    importantRatio = parameters.number("important_ratio")
    isFaithful = parameters.boolean("faithful")
  }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let features = try input.features()
    let scores = try input.attentionScores()
    let ranked = Ranking.highest(task.candidates.count, of: scores, among: task.candidates)
    let importantCount = Int((Double(task.count) * importantRatio).rounded(.down))
    let residue = Array(ranked[importantCount...])
    let wanted = task.count - importantCount
    let important = Array(ranked.prefix(importantCount))
    if wanted == 0 || wanted == residue.count { return important + residue.prefix(wanted) }
    guard !isFaithful || residue.count.isMultiple(of: 2) else {
      throw PruningError(
        at: "/method_parameters/faithful",
        "\(residue.count) tokens are left beside the \(importantCount) chosen by attention, and the authors' code "
          + "raises an error for an odd number; change the budget or important_ratio, or leave `faithful` out"
      )
    }
    return try important + thinned(residue, to: wanted, in: CosineSpace(features), input.stepLimit)
  }

  private func thinned(
    _ residue: [Int], to wanted: Int, in space: CosineSpace, _ stepLimit: StepLimit
  ) throws(PruningError) -> [Int] {
    let count = residue.count
    guard count <= Self.maximumResidue else {
      throw PruningError(
        at: "image_features",
        "vispruner compares all tokens it does not keep by attention, and takes at most \(Self.maximumResidue)"
          + " such; there are \(count): raise important_ratio, or prune tile by tile")
    }
    var steps = StepCounter(limit: stepLimit)
    var similarities = [Double](repeating: 0, count: count * count)
    for row in 0..<count {
      try steps.spend(comparingWith: row, of: space, exactly: true)
      for other in 0..<row {
        let similarity = space.exactSimilarity(residue[row], residue[other])
        similarities[row * count + other] = similarity
        similarities[other * count + row] = similarity
      }
    }
    // Positions in `residue`.
    var list = Array(0..<count)
    while list.count > wanted {
      let even = stride(from: 0, to: list.count, by: 2).map { list[$0] }
      let odd = stride(from: 1, to: list.count, by: 2).map { list[$0] }
      try steps.spend(even.count * odd.count + StepCounter.heapTurn * even.count)
      let duplication = even.map { row in
        odd.reduce(-Double.infinity) { max($0, similarities[row * count + $1]) }
      }
      let order = Ranking.highest(even.count, of: duplication, among: Array(even.indices))
      let removed = min(Self.removedPerRound, list.count - wanted, even.count)
      list = order.dropFirst(removed).map { even[$0] } + odd
    }
    return list.map { residue[$0] }
  }
}
