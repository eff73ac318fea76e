/// Keeps the tokens with the highest given score: the plainest control.
struct TopK: ScoringMethod {
  static let descriptor = MethodDescriptor(
    name: "topk",
    summary: "Keeps the tokens with the highest value in the given attention row (any score will do).",
    requiredInputs: ["attention"],
    properties: [.nested, .scaleInvariant, .orderEquivariant], cost: .linear, memory: .scores)

  init(_ parameters: Parameters) {}

  func scores(of input: PruningInput) throws(PruningError) -> [Double] {
    try input.attentionScores()
  }
}
