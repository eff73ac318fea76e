public import JSON
public import PruningNumerics
import Tensors
public import VisionLayouts

/// Whether pruning pays: the time and memory it saves, what the call costs, and a verdict.
///
/// Prefill takes the larger of FLOPs / TFLOP/s and of reading the weights once for the batch; each generated token reads the
/// keys and values that are left. The call is on the way to the first token, so it is subtracted from what is saved. At
/// `concurrency` above `processors` calls wait for each other, while the accelerator's time is shared: that is how pruning
/// can lower the throughput of a busy engine that it speeds up for a single request. These are estimates: where they differ by
/// less than a quarter of the call, the verdict is called close.
public struct BreakEven: Sendable {
  public enum Verdict: String, Sendable, CaseIterable {
    case pays
    case doesNotPay = "does_not_pay"
  }

  /// Milliseconds of the whole batch.
  let prefillBefore: Double
  let prefillAfter: Double
  /// Milliseconds saved over all generated tokens.
  let decodeSaved: Double
  /// Bytes of keys and values of the whole batch.
  let memorySaved: Double
  let transport: Double
  let compute: Double
  let waiting: Double
  let source: String
  /// The TFLOP/s at which savings and call are equal; nil where they never are.
  let breakEvenTeraflops: Double?
  let verdict: Verdict
  let isClose: Bool
  let reasons: [String]

  private var call: Double { transport + compute + waiting }
  private var saved: Double { prefillBefore - prefillAfter + decodeSaved }

  /// - Parameter method: the one that decides (``decidingMethod(for:_:layout:)``).
  /// - Throws: at `/method` for one whose cost is not known.
  public init(
    _ request: BreakEvenRequest, _ savings: Savings, _ model: ModelDimensions, method: MethodDescriptor
  ) throws(PruningError) {
    let batch = Double(request.batch)
    let weights = request.bandwidth.map { model.weightBytes / ($0 * 1e6) } ?? 0
    func prefill(_ cost: Savings.Cost) -> Double {
      max(batch * cost.prefillFLOPs / (request.teraflops * 1e9), weights)
    }
    prefillBefore = prefill(savings.before)
    prefillAfter = prefill(savings.after)
    let memory = batch * (savings.before.keyValueBytes - savings.after.keyValueBytes)
    memorySaved = memory
    decodeSaved = request.bandwidth.map { Double(request.outputTokens) * memory / ($0 * 1e6) } ?? 0
    let cost = try Self.callCost(request, savings, model, method)
    (transport, compute, source) = (batch * cost.transport, batch * cost.compute, cost.source)
    waiting = batch * cost.compute * max(0, Double(request.concurrency) / Double(request.processors) - 1)
    let flopsSaved = batch * (savings.before.prefillFLOPs - savings.after.prefillFLOPs)
    let rest = transport + compute + waiting - decodeSaved
    breakEvenTeraflops = rest > 0 && flopsSaved > 0 ? flopsSaved / (rest * 1e9) : nil
    let saved = prefillBefore - prefillAfter + decodeSaved
    let call = transport + compute + waiting
    verdict = saved > call ? .pays : .doesNotPay
    isClose = abs(saved - call) < call / 4
    reasons = Self.reasons(
      request, prefillSaved: prefillBefore - prefillAfter, decodeSaved: decodeSaved, transport: transport,
      compute: compute, waiting: waiting, isBoundByWeights: prefillAfter == weights && weights > 0)
  }

  /// The method that a request decides by when it carries `request.inputs`: the one named, or the one that it chooses by
  /// names of tensors and the layout, which tokens that earlier requests left have none of.
  ///
  /// - Throws: at `/method` or `/method_parameters` as the request would.
  public static func decidingMethod(
    for request: BreakEvenRequest, _ prune: PruneRequest, layout: TokenLayout, left: [Int]? = nil
  ) throws(PruningError) -> MethodDescriptor {
    let method = try MethodRegistry.standard.method(of: prune)
    guard method.choosesMethod, let inputs = request.inputs else { return type(of: method).descriptor }
    let number: Tensor
    do throws(TensorError) {
      number = try Tensor(elementType: .uint8, shape: Shape([1, 1]), bytes: [0])
    } catch {
      throw PruningError(at: "/break_even/inputs", "\(error)")
    }
    let sketch = PruningInput(
      tokenCount: left?.count ?? layout.tokenCount,
      tensors: Dictionary(uniqueKeysWithValues: inputs.map { ($0, number) }),
      layout: left == nil ? layout : nil)
    return type(of: try method.resolved(for: sketch)).descriptor
  }

