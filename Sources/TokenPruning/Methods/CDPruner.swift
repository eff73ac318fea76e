import GreedySearch
import JSON
import PruningNumerics

/// CDPruner keeps tokens that are diverse given how relevant each is to the question.
///
/// Relevance q is the (negated) cosine of each token with the text, scaled to 0...1 over the image; the kept
/// set greedily maximises the determinant of diag(q) S diag(q), S the cosines between features.
/// - Complexity: see ``DeterminantalSearch``; the relevance costs O(N M D).
struct CDPruner: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "cdpruner",
    summary: "Keeps tokens that are diverse, weighted by their relevance to the text (conditional DPP).",
    paper: "Zhang et al., NeurIPS 2025, arXiv 2506.10967",
    requiredInputs: ["image_features", "text_features"],
    optionalInputs: ["relevance_features"],
    parameters: [
      .init(
        "relevance_sign", .choice(["negative", "positive"]), default: "negative",
        "negative: relevance is minus the cosine, as published, because CLIP's patch-text similarity is"
          + " inverted; positive: plus the cosine, for text features of the LLM itself"),
      .init(
        "relevance_weight", .number(0...0.99), default: nil,
        "theta: the scaled relevance q becomes exp(q theta / (2 (1 - theta))); absent: q is used as it is"),
      .init(
        "implementation", .choice(["published", "openvino"]), default: "published",
        "published: float64, rank checked; openvino: the arithmetic of OpenVINO GenAI's processor path, float32"
          + " with 1e-6 under the root, all tokens in one piece (CDPRUNER_SPLIT_THRESHOLD off)"),
    ],
    deviations: [
      "The relevance is scaled over one image; the authors' code scales over the whole batch of tiles.",
      "The relevance compares relevance_features with text_features where relevance_features [N, E] is given, else"
        + " image_features itself, which then needs the width of text_features.",
      "Where all tokens are equally relevant every q is 1; the authors' code divides by zero.",
      "Once the rank of the kernel is exhausted (residuals of 1e-10 of the diagonal), the remaining picks are"
        + " by relevance, then index; the authors' code meets NaN and returns fewer tokens than asked. That is not offered: where it"
        + " meets NaN depends on the rounding of its libraries.",
      "A zero row has no gain and is picked only by that same rule.",
      "`openvino` takes no notice of tokens that the region has kept already.",
    ], properties: [.nested, .scaleInvariant, .orderEquivariant],
    // The factor's rows, and the rows and the triangle of what was selected.
    memory: MethodMemory(perElement: 24, perPair: 4, perKept: 16),
    facts: MethodFacts(
      .question, isQuestionAware: true, cost: "O(N K (D + K))",
      reported: ["94 % of LLaVA with 95 % fewer FLOPs": "arXiv 2506.10967"],
      automatic: AutomaticUse(
        .question, ["image_features", "text_features", "relevance_features"], retained: 0.94,
        "weighs diversity by embeddings in the text's space, and its authors report 94 % of LLaVA with 95 % fewer FLOPs"
      )))

  /// The most numbers of the factor: 512 MiB of them; 2,880 tokens of LLaVA-NeXT halved take 32 MiB.
  static let maximumFactorCount = 1 << 26

  private let sign: Relevance.Sign
  private let weight: Double?
  private let isOpenVINO: Bool

  init(_ parameters: Parameters) {
    isOpenVINO = parameters.choice("implementation") == "openvino"
    sign = parameters.choice("relevance_sign") == "positive" ? .positive : .negative
    weight = parameters.optionalNumber("relevance_weight")
  }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let (quality, features) = try qualityAndFeatures(of: input)
    if let kept = task.onlyChoice { return kept }
    let capacity = task.count + task.given.count
    let (numbers, overflow) = features.count.multipliedReportingOverflow(by: capacity)
    guard !overflow, numbers <= Self.maximumFactorCount else {
      throw PruningError(
        at: "image_features",
        "cdpruner needs one number per token and kept token, and takes at most \(Self.maximumFactorCount); "
          + "\(features.count) x \(capacity) are more: keep fewer tokens, or use divprune")
    }
    if isOpenVINO { return try selectAsOpenVINO(task, input, quality) }
    var search = try DeterminantalSearch(
      features, quality: quality, among: task.candidates, given: task.given, capacity: capacity,
      stepLimit: input.stepLimit)
    return try search.next(task.count)
  }

  /// The kernel takes 64 MiB at this size.
  static let maximumKernelSize = 4096

  private func selectAsOpenVINO(
    _ task: SelectionTask, _ input: PruningInput, _ quality: [Double]
  ) throws(PruningError) -> [Int] {
    let rows = task.candidates
    guard rows.count <= Self.maximumKernelSize else {
      throw PruningError(
        at: "image_features",
        "OpenVINO's arithmetic compares all tokens, and takes at most \(Self.maximumKernelSize); there are "
          + "\(rows.count)")
    }
    // Its guard of 1e-6 is absolute, so a common factor cannot be left out.
    guard rows.allSatisfy({ Float(quality[$0] * quality[$0]).isFinite })
    else {
      throw PruningError(
        at: "/method_parameters/relevance_weight",
        "the tokens' relevance spans so little that the weighted relevance exceeds float32, in which 'openvino' "
          + "computes; use a smaller weight, or implementation 'published'")
    }
    let space = CosineSpace(try input.features())
    var steps = StepCounter(limit: input.stepLimit)
    var kernel = [Float](repeating: 0, count: rows.count * rows.count)
    for (i, a) in rows.enumerated() {
      try steps.spend(comparingWith: i + 1, of: space, exactly: true)
      for (j, b) in rows.enumerated().prefix(i + 1) {
        let value = Float(quality[a] * space.exactSimilarity(a, b) * quality[b])
        kernel[i * rows.count + j] = value
        kernel[j * rows.count + i] = value
      }
    }
    return try FloatDeterminantalSearch.select(task.count, of: kernel, size: rows.count, &steps).map {
      rows[$0]
    }
  }

  private func qualityAndFeatures(
    of input: PruningInput
  ) throws(PruningError) -> (quality: [Double], features: MeasuredRows) {
    let (cosines, features) = try Relevance.cosinesAndFeatures(of: input, sign: sign)
    let relevance = Relevance.scaled(cosines)
    guard let weight else { return (relevance, features) }
    let alpha = weight / (2 * (1 - weight))
    if isOpenVINO { return (relevance.map { exponential(alpha * $0) }, features) }
    // A common factor changes no choice, and the largest exponent may be beyond every number.
    let highest = relevance.max() ?? 0
    return (relevance.map { exponential(alpha * ($0 - highest)) }, features)
  }
}
