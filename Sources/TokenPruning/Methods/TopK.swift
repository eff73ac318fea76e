import PruningNumerics

/// Keeps the tokens with the highest given score: the plainest control.
struct TopK: ScoringMethod {
  static let descriptor = MethodDescriptor(
    name: "topk",
    summary: "Keeps the tokens with the highest value in the given attention row (any score will do).",
    requiredInputs: ["attention"],
    properties: [.nested, .scaleInvariant, .orderEquivariant], cost: .linear, memory: .scores,
    facts: MethodFacts(
      .control, isQuestionAware: nil, cost: "O(N log N)",
      automatic: AutomaticUse(
        .image, ["attention"],
        "ranks by the mean of the attention rows, whether they come from the vision encoder or the LLM")))

  init(_ parameters: Parameters) {}

  func scores(of input: PruningInput) throws(PruningError) -> [Double] {
    try input.attentionScores()
  }
}