  private static func callCost(
    _ request: BreakEvenRequest, _ savings: Savings, _ model: ModelDimensions, _ method: MethodDescriptor
  ) throws(PruningError) -> (transport: Double, compute: Double, source: String) {
    if let call = request.callMilliseconds { return (0, call, "call_ms of the request") }
    let width = request.featureWidth ?? model.hidden
    let tokens = savings.before.visualTokens
    let bytes =
      request.requestBytes
      ?? method.bytesSent(request.inputs ?? method.neededInputs, tokens: tokens, width: width)
    let transport = CallCost.transport(request.transport, bytes: bytes) ?? 0
    let measured = "measured on \(CallCost.measuredOn)"
    if let compute = request.computeMilliseconds {
      return (transport, compute, "compute_ms of the request; transport \(measured)")
    }
    guard
      let compute = CallCost.compute(
        method.name, tokens: tokens, width: width, kept: savings.after.visualTokens)
    else {
      throw PruningError(
        at: "/method",
        "what '\(method.name)' costs is not known; say in break_even.inputs which tensors will be sent, name the method "
          + "that will decide, or give break_even.call_ms as measured")
    }
    return (transport, compute, measured)
  }

  private static func reasons(
    _ request: BreakEvenRequest, prefillSaved: Double, decodeSaved: Double, transport: Double,
    compute: Double, waiting: Double, isBoundByWeights: Bool
  ) -> [String] {
    func text(_ milliseconds: Double) -> String { "\(rounded(milliseconds)) ms" }
    var reasons = ["Prefill is \(text(prefillSaved)) shorter."]
    if isBoundByWeights {
      reasons.append("Reading the weights bounds prefill, so fewer tokens shorten it no further.")
    }
    if decodeSaved > 0 {
      reasons.append("Decoding \(request.outputTokens) tokens is \(text(decodeSaved)) shorter.")
    } else {
      reasons.append("Decoding is not counted; it needs bandwidth and output_tokens.")
    }
    if request.callMilliseconds != nil {
      reasons.append("The call takes \(text(compute)), as the request says.")
    } else {
      reasons.append(
        "The call takes \(text(transport)) to send by \(request.transport) and \(text(compute)) to compute.")
    }
    if waiting > 0 {
      reasons.append(
        "\(request.concurrency) calls at a time on \(request.processors) processors wait \(text(waiting)) for each other."
      )
    }
    return reasons
  }

  /// To three significant digits or so: an estimate has no more.
  private static func rounded(_ value: Double) -> Double {
    let scale: Double = abs(value) < 1 ? 1000 : abs(value) < 100 ? 100 : 1
    return (value * scale).rounded() / scale
  }

  /// The answer's `break_even` member.
  public var members: JSONObject {
    [
      "verdict": .string(verdict.rawValue), "close": .bool(isClose), "net_ms": .number(saved - call),
      "saved": [
        "prefill_ms": ["before": .number(prefillBefore), "after": .number(prefillAfter)],
        "decode_ms": .number(decodeSaved), "kv_cache_bytes": .number(memorySaved),
      ],
      "call": [
        "transport_ms": .number(transport), "compute_ms": .number(compute), "waiting_ms": .number(waiting),
        "source": .string(source),
      ],
      "break_even_tflops": breakEvenTeraflops.map { .number($0) } ?? .null,
      "reasons": .list(reasons),
    ]
  }
}

extension MethodDescriptor {
  private static let bytesPerNumber = 2.0
  /// Text that is compared with features: a short question.
  private static let textRows = 16.0
  /// Numbers of the four patches of 14 x 14 x 3 of a merged token, in two frames.
  private static let pixelsPerToken = 4.0 * 1176

  /// What the method cannot do without; where it is content with any of several, the first.
  var neededInputs: [String] {
    requiredInputs.isEmpty ? Array((alternativeInputs + optionalInputs).prefix(1)) : requiredInputs
  }

  /// Bytes of these tensors in two-byte numbers; of attention a row.
  func bytesSent(_ names: [String], tokens: Int, width: Int) -> Double {
    let n = Double(tokens)
    return names.reduce(0) { sum, name in
      switch name {
      case "attention", "early_attention": sum + n * Self.bytesPerNumber
      case "text_features": sum + Self.textRows * Double(width) * Self.bytesPerNumber
      case "pixel_values": sum + n * Self.pixelsPerToken * Self.bytesPerNumber
      default: sum + n * Double(width) * Self.bytesPerNumber
      }
    }
  }
}

extension ModelDimensions {
  /// Of all layers, embeddings left out.
  var weightBytes: Double {
    let d = Double(hidden)
    let keyValueShare = Double(keyValueHeads) / Double(heads)
    let perLayer = 2 * d * d * (1 + keyValueShare) + (isGated ? 3 : 2) * d * Double(intermediate)
    return Double(layers) * perLayer * Double(bytesPerElement)
  }
}
