import GreedySearch
import JSON
import PruningNumerics
import Tensors

/// SCOPE keeps the tokens whose saliency times what they add to the coverage of all tokens is largest.
///
/// S = cosine of the features; c[i] = 0. K times: the token j with the largest score of those not picked, score = gain x
/// a[j]^alpha (or gain + a[j]^alpha), gain = sum over all i of max(0, S[i, j] - c[i]); then c[i] = max(c[i], S[i, j]).
/// - Complexity: O(N^2 D / 2), and O(N) for each gain that is evaluated, see ``CoverageSearch``; 4 N^2 bytes.
struct SCOPE: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "scope",
    summary: "Keeps the tokens that add most to the coverage of all tokens, weighted by [CLS] attention.",
    paper: "Deng et al., NeurIPS 2025, arXiv 2510.24214",
    requiredInputs: ["image_features"], optionalInputs: ["attention"],
    parameters: [
      .init("alpha", .number(0...8), default: 1, "the power of the attention in the score"),
      .init(
        "combined", .choice(["multi", "add"]), default: "multi",
        "multi: the gain times the attention's power; add: plus it"),
      .init(
        "faithful", .boolean, default: false,
        "whether one zero row spoils every gain, as in the authors' code, which then keeps the first tokens"),
    ],
    deviations: [
      "A zero row (padding) has cosine 0 with every token and adds nothing; in the authors' code one such row makes"
        + " every gain NaN, and the first K tokens are kept (`faithful`).",
      "Gains are compared as float64 numbers; equal scores keep the lower index.",
      "Where tokens are kept already (a region), they cover from the beginning, and only they and the candidates"
        + " are covered.",
    ], properties: [.nested, .scaleInvariant, .orderEquivariant],
    cost: .allPairs, memory: MethodMemory(perElement: 16, perPair: 8),
    facts: MethodFacts(
      .diversity, isQuestionAware: false, cost: "O(N^2 D)",
      reported: ["about 96 % of LLaVA-1.5 at 64 of 576 tokens": "arXiv 2510.24214, as others summarise it"],
      automatic: AutomaticUse(
        .image, ["image_features", "attention"], retained: 0.96,
        "uses features and attention both, and is reported to keep about 96 % of LLaVA-1.5 at 64 of 576 tokens"
      )))

  private let alpha: Double
  private let isSum: Bool
  private let isFaithful: Bool

  init(_ parameters: Parameters) {
    alpha = parameters.number("alpha")
    isSum = parameters.choice("combined") == "add"
    isFaithful = parameters.boolean("faithful")
  }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let saliency = try saliency(of: input)
    let space = try input.cosineSpace()
    if let kept = task.onlyChoice { return kept }
    if isFaithful, (task.candidates + task.given).contains(where: space.isZero) {
      return Array(task.candidates.prefix(task.count))
    }
    try SimilarityMatrix.checkCount(task.candidates.count + task.given.count, of: Self.name)
    var steps = StepCounter(limit: input.stepLimit)
    let weights = try SimilarityCoverage(
      space, candidates: task.candidates, given: task.given, sharing: input.sharing, &steps)
    let own = task.candidates.map { saliency?[$0] ?? 1 }
    var search = try CoverageSearch(
      weights, factors: isSum ? own.map { _ in 1 } : own, addends: isSum ? own : own.map { _ in 0 },
      given: task.candidates.count..<(task.candidates.count + task.given.count), steps: steps)
    return try search.next(task.count).map { task.candidates[$0] }
  }

  /// The attention of each token, summed over heads, to the power of alpha; nil without attention.
  private func saliency(of input: PruningInput) throws(PruningError) -> [Double]? {
    guard input.tensors["attention"] != nil else { return nil }
    var sums = try input.summedAttention()
    guard sums.allSatisfy({ $0 >= 0 }) else {
      throw PruningError(at: "attention", "scope raises it to a power, so it must not be negative")
    }
    // A common factor changes no product; powers of numbers up to 1 do not overflow.
    if !isSum, let largest = sums.max(), largest > 0 { sums = sums.map { $0 / largest } }
    let powers = sums.map { power($0, alpha) }
    guard powers.allSatisfy(\.isFinite) else {
      throw PruningError(at: "attention", "its power \(alpha) is beyond 64-bit floats")
    }
    return powers
  }
}

extension PruningInput {
  /// One number per token [N]: `attention` summed over heads, and the mean over queries where there are several.
  ///
  /// - Throws: as ``attentionScores(named:counts:queries:)``.
  func summedAttention(named name: String = "attention") throws(PruningError) -> [Double] {
    let means = try attentionScores(named: name)
    let tensor = try tensor(name)
    let heads = tensor.rank > 1 ? Double(tensor.shape[0]) : 1
    return heads == 1 ? means : means.map { $0 * heads }
  }
}

/// `base` to a power.
///
/// - Precondition: neither is negative.
func power(_ base: Double, _ exponent: Double) -> Double {
  switch exponent {
  case 0: 1
  case 0.5: base.squareRoot()
  case 1: base
  case 2: base * base
  default: base > 0 && base.isFinite ? exponential(exponent * naturalLogarithm(base)) : base
  }
}

extension SimilarityMatrix {
  /// - Throws: when that many tokens are too many to compare all of them.
  static func checkCount(_ count: Int, of method: String) throws(PruningError) {
    guard count <= maximumCount else {
      throw PruningError(
        at: "image_features",
        "\(method) compares all tokens with each other and takes at most \(maximumCount) at once, not \(count); "
          + "give each tile its own budget (budget_scope 'tile'), or use divprune")
    }
  }
}
