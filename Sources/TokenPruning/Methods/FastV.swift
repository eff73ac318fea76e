import PruningNumerics

/// FastV keeps the visual tokens the last prompt token attends to most, after an early layer of the LLM.
///
/// score[i] = mean over heads of A[h, last, i], with A the attention probabilities of LLM layer K - 1; the
/// layers from K on see only the kept tokens, at their original positions. As a stage, `layer` is K.
struct FastV: ScoringMethod {
  static let descriptor = MethodDescriptor(
    name: "fastv",
    summary: "Keeps the tokens the last prompt token attends to most at LLM layer K - 1 (head mean).",
    paper: "Chen et al., ECCV 2024, arXiv 2403.06764",
    requiredInputs: ["attention"],
    deviations: [
      "The caller gives the last query row over the visual tokens, [N] or [heads, N]; of several query rows,"
        + " [heads, queries, N], the last is taken.",
      "The kept set is decided once, at prefill, as in the authors' in-place variant; their mask variant"
        + " decides again at every forward pass.",
      "Equal scores keep the lower index; the authors' code leaves their order to torch.topk.",
    ], properties: [.nested, .scaleInvariant, .orderEquivariant], cost: .linear, memory: .scores,
    facts: MethodFacts(
      .languageModel, isQuestionAware: true, cost: "O(H N + N log N)",
      reported: ["45 % fewer FLOPs on LLaVA-1.5-13B without loss": "arXiv 2403.06764"]))

  init(_ parameters: Parameters) {}

  func scores(of input: PruningInput) throws(PruningError) -> [Double] {
    try input.attentionScores(queries: .last)
  }
}
