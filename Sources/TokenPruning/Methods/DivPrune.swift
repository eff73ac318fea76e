import GreedySearch
import JSON
import PruningNumerics

/// DivPrune keeps the tokens that are farthest apart: greedy max-min diversity by cosine distance.
///
/// The first pick is the token whose nearest neighbour is farthest; every next one is the token whose
/// smallest distance to those picked is largest.
/// - Complexity: see ``FarthestPointSearch``.
struct DivPrune: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "divprune",
    summary: "Keeps the tokens that are farthest apart by cosine distance (greedy max-min diversity).",
    paper: "Alvar et al., CVPR 2025, arXiv 2503.02175",
    requiredInputs: ["image_features"],
    parameters: [
      .init(
        "faithful", .boolean, default: false,
        "whether one zero row spoils every distance, as in the authors' code: the first zero row and the first"
          + " token are then all that is kept")
    ],
    deviations: [
      "A picked token cannot be picked again; the authors' code does not mask it, and repeats indices once"
        + " only copies of picked tokens are left.",
      "A zero row (padding) has no direction: it is picked only when nothing else is left, lowest index first;"
        + " in the authors' code one such row makes every distance NaN, and two different tokens are kept"
        + " (`faithful`).",
      "Distances are compared as float64 cosines; equal ones keep the lower index.",
      "Where tokens are kept already (a region), the first pick is the token farthest from those.",
    ],
    budget: "The kept tokens, exactly that many; `faithful` with a zero row keeps one or two.",
    properties: [.nested, .scaleInvariant, .orderEquivariant],
    facts: MethodFacts(
      .diversity, isQuestionAware: false, cost: "O(N^2 D)", inexactParameter: "faithful",
      reported: [
        "84 % fewer FLOPs on LLaVA-1.5-7B with no loss on POPE and 12.7 % on COCO captions":
          "arXiv 2503.02175, as others summarise it"
      ],
      automatic: AutomaticUse(
        .image, ["image_features"],
        "needs features alone, keeps those farthest apart, and is what later papers compare themselves with"))
  )

  private let isFaithful: Bool

  var mayKeepFewer: Bool { isFaithful }

  init(_ parameters: Parameters) { isFaithful = parameters.boolean("faithful") }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let space = try input.cosineSpace()
    if isFaithful, task.count > 0, let kept = Self.undefinedChoice(task.candidates, space) {
      return Array(kept.prefix(task.count))
    }
    if let kept = task.onlyChoice { return kept }
    var search = FarthestPointSearch(
      space, among: task.candidates, given: task.given, stepLimit: input.stepLimit, sharing: input.sharing)
    return try search.next(task.count)
  }

  /// What argmax over NaN comes to in the authors' code; nil where every distance is a number.
  ///
  /// NaN counts as the largest, the first of several. The first pick is by the second smallest distance, which
  /// is NaN for zero rows, or for all where fewer than two rows have a direction. Then every smallest distance to
  /// it is NaN, and the first token is picked again and again.
  private static func undefinedChoice(_ candidates: [Int], _ space: CosineSpace) -> [Int]? {
    let zeros = candidates.filter(space.isZero)
    guard let firstZero = zeros.first, let first = candidates.first else { return nil }
    let pick = candidates.count - zeros.count >= 2 ? firstZero : first
    return pick == first ? [first] : [pick, first]
  }
}
