public import JSON
import Parameters
public import PruningNumerics
import VisionLayouts

/// How far a selection may change while the language model decodes.
public struct ReselectRequest: Sendable, Hashable {
  /// How much the prefill counts beside the new attention, where the request has both.
  static let defaultPrefillWeight = 0.5
  /// By what share a pruned token must outscore the kept one it replaces, so that noise swaps nothing.
  static let defaultMargin = 0.1

  public static let parameterNames = [
    "max_swaps", "swap_margin", "prefill_weight", "budget_scope", "explain",
  ]

  /// The most swaps of one answer; nil for no limit.
  public var maximumSwaps: Int?
  /// 0 or more.
  public var margin = Self.defaultMargin
  /// In 0...1; nil for the default where the request has a prefill tensor.
  public var prefillWeight: Double?
  /// Which tokens share a count that stays as it is.
  public var scope = BudgetScope.image
  /// Whether the answer has every token's score.
  public var explain = false
}

extension ReselectRequest {
  /// Reads the members of ``parameterNames``; others are someone else's.
  public init(_ parameters: JSONObject) throws(PruningError) {
    let given = ParameterReading(parameters)
    maximumSwaps = try given.integer("max_swaps", in: 0...TokenLayout.maximumTokenCount)
    margin = try given.number("swap_margin", in: 0...1_000_000) ?? Self.defaultMargin
    prefillWeight = try given.number("prefill_weight", in: 0...1)
    scope = try given.choice("budget_scope", BudgetScope.self) ?? .image
    explain = try given.boolean("explain") ?? false
  }
}

/// Which tokens change places.
public struct ReselectResult: Sendable, Hashable {
  /// A kept token that goes, and the pruned one that comes in its place.
  public struct Swap: Sendable, Hashable {
    public let out: Int
    public let `in`: Int
    public let outScore: Double
    public let inScore: Double

    var gain: Double { inScore - outScore }
  }

  /// A part of all scores, before the swaps and after them.
  public struct Share: Sendable, Hashable {
    public let before: Double
    public let after: Double
  }

  /// Why there are no more swaps.
  public enum Stop: Sendable, Hashable {
    /// There is nothing to swap: every token is kept, or none.
    case nothingToSwap
    /// No pruned token outscores the weakest kept one at all.
    case bestKept
    /// Some do, but by less than the margin.
    case margin(pairs: Int)
    /// `max_swaps` was reached while more pairs passed the margin.
    case limit(pairs: Int)
    /// Every pruned token that could come in did.
    case allSwapped
  }

  public let tokenCount: Int
  /// Ascending; as many tokens as before.
  public let kept: [Int]
  /// The largest gain first.
  public let swaps: [Swap]
  public let stop: Stop
  /// What the kept tokens hold; 0 where every score is 0.
  public let keptShare: Share
  /// One score per token [N], where asked for.
  public let scores: [Double]?
}
