public import JSON
import Parameters
public import PruningNumerics

/// How the tokens that others merge into are chosen.
public enum AnchorStrategy: String, Sendable, Hashable, CaseIterable {
  /// Farthest-point: every token is close to some anchor.
  case diversity
  /// Every step-th token, step = floor(tokens / anchors), from the first (VisionZip's contextual targets).
  case strided
  /// The tokens with the highest `attention`.
  case attention
  /// Centres of density: dense tokens far from any denser one (SparseVLM's recycling).
  case densityPeaks = "density_peaks"
}

/// How the budget is divided between the region and the rest.
public enum RegionSplit: Sendable, Hashable {
  /// This share of the rows stands for the region.
  case share(Double)
  /// Keep ratios of the two parts; scaled to the budget when there is one.
  case ratios(region: Double, background: Double)
}

/// How far to compress, in `merge` mode, which needs no trained weights.
public struct CompressRequest: Sendable, Equatable {
  /// The region's share of the rows when the request names none: dense inside, sparse outside.
  public static let defaultShare = 0.75
  public static let defaultMethod = "crop"

  /// nil only with the two ratios, which then decide the total.
  public var budget: TokenBudget?
  /// Ascending; nil without a region.
  public var regionTokens: [Int]?
  public var split: RegionSplit?
  public var anchors = AnchorStrategy.diversity
  /// `crop` merges by `anchors` within the region's border; any other name is that method's own merging.
  public var method = Self.defaultMethod
  public var methodParameters: JSONObject = [:]
  /// What becomes of newline tokens, which are never merged unless they count as candidates.
  public var newlines = NewlinePolicy.drop
  /// For one image of several with the same `keep_tokens`: the candidates of the largest budget of all.
  public var largestPeer: Int?
}

extension CompressRequest {
  /// Reads the budget, `region_share` or `region_ratio` with `background_ratio`, `anchors`, `method`,
  /// `method_parameters` and `newline_policy`.
  ///
  /// - Throws: at the member that is wrong; at `/keep_tokens` when nothing says how many rows to make.
  public init(_ parameters: JSONObject, regionTokens: [Int]? = nil) throws(PruningError) {
    let given = ParameterReading(parameters)
    method = try given.string("method") ?? Self.defaultMethod
    methodParameters = try given.nested("method_parameters")?.object ?? [:]
    try Self.refuseForeign(given, method: method, methodParameters)
    self.regionTokens = regionTokens
    split = try Self.split(given)
    budget = if case .ratios = split { try TokenBudget.parse(given) } else { try TokenBudget(given) }
    anchors = try given.choice("anchors", AnchorStrategy.self) ?? .diversity
    newlines = try given.choice("newline_policy", NewlinePolicy.self) ?? .drop
  }

  /// How long merging takes.
  ///
  /// - Throws: for an unknown method and its parameters, before anything is computed.
  public func work(on input: PruningInput) throws(PruningError) -> MethodWork {
    guard method != Self.defaultMethod else {
      return MethodWork(cost: anchors == .densityPeaks ? .allPairs : .quadratic, otherSteps: 0)
    }
    return MethodWork(
      try MethodRegistry.standard.make(method, methodParameters, for: .compress), on: input)
  }

  /// How many rows the budget allows for that many tokens; nil without one.
  ///
  /// An image smaller than a count that another image can meet keeps all it has.
  func resolvedBudget(total: Int) throws(PruningError) -> Int? {
    if case .keepTokens(let count) = budget, let largestPeer, count > total, count <= largestPeer {
      return total
    }
    return try budget?.resolve(total: total)
  }

  /// What only one of the two ways to merge reads must not be said to the other.
  private static func refuseForeign(
    _ given: ParameterReading, method: String, _ methodParameters: JSONObject
  ) throws(PruningError) {
    guard method != defaultMethod else {
      guard methodParameters.members.isEmpty else {
        throw PruningError(
          at: "/method_parameters", "\(defaultMethod) merges by anchors and has no parameters here")
      }
      return
    }
    let foreign = ["anchors", "region", "localize", "region_share", "region_ratio", "background_ratio"]
    if let name = foreign.first(where: { (given.member($0) ?? false) != false }) {
      throw PruningError(
        at: "/\(name)",
        "belongs to method '\(defaultMethod)', which divides the image; leave it out, or leave out the method"
      )
    }
  }

  private static func split(_ given: ParameterReading) throws(PruningError) -> RegionSplit? {
    let share = try given.number("region_share", in: 0...1)
    let region = try given.number("region_ratio", in: 0...1)
    let background = try given.number("background_ratio", in: 0...1)
    if share != nil, region != nil || background != nil {
      throw PruningError(
        at: "/region_share",
        "is given together with region_ratio or background_ratio; give the share or the two ratios")
    }
    switch (region, background) {
    case (let region?, let background?): return .ratios(region: region, background: background)
    case (nil, nil): return share.map(RegionSplit.share)
    case (nil, _): throw PruningError(at: "/region_ratio", "is required with background_ratio")
    case (_, nil): throw PruningError(at: "/background_ratio", "is required with region_ratio")
    }
  }
}
