public import JSON
import Parameters
public import PruningNumerics

/// The machine and the load that pruning is to pay on: `break_even` of /plan.
public struct BreakEvenRequest: Sendable, Hashable {
  public static let names = [
    "tflops", "bandwidth", "batch", "output_tokens", "transport", "inputs", "feature_width",
    "request_bytes", "compute_ms", "call_ms", "concurrency", "processors",
  ]

  /// Effective TFLOP/s of the accelerator in prefill.
  let teraflops: Double
  /// Of its memory in GB/s; nil leaves decoding and the reading of weights out.
  let bandwidth: Double?
  /// Sequences that are prefilled together, each with these visual tokens.
  let batch: Int
  /// Tokens that are generated for each.
  let outputTokens: Int
  /// How the tensors reach the service.
  let transport: String
  /// Names of the tensors that will be sent; nil for those that the method cannot do without.
  let inputs: [String]?
  /// The width of the features that are sent; nil for the model's.
  let featureWidth: Int?
  /// Bytes of a request for one sequence; nil for what the method needs.
  let requestBytes: Double?
  /// Measured by the caller: milliseconds to compute one sequence's answer.
  let computeMilliseconds: Double?
  /// Measured by the caller: milliseconds of the whole call for one sequence.
  let callMilliseconds: Double?
  /// Calls under way at the same time.
  let concurrency: Int
  /// That compute them.
  let processors: Int

  /// - Returns: nil when the request has no `break_even`.
  public static func parse(_ parameters: JSONObject) throws(PruningError) -> BreakEvenRequest? {
    try ParameterReading(parameters).nested("break_even").map(BreakEvenRequest.init)
  }

  init(_ given: ParameterReading) throws(PruningError) {
    try given.refuseUnknown(besides: Self.names, of: "break_even")
    guard let teraflops = try given.number("tflops", in: 0.001...1e6) else {
      throw PruningError(
        at: given.path("tflops"), "is missing; the accelerator's effective TFLOP/s in prefill are needed")
    }
    self.teraflops = teraflops
    bandwidth = try given.number("bandwidth", in: 0.1...1e6)
    batch = try given.integer("batch", in: 1...4096) ?? 1
    outputTokens = try given.integer("output_tokens", in: 0...(1 << 20)) ?? 0
    transport = try given.name("transport", among: CallCost.transportNames) ?? CallCost.transportNames[0]
    inputs = try Self.inputs(given)
    featureWidth = try given.integer("feature_width", in: 1...(1 << 20))
    requestBytes = try given.number("request_bytes", in: 0...1e12)
    computeMilliseconds = try given.number("compute_ms", in: 0...1e9)
    callMilliseconds = try given.number("call_ms", in: 0...1e9)
    concurrency = try given.integer("concurrency", in: 1...4096) ?? 1
    processors = try given.integer("processors", in: 1...4096) ?? 1
    if callMilliseconds != nil, computeMilliseconds != nil || requestBytes != nil {
      throw PruningError(
        at: given.path("call_ms"), "is the whole call; compute_ms and request_bytes would have no effect")
    }
    if inputs != nil, callMilliseconds != nil || (computeMilliseconds != nil && requestBytes != nil) {
      throw PruningError(
        at: given.path("inputs"), "would have no effect: the whole cost of the call is given")
    }
    if outputTokens > 0, bandwidth == nil {
      throw PruningError(
        at: given.path("output_tokens"), "has no effect without bandwidth, which decoding depends on")
    }
  }

  private static func inputs(_ given: ParameterReading) throws(PruningError) -> [String]? {
    guard let value = given.member("inputs") else { return nil }
    let known = MethodRegistry.standard.inputNames
    let names = value.arrayValue?.compactMap(\.stringValue) ?? []
    guard !names.isEmpty, names.count == value.arrayValue?.count, Set(names).count == names.count else {
      throw PruningError(
        at: given.path("inputs"),
        "must be a list of different names of tensors, not \(ParameterReading.found(value))")
    }
    for (index, name) in names.enumerated() where !known.contains(name) {
      throw PruningError(
        at: "\(given.path("inputs"))/\(index)",
        "'\(name.excerpt)' is a tensor of no method; \(nameSuggestion(for: name, among: known))"
      )
    }
    return names
  }
}
