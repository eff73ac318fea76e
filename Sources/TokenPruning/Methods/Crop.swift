import JSON
import PruningNumerics

/// CROP's inner-LLM pruning ranks what its region policy leaves to choose, by the scorer the input allows.
///
/// The region comes first; that is the pipeline's part (``RegionPolicy``), the same for every method. This
/// method supplies the order inside and outside the region, for which the paper leaves the choice open.
struct Crop: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "crop",
    summary: "Keeps the contextual region first, then the tokens outside that the scorer ranks highest.",
    paper: "Guo et al., EMNLP 2025, arXiv 2505.21233",
    optionalInputs: ["attention", "query", "key", "image_features", "text_features", "relevance_features"],
    parameters: [
      .init(
        "scorer", .choice(["auto", "attention", "similarity", "query_key", "diversity", "uniform"]),
        default: "auto",
        "how tokens are chosen inside and outside the region; auto takes diversity (image features), else"
          + " attention, else similarity (relevance and text features of one width), else query_key (the attention"
          + " of query to key), else uniform; with the policy bias, which needs scores, similarity instead of"
          + " diversity and after attention"
      ),
      .init(
        "relevance_sign", .choice(["negative", "positive"]), default: "positive",
        "whether a high or a low cosine with the text is relevant; CLIP's patch-text similarity is inverted"),
    ],
    deviations: [
      "The authors published no code; the region is kept first, as in the paper, and the rest of the budget"
        + " goes to the scorer's choice outside it, which the paper does not specify."
    ],
    budget:
      "The kept tokens, exactly that many, those of the region included; the policy `only` keeps"
      + " no more than the region holds.",
    properties: [.nested, .scaleInvariant, .orderEquivariant],
    facts: MethodFacts(
      .region, isQuestionAware: true, cost: "that of the scorer",
      reported: [
        "98.9 % of LLaVA-1.5-7B with 66.7 % of the tokens pruned, 96.0 % with 88.9 %": "arXiv 2505.21233"
      ]))

  private let scorer: String
  private let sign: Relevance.Sign
  /// Whether tokens have to have scores, which diversity gives none.
  private let needsScores: Bool

  init(_ parameters: Parameters) throws(PruningError) {
    scorer = parameters.choice("scorer")
    sign = parameters.choice("relevance_sign") == "positive" ? .positive : .negative
    needsScores = false
    try parameters.refuse(
      "relevance_sign", when: scorer != "similarity", "only applies to scorer 'similarity'")
  }

  private init(scorer: String, sign: Relevance.Sign, needsScores: Bool) {
    self.scorer = scorer
    self.sign = sign
    self.needsScores = needsScores
  }

  var choosesMethod: Bool { true }

  var limitedToScores: any PruningMethod { Crop(scorer: scorer, sign: sign, needsScores: true) }

  func resolved(for input: PruningInput) throws(PruningError) -> any PruningMethod {
    switch scorer == "auto" ? bestScorer(for: input) : scorer {
    case "attention": TopK(try Parameters(for: TopK.descriptor))
    case "similarity": CosineRelevance(sign: sign)
    case "query_key": QueryKeyAttention()
    case "diversity": DivPrune(try Parameters(for: DivPrune.descriptor))
    default: Uniform(try Parameters(for: Uniform.descriptor))
    }
  }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    try resolved(for: input).select(task, from: input)
  }

  /// The first whose tensors are there: what answers most of evaluation/README.md's questions, then the order in which a
  /// region is looked for (``LocalizationSource/chosen(_:from:)``).
  private func bestScorer(for input: PruningInput) -> String {
    let hasFeatures = input.tensors["image_features"] != nil
    if hasFeatures, !needsScores { return "diversity" }
    if input.tensors["attention"] != nil { return "attention" }
    if input.hasComparableText { return "similarity" }
    if input.tensors["query"] != nil, input.tensors["key"] != nil { return "query_key" }
    // Whoever asks for scores is told that diversity has none.
    return hasFeatures ? "diversity" : "uniform"
  }
}

/// The attention of `query` to `key` as a score; reached through ``Crop``'s `scorer` only.
struct QueryKeyAttention: ScoringMethod {
  static let descriptor = MethodDescriptor(
    name: "query_key", summary: "Keeps the tokens that the query attends to most.",
    requiredInputs: ["query", "key"])

  init() {}

  init(_ parameters: Parameters) {}

  func scores(of input: PruningInput) throws(PruningError) -> [Double] {
    try input.queryKeyAttention()
  }
}

/// The mean cosine with the text as a score; reached through ``Crop``'s `scorer` only.
struct CosineRelevance: ScoringMethod {
  static let descriptor = MethodDescriptor(
    name: "similarity", summary: "Keeps the tokens most similar to the text.",
    requiredInputs: ["image_features", "text_features"], optionalInputs: ["relevance_features"])

  private let sign: Relevance.Sign

  init(sign: Relevance.Sign) { self.sign = sign }

  init(_ parameters: Parameters) { sign = .positive }

  func scores(of input: PruningInput) throws(PruningError) -> [Double] {
    try Relevance.cosines(of: input, sign: sign)
  }
}
