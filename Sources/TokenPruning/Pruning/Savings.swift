public import JSON
import Parameters
public import PruningNumerics

/// The sizes of a caller's language model, for estimates of cost.
public struct ModelDimensions: Sendable, Hashable {
  static let maximumLayerCount = 10_000
  static let names = [
    "hidden", "layers", "heads", "kv_heads", "intermediate", "dtype_bytes", "text_tokens", "gated",
  ]

  let hidden: Int
  let layers: Int
  let heads: Int
  let keyValueHeads: Int
  let intermediate: Int
  let bytesPerElement: Int
  /// Text tokens beside the visual ones; 0 when not told.
  let textTokens: Int
  /// Whether the feed-forward block is gated (SwiGLU: three matrices instead of two).
  let isGated: Bool

  /// Reads `model_dimensions`; `kv_heads` defaults to `heads`, `dtype_bytes` to 2, `gated` to false.
  ///
  /// - Returns: nil when the request has none.
  public static func parse(_ parameters: JSONObject) throws(PruningError) -> ModelDimensions? {
    try ParameterReading(parameters).nested("model_dimensions").map(ModelDimensions.init)
  }

  init(_ given: ParameterReading) throws(PruningError) {
    try given.refuseUnknown(besides: Self.names, of: "model_dimensions")
    hidden = try given.requiredInteger("hidden", in: 1...(1 << 20))
    layers = try given.requiredInteger("layers", in: 1...Self.maximumLayerCount)
    heads = try given.requiredInteger("heads", in: 1...(1 << 16))
    intermediate = try given.requiredInteger("intermediate", in: 1...(1 << 24))
    keyValueHeads = try given.integer("kv_heads", in: 1...heads) ?? heads
    bytesPerElement = try given.integer("dtype_bytes", in: 1...8) ?? 2
    textTokens = try given.integer("text_tokens", in: 0...(1 << 24)) ?? 0
    isGated = try given.boolean("gated") ?? false
  }
}

/// What pruning saves: prefill work and key-value memory, before and after.
///
/// Work is counted in floating-point operations (FLOPs), two for each multiply-add. Per layer over n tokens it is
/// 2 (4nd^2 + 2n^2 d + 2ndm): the formula of the pruning papers (FastV, ECCV 2024, section 4.2), whose terms are
/// multiply-adds; d is `hidden`, m is `intermediate`. Its 4nd^2 is the four projections; with grouped-query attention
/// the key and value ones shrink, to 2nd^2 (1 + kv_heads / heads). A gated feed-forward block has three matrices:
/// 3ndm. Key-value memory per layer is 2n d (kv_heads / heads) x `dtype_bytes`. n counts the text tokens too.
public struct Savings: Sendable, Hashable {
  struct Cost: Sendable, Hashable {
    let visualTokens: Int
    let prefillFLOPs: Double
    let keyValueBytes: Double
  }

  let before: Cost
  let after: Cost

  public init(_ result: PruneResult, _ model: ModelDimensions) {
    self.init(
      tokenCount: result.tokenCount, kept: result.kept.count,
      perLayer: result.tokensPerLayer(layerCount: model.layers), model)
  }

  /// Of one part of a plan; nil where its counts are not known beforehand.
  public init?(_ plan: PrunePlan, part: Int, _ model: ModelDimensions) {
    guard let schedule = plan.schedule(of: part), let kept = plan.parts[part].kept.last.flatMap({ $0 })
    else { return nil }
    self.init(
      tokenCount: plan.parts[part].tokenCount, kept: kept, perLayer: schedule.tokensPerLayer(model.layers),
      model)
  }

  /// For a step before the LLM: every layer sees `kept` tokens.
  public init(tokenCount: Int, kept: Int, _ model: ModelDimensions) {
    self.init(
      tokenCount: tokenCount, kept: kept, perLayer: Array(repeating: kept, count: model.layers), model)
  }

  private init(tokenCount: Int, kept: Int, perLayer: [Int], _ model: ModelDimensions) {
    before = Self.cost(tokenCount, Array(repeating: tokenCount, count: model.layers), model)
    after = Self.cost(kept, perLayer, model)
  }

  private static func cost(_ visual: Int, _ perLayer: [Int], _ model: ModelDimensions) -> Cost {
    let d = Double(model.hidden)
    let m = Double(model.intermediate)
    let keyValueShare = Double(model.keyValueHeads) / Double(model.heads)
    var multiplyAdds = 0.0
    var bytes = 0.0
    for tokens in perLayer {
      let n = Double(tokens) + Double(model.textTokens)
      multiplyAdds +=
        2 * n * d * d * (1 + keyValueShare) + 2 * n * n * d + (model.isGated ? 3 : 2) * n * d * m
      bytes += 2 * n * d * keyValueShare * Double(model.bytesPerElement)
    }
    return Cost(visualTokens: visual, prefillFLOPs: 2 * multiplyAdds, keyValueBytes: bytes)
  }

  /// The answer's `savings` member.
  public var members: JSONObject {
    func pair(_ before: Double, _ after: Double) -> JSONValue {
      .object([
        "before": .number(before), "after": .number(after),
        "saved_ratio": .number(before > 0 ? 1 - after / before : 0),
      ])
    }
    return [
      "visual_tokens": .object([
        "before": .integer(before.visualTokens), "after": .integer(after.visualTokens),
      ]),
      "prefill_flops": pair(before.prefillFLOPs, after.prefillFLOPs),
      "kv_cache_bytes": pair(before.keyValueBytes, after.keyValueBytes),
    ]
  }
}
