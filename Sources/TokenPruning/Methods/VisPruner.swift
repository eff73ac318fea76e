import GreedySearch
import JSON
import PruningNumerics

/// VisPruner keeps the tokens the vision encoder's [CLS] token attends to most, and of the others those that
/// have no duplicate.
///
/// A share of the budget goes to the highest attention. The rest L, in order of attention, is thinned by up to
/// eight at a time: each token at an even place is compared with all at odd places, and those with the largest
/// best cosine go. The next L is the remaining even ones, most duplicated first, then the odd ones. The order
/// decides the next split, so all of it is in float64.
/// - Complexity: see ``DuplicateThinning``.
struct VisPruner: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "vispruner",
    summary: "Keeps the tokens [CLS] attends to most, and of the others those without a duplicate.",
    paper: "Zhang et al., ICCV 2025, arXiv 2412.01818",
    requiredInputs: ["image_features", "attention"],
    parameters: [
      .init(
        "important_ratio", .number(0...1), default: 0.5,
        "share of the budget chosen by attention, rounded down; the rest is chosen by diversity"),
      .init(
        "faithful", .boolean, default: false,
        "whether a residue of odd length that must be thinned is rejected, for which the authors' code raises"
      ),
    ],
    deviations: [
      "A residue of odd length has one more even place than odd ones; the authors' code raises an error"
        + " (`faithful`).",
      "Similarities are float64. The authors' float32 ones differ in the last bits, which changes the order"
        + " that decides the next round: of 576 tokens they keep 69 to 77 % the same.",
      "Equal similarities go by the earlier place; the authors' code leaves their order to torch.argsort.",
    ], properties: [.scaleInvariant, .orderEquivariant],
    facts: MethodFacts(
      .encoder, isQuestionAware: false, cost: "O(N^2 D)",
      reported: [
        "91 % fewer FLOPs and 75 % less latency of LLaVA-1.5-7B at comparable accuracy": "arXiv 2412.01818"
      ]))

  static let removedPerRound = 8
  static let maximumResidue = SimilarityMatrix.maximumCount

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
    guard residue.count <= Self.maximumResidue else {
      throw PruningError(
        at: "image_features",
        "vispruner compares all tokens it does not keep by attention, and takes at most \(Self.maximumResidue)"
          + " such; there are \(residue.count): raise important_ratio, or prune tile by tile")
    }
    var thinning = try DuplicateThinning(
      residue, in: CosineSpace(features), stepLimit: input.stepLimit, sharing: input.sharing)
    return try important + thinning.thinned(to: wanted, removedPerRound: Self.removedPerRound)
  }
}
