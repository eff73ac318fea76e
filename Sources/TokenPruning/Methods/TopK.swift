/// Keeps the tokens with the highest given score: the plainest control.
public struct TopK: ScoringMethod {
  public static let descriptor = MethodDescriptor(
    name: "topk",
    summary: "Keeps the tokens with the highest value in the given attention row (any score will do).",
    requiredInputs: ["attention"], cost: .linear)

  public init(_ parameters: Parameters) {}

  public func scores(of input: PruningInput) throws(PruningError) -> [Double] {
    try input.attentionScores()
  }
}
