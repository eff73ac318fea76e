import JSON
import LearnedNetworks
import Localization
import Parameters
import PruningNumerics
import Tensors
import TokenPruning
import VisionLayouts

/// What follows for one image of a request from its share of the parameters and the shapes of its tensors, which are
/// validated against each other.
struct ImageRequest: Sendable {
  /// This image's.
  let parameters: JSONObject
  private let region: RegionMember?
  /// What all its inputs have in common.
  let image: PruningInput.Image
  /// In a batch: the candidates of the largest budget of all images.
  var largestPeer: Int?

  /// Tensors that are read here and by nobody else.
  static let consumedTensors: Set = ["already_dropped"]

  /// - Parameter batchCount: the images of the batch, which share the work a request may be. The image then needs
  ///   a tensor with a token axis, or the hidden states of a sequence with room for the layout's tokens: a few bytes of
  ///   text for each of thousands of images must not ask for as many answers of a layout's size.
  init(
    tensors: [String: Tensor], parameters: JSONObject, region: RegionMember?, batchCount: Int?
  ) throws(PruningError) {
    let stages = PruneOperation.stageTensorNames(parameters)
    try Self.refuseEmpty(tensors, stages: stages)
    var tensors = tensors
    let dropped = tensors.removeValue(forKey: "already_dropped")
    let left = try PreviousTokens(parameters, dropped: dropped)
    let counted = try Self.tokenCount(of: tensors, stages: stages, left: left)
    let layout: TokenLayout? =
      if let json = parameters["layout"] {
        try TokenLayout(json, tokenCount: counted?.count)
      } else {
        counted.flatMap { TokenLayout.inferred(tokenCount: $0.count) }
      }
    // Tensors may be about those that are left alone, and then say nothing of the others.
    if counted == nil, let layout, let before = left?.tokenCount, layout.tokenCount != before {
      throw PruningError(
        at: "/layout",
        "describes \(layout.tokenCount) tokens, but there were \(before) before some were left out")
    }
    let isCarried = batchCount == nil || Self.carries(tensors, layout)
    guard let tokenCount = counted?.count ?? left?.tokenCount ?? (isCarried ? layout?.tokenCount : nil) else {
      throw PruningError(
        at: "/layout",
        "the number of visual tokens is unknown; send a tensor that has one row or column per token"
          + (batchCount != nil ? " and image" : ", or a layout"))
    }
    self.parameters = parameters
    self.region = region
    image = PruningInput.Image(
      tokenCount: tokenCount, layout: layout, seed: try Self.seed(parameters),
      previous: try left?.indices(below: tokenCount))
  }

  var tokenCount: Int { image.tokenCount }
  var layout: TokenLayout? { image.layout }
  /// The square grid that was taken for want of a layout.
  var inferredLayout: TokenLayout? { parameters["layout"] == nil ? image.layout : nil }
  /// The tokens that earlier requests left, ascending; nil where all are there.
  var previous: [Int]? { image.previous }

  /// The candidates of its largest budget. Members that are wrong are told when the request is read.
  var largestBudget: Int {
    func choice<Choice: RawRepresentable<String>>(_ name: String) -> Choice? {
      parameters[name]?.stringValue.flatMap { Choice(rawValue: $0) }
    }
    let scope: BudgetScope = choice("budget_scope") ?? .image
    return scope.largestBudget(of: tokenCount, layout, choice("newline_policy") ?? .drop, left: previous)
  }

  /// The image with its tensors, for one run.
  func input(_ tensors: [String: Tensor], _ run: RunContext) -> PruningInput {
    PruningInput(image, tensors: tensors, stepLimit: run.stepLimit, sharing: run.sharing)
  }

  /// The longest other axis of a tensor about no tokens, beyond the width of any features.
  private static let maximumEmptyExtent = 1 << 16

