import Parameters
import PruningNumerics

/// How a contextual region and a budget go together (CROP inner-LLM pruning).
///
/// The paper prunes the tokens outside the region; what happens when the region is smaller or larger than the
/// budget is this project's design.
public enum RegionPolicy: Sendable, Hashable {
  /// The region plays no part.
  case none
  /// Region tokens only: ranked when they exceed the budget, fewer than the budget when they do not.
  case only
  /// The region first, what is left of the budget by score outside.
  case first
  /// This share of the budget inside, the rest outside; what one side cannot use goes to the other.
  case share(Double)
  /// Scores inside are multiplied by this; for methods that score tokens.
  case bias(Double)

  public static let names = ["none", "only", "first", "share", "bias"]

  public var name: String {
    switch self {
    case .none: "none"
    case .only: "only"
    case .first: "first"
    case .share: "share"
    case .bias: "bias"
    }
  }

  /// Reads `region_policy`, `region_share` in [0, 1] and `region_bias` in (0, 1e6].
  ///
  /// A share or bias implies its policy. The policies `share` and `bias` need their number.
  /// - Returns: nil when none of the three is there.
  static func parse(_ given: ParameterReading) throws(PruningError) -> RegionPolicy? {
    let share = try given.number("region_share", in: 0...1)
    let bias = try given.number("region_bias", in: 0...1e6)
    if bias == 0 { throw PruningError(at: "/region_bias", "must be above 0") }
    let named = try given.name("region_policy", among: names)
    let policy = named ?? (share != nil ? "share" : bias != nil ? "bias" : nil)
    if share != nil, policy != "share" {
      throw PruningError(at: "/region_share", "only applies to region_policy 'share', not '\(policy ?? "")'")
    }
    if bias != nil, policy != "bias" {
      throw PruningError(at: "/region_bias", "only applies to region_policy 'bias', not '\(policy ?? "")'")
    }
    switch policy {
    case "none": return RegionPolicy.none
    case "only": return .only
    case "first": return .first
    case "share":
      guard let share else {
        throw PruningError(at: "/region_share", "is required by region_policy 'share': a number in 0...1")
      }
      return .share(share)
    case "bias":
      guard let bias else {
        throw PruningError(at: "/region_bias", "is required by region_policy 'bias': a number above 0")
      }
      return .bias(bias)
    default: return nil
    }
  }
}
