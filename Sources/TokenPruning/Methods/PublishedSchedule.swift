/// Budgets for some layers of an LLM as a method's authors publish them.
public struct PublishedSchedule: Sendable, Hashable {
  /// What a request writes in `stages`: `192`.
  public let name: String
  /// The number of visual tokens the counts are for; nil for shares, which suit any number.
  public let tokenCount: Int?
  public let stages: [Stage]

  public struct Stage: Sendable, Hashable {
    public let layer: Int
    public let budget: TokenBudget
  }

  /// Counts per layer, for one number of visual tokens.
  init(_ name: String, of tokenCount: Int, layers: [Int], keepTokens: [Int]) {
    self.name = name
    self.tokenCount = tokenCount
    stages = zip(layers, keepTokens).map { Stage(layer: $0, budget: .keepTokens($1)) }
  }

  /// Shares of the original number per layer, each rounded down.
  init(_ name: String, layers: [Int], keepRatios: [Double]) {
    self.name = name
    tokenCount = nil
    stages = zip(layers, keepRatios).map { Stage(layer: $0, budget: .keepRatio($1)) }
  }

  /// The tensor that may carry the attention of one layer; without it a stage reads `attention`.
  public static func attentionName(layer: Int) -> String { "attention_layer_\(layer)" }

  public var attentionNames: [String] { stages.map { Self.attentionName(layer: $0.layer) } }
}

extension MethodRegistry {
  /// The tensors that the stages of a named schedule may read; none for an unknown one.
  public func attentionNames(ofSchedule name: String, method: String) -> [String] {
    descriptor(named: method)?.schedules.first { $0.name == name }?.attentionNames ?? []
  }
}
