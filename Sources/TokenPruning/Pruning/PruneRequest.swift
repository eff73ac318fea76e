public import JSON
import Parameters
public import PruningNumerics

/// One pruning step inside the LLM: from `layer` on, only the kept tokens are computed.
public struct PruningStage: Sendable, Hashable {
  /// 0-based; 0 prunes before the first layer.
  public let layer: Int
  /// A ratio is of the original number of tokens, in every stage.
  public let budget: TokenBudget
  /// The tensor with this stage's attention: over all N tokens, or over those the previous stage kept.
  public private(set) var attention = "attention"
}

/// What to prune by and how far: a budget for one step, or stages with a budget each.
public struct PruneRequest: Sendable, Equatable {
  public static let defaultMethod = "crop"
  /// The most stages accepted; the deepest schedules published have three.
  public static let maximumStageCount = 64

  public var method = Self.defaultMethod
  public var methodParameters: JSONObject = [:]
  /// Exactly one of `budget`, `stages` and `schedule` says how many tokens to keep.
  public var budget: TokenBudget?
  public var stages: [PruningStage] = []
  /// The name of one of the method's ``PublishedSchedule``s.
  public var schedule: String?
  /// The tokens of the contextual region, ascending; nil when there is none.
  public var regionTokens: [Int]?
  /// nil: `first` when there is a region, else `none`.
  public var policy: RegionPolicy?
  /// The LLM's layers; needed for the layer-averaged token count of a schedule.
  public var layerCount: Int?
  /// Whether the answer says of each token why it stayed or went, with its score where the method has any.
  public var explain = false
  /// Which tokens share the budget.
  public var scope = BudgetScope.image
  /// What becomes of newline tokens.
  public var newlines = NewlinePolicy.drop
  /// For one image of several with the same `keep_tokens`: the candidates of the largest budget of all.
  public var largestPeer: Int?
}

extension PruneRequest {
  /// Reads `method`, `method_parameters`, the budget, `stages`, `region_policy` and its numbers,
  /// `model_dimensions.layers`, `explain`, `budget_scope` and `newline_policy`. Other members are someone else's.
  ///
  /// - Throws: at the member that is wrong; at `/keep_tokens` when there is neither a budget nor stages.
  public init(_ parameters: JSONObject, regionTokens: [Int]? = nil) throws(PruningError) {
    let given = ParameterReading(parameters)
    method = try given.string("method") ?? Self.defaultMethod
    methodParameters = try given.nested("method_parameters")?.object ?? [:]
    schedule = Self.scheduleName(in: parameters)
    stages = try schedule == nil ? Self.stages(given) : []
    let hasStages = schedule != nil || !stages.isEmpty
    budget = try hasStages ? TokenBudget.parse(given) : TokenBudget(given)
    if let budget, hasStages {
      throw PruningError(
        at: "/\(budget.name)", "a budget and stages are both given; each stage has its own budget")
    }
    self.regionTokens = regionTokens
    policy = try RegionPolicy.parse(given)
    layerCount = try given.nested("model_dimensions")?.integer(
      "layers", in: 1...ModelDimensions.maximumLayerCount)
    explain = try given.boolean("explain") ?? false
    scope = try given.choice("budget_scope", BudgetScope.self) ?? .image
    newlines = try given.choice("newline_policy", NewlinePolicy.self) ?? .drop
  }

  /// The schedule that `stages` names instead of listing stages: a text, or the number that a query string makes
  /// of one.
  public static func scheduleName(in parameters: JSONObject) -> String? {
    let value = parameters["stages"]
    return value?.stringValue ?? value?.integerValue.map(String.init)
  }

  private static func stages(_ given: ParameterReading) throws(PruningError) -> [PruningStage] {
    guard let value = given.member("stages") else { return [] }
    guard let list = value.arrayValue else {
      throw PruningError(
        at: "/stages",
        "must be a list of stages or the name of a schedule, not \(ParameterReading.found(value))")
    }
    guard (1...maximumStageCount).contains(list.count) else {
      throw PruningError(at: "/stages", "must have 1 to \(maximumStageCount) stages, not \(list.count)")
    }
    var stages: [PruningStage] = []
    for (index, element) in list.enumerated() {
      let pointer = "/stages/\(index)"
      guard let object = element.objectValue else {
        throw PruningError(
          at: pointer,
          "must be an object with layer and a budget, not \(ParameterReading.found(element))")
      }
      let stage = ParameterReading(object, at: pointer)
      try stage.refuseUnknown(besides: ["layer", "attention"] + TokenBudget.names, of: "a stage")
      stages.append(
        PruningStage(
          layer: try stage.requiredInteger("layer", in: 0...ModelDimensions.maximumLayerCount),
          budget: try TokenBudget(stage), attention: try stage.string("attention") ?? "attention"))
    }
    return stages
  }
}

extension MethodRegistry {
  /// The method that a request names, limited to what its region policy can use.
  func method(of request: PruneRequest) throws(PruningError) -> any PruningMethod {
    let method = try make(request.method, request.methodParameters)
    if case .bias = request.policy { return method.limitedToScores }
    return method
  }
}
