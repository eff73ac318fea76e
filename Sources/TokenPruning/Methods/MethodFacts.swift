/// What a reader compares methods by, and what `method: auto` chooses by.
public struct MethodFacts: Sendable, Hashable {
  /// What a method looks at; methods of one family are shown in one picture.
  public enum Family: String, Sendable, Hashable, CaseIterable {
    case region
    /// Inside the LLM: its attention, or its hidden states.
    case languageModel = "language_model"
    /// The attention of the vision encoder.
    case encoder
    /// Features alone.
    case diversity
    /// Features and the question's text.
    case question
    case video
    case pixels
    /// What any method has to beat.
    case control
  }

  /// A result of the authors, in their words where possible.
  public struct Report: Sendable, Hashable {
    public let result: String
    public let source: String
  }

  public let family: Family
  /// Whether the question changes the choice; nil where the given scores or scorer decide.
  public let isQuestionAware: Bool?
  /// Time, by N tokens, K kept, D features, H heads, M rows of text.
  public let cost: String
  /// The parameter with which fewer tokens may be kept than asked; nil for a method that is always exact.
  public let inexactParameter: String?
  /// Figures of the authors, not ours.
  public let reported: [Report]
  public let automatic: AutomaticUse?

  /// - Parameter reported: each result with its source.
  init(
    _ family: Family, isQuestionAware: Bool?, cost: String, inexactParameter: String? = nil,
    reported: KeyValuePairs<String, String> = [:], automatic: AutomaticUse? = nil
  ) {
    self.family = family
    self.isQuestionAware = isQuestionAware
    self.cost = cost
    self.inexactParameter = inexactParameter
    self.reported = reported.map { Report(result: $0.key, source: $0.value) }
    self.automatic = automatic
  }
}

/// When `method: auto` takes a method.
public struct AutomaticUse: Sendable, Hashable {
  /// What kind of request it is, in the order in which kinds are looked for.
  public enum Situation: String, Sendable, Hashable, CaseIterable {
    /// Pixels of patches, before there are features.
    case pixels
    /// Features of several frames.
    case video
    /// Text that features can be compared with.
    case question
    /// States inside the LLM.
    case languageModel = "language_model"
    /// Features or attention of an image.
    case image
    /// Nothing but positions.
    case positions

    var sentence: String {
      switch self {
      case .pixels: "There are pixels but no features or attention, so the vision encoder has not run"
      case .video: "The layout is a video"
      case .question: "The text is in the space of the features, so the question can decide"
      case .languageModel: "There are states from inside the LLM"
      case .image: "There is neither a video nor comparable text"
      case .positions: "Nothing in the request distinguishes the tokens"
      }
    }
  }

  public let situation: Situation
  /// Tensors that must all be there.
  public let inputs: [String]
  /// The share of the unpruned model's accuracy that the authors report; nil without a comparable figure.
  public let retained: Double?
  /// Why this method: the end of a sentence that begins with its name.
  public let evidence: String

  init(_ situation: Situation, _ inputs: [String], retained: Double? = nil, _ evidence: String) {
    self.situation = situation
    self.inputs = inputs
    self.retained = retained
    self.evidence = evidence
  }
}

extension MethodDescriptor {
  /// Tensors that fused attention does not give.
  private static let ofAttention: Set = [
    "attention", "early_attention", "query", "key", "value_states", "hidden_states",
  ]

  /// Whether it works without any attention map, and without states inside the LLM.
  public var isAttentionFree: Bool {
    let isOfAttention = Self.ofAttention.contains
    return !requiredInputs.contains(where: isOfAttention)
      && (alternativeInputs.isEmpty || !alternativeInputs.allSatisfy(isOfAttention))
  }
}
