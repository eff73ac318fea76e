/// DivPrune keeps the tokens that are farthest apart: greedy max-min diversity by cosine distance.
///
/// The first pick is the token whose nearest neighbour is farthest; every next one is the token whose
/// smallest distance to those picked is largest.
/// - Complexity: see ``FarthestPointSearch``.
///
/// Source: Alvar et al., "DivPrune: Diversity-based Visual Token Pruning for Large Multimodal Models",
/// CVPR 2025, arXiv 2503.02175.
struct DivPrune: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "divprune",
    summary: "Keeps the tokens that are farthest apart by cosine distance (greedy max-min diversity).",
    paper: "Alvar et al., CVPR 2025, arXiv 2503.02175",
    requiredInputs: ["image_features"],
    deviations: [
      "A picked token cannot be picked again; the authors' code does not mask it, and repeats indices once"
        + " only copies of picked tokens are left.",
      "A zero row (padding) has no direction: it is picked only when nothing else is left, lowest index first;"
        + " in the authors' code one such row makes every distance NaN.",
      "Distances are compared as binary64 cosines; equal ones keep the lower index.",
      "Where tokens are kept already (a region), the first pick is the token farthest from those.",
    ])

  init(_ parameters: Parameters) {}

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let features = try input.features()
    if task.count == 0 || task.count == task.candidates.count {
      return Array(task.candidates.prefix(task.count))
    }
    var search = FarthestPointSearch(
      CosineSpace(features), among: task.candidates, given: task.given, stepLimit: input.stepLimit)
    return try search.next(task.count)
  }
}
