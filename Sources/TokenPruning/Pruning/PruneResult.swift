/// Which visual tokens stay.
public struct PruneResult: Sendable, Hashable {
  public let tokenCount: Int
  /// Ascending; of a schedule, what its last stage kept.
  public let kept: [Int]
  /// The method that decided: the one asked for, or the scorer that `crop` chose (`topk`, `divprune`, ...).
  public let decidedBy: String
  /// Why that method, where the request left the choice (`auto`).
  public let reason: String?
  public let policy: RegionPolicy
  /// One per stage of the request; empty when it had a plain budget.
  public let stages: [StageResult]
  /// The layer-averaged equivalent: visual tokens summed over the layers, divided by the layers.
  ///
  /// In-LLM methods are compared by it. nil for a schedule when the number of layers is not known.
  public let averageTokens: Double?
  /// Fallbacks and shortfalls, said out loud.
  public let notes: [String]
  /// One score per token [N], when asked to explain and the method has scores; of a schedule, of stage 0.
  public let scores: [Double]?
  /// When asked to explain.
  public let explanation: PruneExplanation?
  /// Newline tokens among those kept; nil for a layout without any.
  public let keptNewlines: Int?
  /// The kept tokens as positions among those that earlier requests left; nil where all were there.
  public let keptWithinPrevious: [Int]?
  /// How many tokens those were.
  let previousCount: Int?

  public var budget: BudgetEcho { BudgetEcho(kept: kept.count, total: tokenCount) }

  /// Visual tokens each layer computes; without stages, pruning happens before the first.
  public func tokensPerLayer(layerCount: Int) -> [Int] {
    Schedule(stages.map { ($0.layer, $0.kept.count) }, tokenCount: tokenCount, plain: kept.count)
      .tokensPerLayer(layerCount)
  }
}

public struct StageResult: Sendable, Hashable {
  public let layer: Int
  /// Ascending indices into the original tokens.
  public let kept: [Int]
  /// The same tokens as positions in the previous stage's `kept` (in the original tokens for the first).
  public let keptWithinPrevious: [Int]
}

/// Token counts by layer: the one place that knows from which layer on a stage counts.
struct Schedule {
  private let steps: [(layer: Int, count: Int)]
  private let initial: Int

  init(_ steps: [(layer: Int, count: Int)], tokenCount: Int, plain: Int) {
    self.steps = steps
    initial = steps.isEmpty ? plain : tokenCount
  }

  func tokensPerLayer(_ layerCount: Int) -> [Int] {
    (0..<layerCount).map { layer in steps.last { $0.layer <= layer }?.count ?? initial }
  }

  func average(_ layerCount: Int) -> Double {
    tokensPerLayer(layerCount).reduce(0) { $0 + Double($1) } / Double(layerCount)
  }
}
