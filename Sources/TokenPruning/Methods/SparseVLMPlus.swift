import JSON
import PruningNumerics

/// SparseVLM+ ranks by the attention of relevant words after taking out what rotary positions add to it, on the
/// heads that look at the image most.
///
/// A[h, q, k] is divided by w(p_q - p_k) = 1 / sqrt(d) x sum over i < d / 2 of 2 cos((p_q - p_k) base^(-2 i / d)), the
/// product that two vectors of ones would have at those positions. Of the heads, those with the largest sum over
/// raters and visual tokens count. Nothing is merged.
/// - Complexity: O(heads M N), and O(N M D) for the raters.
///
/// Source: version 2 of the code of Zhang et al., "SparseVLM", ICML 2025, arXiv 2410.04417.
struct SparseVLMPlus: ScoringMethod, TextRatingMethod {
  static let descriptor = MethodDescriptor(
    name: "sparsevlm_plus",
    summary:
      "SparseVLM without the attention's bias to near positions, on the heads that attend to the image.",
    paper: "Zhang et al., ICML 2025, arXiv 2410.04417",
    requiredInputs: ["attention"],
    optionalInputs: ["text_features", "image_features", "text_raters", "position_ids"],
    parameters: [
      .init("heads", .integer(1...1024), default: 14, "how many heads count; all where there are fewer"),
      .init("head_width", .integer(2...4096), default: 128, "d, even"),
      .init("rope_base", .number(1...1e12), default: 10_000, "the base of the frequencies"),
      .init(
        "image_start", .integer(0...(1 << 28)), default: 0,
        "position of the first visual token, beside text_start, where position_ids do not say"),
      .init(
        "text_start", .integer(0...(1 << 28)), default: nil,
        "position of the first query row; absent: one behind the last visual token"),
    ],
    deviations: [
      "The caller chooses the number of kept tokens, per layer in `stages`; the authors' tables are available by name.",
      "Fewer than 14 heads are all taken; the authors' code fails.",
      "A divisor nearer to 0 than 1e-9 counts as 1e-9.",
      "Raters are found as in `sparsevlm`.",
    ],
    schedules: [
      PublishedSchedule("192", of: 576, layers: SparseVLM.layers, keepTokens: [300, 200, 118]),
      PublishedSchedule("128", of: 576, layers: SparseVLM.layers, keepTokens: [238, 108, 60]),
      PublishedSchedule("96", of: 576, layers: SparseVLM.layers, keepTokens: [246, 54, 28]),
      PublishedSchedule("64", of: 576, layers: SparseVLM.layers, keepTokens: [66, 34, 20]),
    ], properties: [.nested],
    // The sums of each head.
    memory: MethodMemory(perElement: 16, perPair: 4, perScore: 8),
    facts: MethodFacts(.languageModel, isQuestionAware: true, cost: "O(H M N + N M D)"))

  private let headCount: Int
  private let width: Int
  private let base: Double
  private let imageStart: Int
  private let textStart: Int?

  init(_ parameters: Parameters) throws(PruningError) {
    headCount = parameters.integer("heads")
    width = parameters.integer("head_width")
    base = parameters.number("rope_base")
    imageStart = parameters.integer("image_start")
    textStart = parameters.optionalInteger("text_start")
    guard width % 2 == 0 else {
      throw PruningError(at: "/method_parameters/head_width", "must be even, not \(width)")
    }
  }

  func otherSteps(on input: PruningInput) -> Double { TextRaters.steps(on: input) }

  func scores(of input: PruningInput) throws(PruningError) -> [Double] {
    let attention = try TextAttention(of: input)
    let raters = try TextRaters.rows(of: input, count: attention.queries)
    let positions = try positions(of: input)
    let first = textStart ?? (positions.max() ?? imageStart - 1) + 1
    var pull = PositionalPull(width: width, base: base)
    var steps = StepCounter(limit: input.stepLimit)
    var sums = [[Double]](repeating: [Double](repeating: 0, count: input.tokenCount), count: attention.heads)
    // Rater by rater, so that the divisors of one are held.
    for rater in raters {
      let divisors = try positions.map { (position) throws(PruningError) -> Double in
        try pull.divisor(at: first + rater - position, &steps)
      }
      for head in sums.indices {
        for (token, value) in try attention.row(head: head, query: rater, &steps).enumerated() {
          sums[head][token] += value / divisors[token]
        }
      }
    }
    let heads = Ranking.highest(
      min(headCount, sums.count), of: sums.map { $0.reduce(0, +) }, among: Array(sums.indices))
    let scale = 1 / Double(heads.count * raters.count)
    return (0..<input.tokenCount).map { token in heads.reduce(0) { $0 + sums[$1][token] } * scale }
  }

  private func positions(of input: PruningInput) throws(PruningError) -> [Int] {
    guard input.tensors["position_ids"] != nil else {
      return (0..<input.tokenCount).map { imageStart + $0 }
    }
    let ids = try input.attentionScores(named: "position_ids")
    guard ids.allSatisfy({ $0 == $0.rounded() && $0 >= 0 && $0 <= 0x1p28 }) else {
      throw PruningError(at: "position_ids", "must be whole numbers of 0 to 2^28 for sparsevlm_plus")
    }
    return ids.map { Int($0) }
  }
}

/// w by distance, each computed once, as far as there are not too many.
private struct PositionalPull {
  private static let maximumKnownCount = 1 << 16

  private let frequencies: [Double]
  private let scale: Double
  private var known: [Int: Double] = [:]

  init(width: Int, base: Double) {
    frequencies = RotaryFrequencies(width: width, base: base).frequencies
    scale = 2 / Double(width).squareRoot()
  }

  mutating func divisor(at distance: Int, _ steps: inout StepCounter) throws(PruningError) -> Double {
    try steps.spend(20)
    if let value = known[abs(distance)] { return value }
    try steps.spend(40 * frequencies.count)
    let sum = frequencies.reduce(0) { $0 + cosineAndSine($1 * Double(distance)).cosine } * scale
    let value = sum.magnitude < 1e-9 ? (sum < 0 ? -1e-9 : 1e-9) : sum
    if known.count < Self.maximumKnownCount { known[abs(distance)] = value }
    return value
  }
}
