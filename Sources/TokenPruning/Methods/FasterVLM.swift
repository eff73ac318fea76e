import PruningNumerics

/// FasterVLM keeps the visual tokens the vision encoder's [CLS] token attends to most, before the LLM.
///
/// score[i] = mean over heads of A[h, CLS, i], with A the attention of the encoder layer whose hidden states
/// become features (the last but one in LLaVA). The question plays no part.
struct FasterVLM: ScoringMethod {
  static let descriptor = MethodDescriptor(
    name: "fastervlm",
    summary: "Keeps the tokens the vision encoder's [CLS] token attends to most (head mean).",
    paper: "Zhang et al., 2024, arXiv 2412.01818",
    requiredInputs: ["attention"],
    deviations: [
      "Encoders without [CLS] may give [heads, queries, N]: the attention each token receives, averaged over"
        + " queries, takes its place.",
      "Equal scores keep the lower index; the authors' code leaves their order to torch.topk.",
    ], properties: [.nested, .scaleInvariant, .orderEquivariant], cost: .linear, memory: .scores,
    facts: MethodFacts(
      .encoder, isQuestionAware: false, cost: "O(H Q N + N log N)",
      reported: ["90 % of LLaVA-1.5-7B with 95 % of the tokens pruned": "arXiv 2412.01818"]))

  init(_ parameters: Parameters) {}

  func scores(of input: PruningInput) throws(PruningError) -> [Double] {
    try input.attentionScores()
  }
}