  /// Rejects tensors without elements, unless they are about no tokens: they take no bytes, whatever their extents say,
  /// and a kernel that believed one of those would do work that nothing bounds.
  private static func refuseEmpty(
    _ tensors: [String: Tensor], stages: [String]
  ) throws(PruningError) {
    for name in tensors.keys.sorted() {
      guard let tensor = tensors[name], tensor.elementCount == 0 else { continue }
      let known = stages.contains(name) ? "attention" : name
      guard tokenCount(of: tensor, named: known) == 0,
        tensor.shape.dimensions.allSatisfy({ $0 <= maximumEmptyExtent })
      else { throw PruningError(at: name, "has no elements: its shape is \(tensor.shape)") }
    }
  }

  /// N as the tensors tell it; they must agree.
  ///
  /// - Parameter stages: the attention tensor of each stage. The first stage sees all tokens; what only a later
  ///   one names may be as short as the stage before left it.
  private static func tokenCount(
    of tensors: [String: Tensor], stages: [String], left: PreviousTokens?
  ) throws(PruningError) -> (name: String, count: Int)? {
    var found: (name: String, count: Int)?
    for name in tensors.keys.sorted() {
      let isOfFirstStage = name == stages.first
      guard let tensor = tensors[name], isOfFirstStage || !stages.contains(name),
        let count = tokenCount(of: tensor, named: isOfFirstStage ? "attention" : name)
      else { continue }
      guard count <= TokenLayout.maximumTokenCount else {
        throw PruningError(
          at: name, "covers \(count) tokens; at most \(TokenLayout.maximumTokenCount) are accepted")
      }
      // What is left of the tokens may be all that a tensor is about.
      if let left, count == left.count { continue }
      if let found, found.count != count {
        throw PruningError(
          at: name,
          "shape \(tensor.shape) covers \(count) tokens, but \(found.name) covers \(found.count)"
            + (abs(count - found.count) == 1 ? "; leave the [CLS] token out of both" : ""))
      }
      found = found ?? (name, count)
    }
    return found
  }

  /// Whether a tensor has a row for each token of the layout, though it does not tell how many there are.
  private static func carries(_ tensors: [String: Tensor], _ layout: TokenLayout?) -> Bool {
    guard let layout else { return false }
    for name in ["hidden_states", "pixel_values", "value_states"] {
      guard let tensor = tensors[name], tensor.rank >= 2, tensor.elementCount > 0 else { continue }
      if tensor.shape[tensor.rank - 2] >= layout.tokenCount { return true }
    }
    return false
  }

  private static func tokenCount(of tensor: Tensor, named name: String) -> Int? {
    switch name {
    case "image_features", "encoder_features", "relevance_features": tensor.rank == 2 ? tensor.shape[0] : nil
    case "attention", "reference_attention", "position_ids", "sizes", "padding_mask", "prefill_scores",
      "prefill_rank":
      tensor.shape.dimensions.last
    case "key": tensor.rank >= 2 ? tensor.shape[tensor.rank - 2] : nil
    // Text, queries, weights and the sequence around the image have no token axis.
    default: nil
    }
  }

  static func seed(_ parameters: JSONObject) throws(PruningError) -> UInt64 {
    guard let value = parameters["seed"] else { return 0 }
    guard let number = value.unsignedValue else {
      throw PruningError(
        at: "/seed", "must be a whole number from 0 to \(UInt64.max), not \(ParameterReading.found(value))")
    }
    return number
  }

  /// Memory of a number of a list: in the result, as a JSON value and as text.
  private static let listedBytes = 40
  /// Of what is said of an image beside its lists, and of a stage beside its two.
  private static let imageBytes = 8 << 10
  private static let stageBytes = 1 << 10

  /// Memory for the answer about this image, as much as its lists take if all tokens stay.
  ///
  /// - Parameters:
  ///   - listsPerToken: beside the indices.
  ///   - otherNumbers: listed beside those of the tokens.
  func answerBytes(listsPerToken: Int = 0, stages: Int = 0, otherNumbers: Int = 0) -> Int {
    let lists = 1 + listsPerToken + 2 * stages
    return Self.imageBytes + stages * Self.stageBytes + (lists * tokenCount + otherNumbers) * Self.listedBytes
  }

  static func withoutPlaces(_ layout: TokenLayout) -> PruningError {
    PruningError(
      at: "/layout", "'\(layout.type)' has no token positions, so no token is in a region")
  }

  /// Whether the request speaks of a region; only CROP's pruning looks for one unasked.
  var asksForRegion: Bool {
    region != nil || parameters["localize"].map { $0 != false } ?? false
  }

  /// How the contextual region is had: from the caller, else from the tensors.
  func regionPlan(_ input: PruningInput, _ models: ModelSet) throws(PruningError) -> RegionPlan {
    if let region {
      try Self.refuseLocalizing(parameters)
      guard let layout else {
        throw PruningError(
          at: "/layout", "is needed to tell which of \(tokenCount) tokens lie in the region")
      }
      guard !layout.views.isEmpty else { throw Self.withoutPlaces(layout) }
      return .given(Localization(try RegionSpecification(region, layout: layout), layout: layout))
    }
    return .found(try PreparedLocalization(input, try Self.localizationOptions(parameters), models))
  }

  /// Of a request that gives a region.
  static func refuseLocalizing(_ parameters: JSONObject) throws(PruningError) {
    guard (parameters["localize"] ?? false) == false else {
      throw PruningError(
        at: "/localize", "a region is given, so there is nothing to localize; send only one of them")
    }
  }

  /// - Precondition: `localize` is not false.
  static func localizationOptions(_ parameters: JSONObject) throws(PruningError) -> LocalizationOptions {
    switch parameters["localize"] {
    case .object(let object): try LocalizationOptions(object)
    case nil, .bool(true): try LocalizationOptions(nil)
    case let other?: throw PruningError(at: "/localize", "must be an object, not \(other.kindWithArticle)")
    }
  }
}

/// How an image's region is had.
enum RegionPlan: Sendable {
  case none
  case given(Localization)
  case found(PreparedLocalization)

  /// The tokens of a region that does not depend on what tensors hold.
  var givenTokens: [Int]? { if case .given(let region) = self { region.tokens } else { nil } }

  /// How many numbers an answer lists about regions, and about their maps where it shows these.
  func listedNumbers(withMaps: Bool) -> Int {
    // Blocks, box, score, area and image, each with a name.
    let perRegion = 16
    return switch self {
    case .none: 0
    case .given(let region): perRegion * region.regions.count
    case .found(let search):
      search.imageCount
        * (perRegion * search.maximumRegions + (withMaps ? BlockRegion.side * BlockRegion.side : 0))
    }
  }

  /// The learned network that finds it, if one does.
  func modelUse(on input: PruningInput) -> ModelUse? {
    if case .found(let search) = self { search.modelUse(on: input) } else { nil }
  }

  /// The region, and the input with what was computed on the way to it.
  func region(
    in input: PruningInput, _ models: ModelSet
  ) throws(PruningError) -> (region: Localization?, input: PruningInput) {
    switch self {
    case .none: return (nil, input)
    case .given(let region): return (region, input)
    case .found(let search):
      let found = try search.run(on: input, models)
      return (found.region, input.reusing(found))
    }
  }
}

/// What one run of an operation has beside its tensors.
struct RunContext: Sendable {
  let models: ModelSet
  let stepLimit: StepLimit
  var sharing = WorkSharing.none
}

extension RunContext {
  /// With the work that one request may be.
  init(
    models: ModelSet, isAbandoned: @escaping @Sendable () -> Bool = { false },
    isOverdue: @escaping @Sendable () -> Bool, sharing: WorkSharing = .none
  ) {
    self.init(
      models: models,
      stepLimit: StepLimit(
        PruningInput.standardStepLimit, isAbandoned: isAbandoned, isOverdue: isOverdue), sharing: sharing)
  }
}
