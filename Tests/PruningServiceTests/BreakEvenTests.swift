import JSON
import Testing

@testable import PruningService
@testable import TokenPruning

@Suite("break_even of /plan says whether pruning pays")
struct BreakEvenTests {
  private let service = TestService()

  /// LLaVA-1.5-7B and LLaVA-NeXT-7B.
  private static let model: JSONValue = [
    "hidden": 4096, "layers": 32, "heads": 32, "intermediate": 11008, "gated": true, "text_tokens": 64,
  ]

  private func plan(
    _ method: String, tokens: Int, keep: Int, _ breakEven: JSONObject, model: JSONValue? = Self.model
  ) throws -> Reply {
    var parameters: JSONObject = [
      "layout": ["type": "raw", "tokens": .integer(tokens)], "method": .string(method),
      "keep_tokens": .integer(keep), "break_even": .object(breakEven),
    ]
    parameters["model_dimensions"] = model
    return try service.post("/plan", JSONValue.object(parameters).description)
  }

  private func answer(
    _ method: String, tokens: Int, keep: Int, _ breakEven: JSONObject
  ) throws -> JSONObject {
    let reply = try plan(method, tokens: tokens, keep: keep, breakEven)
    #expect(reply.status == 200, "\(reply.text)")
    return try #require(reply.json["break_even"]?.objectValue)
  }

  private func number(_ object: JSONObject, _ path: String...) -> Double {
    var value: JSONValue = .object(object)
    for name in path { value = value.objectValue?[name] ?? .null }
    return value.doubleValue ?? .nan
  }

  @Test("a kilobyte of attention pays for a 7B model on every accelerator", arguments: [400, 150, 60])
  func aRowPays(_ teraflops: Int) throws {
    for method in ["fastv", "fastervlm", "topk", "crop"] {
      let found = try answer(method, tokens: 576, keep: 64, ["tflops": .integer(teraflops)])
      #expect(found["verdict"] == "pays", "\(method): \(found)")
    }
    let saved = try answer("fastv", tokens: 576, keep: 64, ["tflops": 400])
    // 17 ms are known of an H100 at 400 TFLOP/s.
    #expect(
      (14...20).contains(
        number(saved, "saved", "prefill_ms", "before")
          - number(saved, "saved", "prefill_ms", "after")))
  }

  @Test("what crop and auto cost follows from the tensors that will be sent")
  func inputs() throws {
    let features: JSONObject = ["tflops": 400, "inputs": ["image_features"]]
    let row = try answer("crop", tokens: 576, keep: 64, ["tflops": 400, "inputs": ["attention"]])
    #expect(row == (try answer("crop", tokens: 576, keep: 64, ["tflops": 400])))
    let diverse = try answer("divprune", tokens: 576, keep: 64, ["tflops": 400])
    #expect(diverse == (try answer("crop", tokens: 576, keep: 64, features)))
    #expect(diverse == (try answer("auto", tokens: 576, keep: 64, features)))
    #expect(number(row, "call", "compute_ms") < number(diverse, "call", "compute_ms"))
    // More is sent than the method needs.
    let more = try answer(
      "divprune", tokens: 576, keep: 64, ["tflops": 400, "inputs": ["image_features", "relevance_features"]])
    #expect(number(more, "call", "transport_ms") > number(diverse, "call", "transport_ms"))
    #expect(number(more, "call", "compute_ms") == number(diverse, "call", "compute_ms"))
  }

  @Test(
    "inputs that say nothing are rejected",
    arguments: [
      (["inputs": []], "/break_even/inputs"), (["inputs": "attention"], "/break_even/inputs"),
      (["inputs": ["attention", "attention"]], "/break_even/inputs"),
      (["inputs": ["attention", "atention"]], "/break_even/inputs/1"),
      (["inputs": ["attention"], "call_ms": 3], "/break_even/inputs"),
    ] as [(JSONObject, String)])
  func rejectedInputs(_ given: JSONObject, _ pointer: String) throws {
    var breakEven: JSONObject = ["tflops": 400]
    breakEven.append(given)
    let reply = try plan("crop", tokens: 576, keep: 64, breakEven)
    #expect(reply.status == 422 && reply.json["pointer"]?.stringValue == pointer, "\(reply.text)")
  }

  @Test("what was measured decides: a slow call by features does not pay on a fast accelerator")
  func measuredCalls() throws {
    // 390 to 460 ms were measured for divprune over 23.6 MB with httpx on a busy machine.
    let slow = try answer("divprune", tokens: 2880, keep: 320, ["tflops": 400, "call_ms": 390])
    #expect(slow["verdict"] == "does_not_pay" && slow["close"] == false && number(slow, "net_ms") < 0)
    let paying = try answer("divprune", tokens: 2880, keep: 320, ["tflops": 60, "call_ms": 390])
    #expect(paying["verdict"] == "pays")
    // At the stated TFLOP/s savings and call are equal.
    let limit = number(slow, "break_even_tflops")
    #expect(limit > 60 && limit < 400)
    let even = try answer("divprune", tokens: 2880, keep: 320, ["tflops": .number(limit), "call_ms": 390])
    #expect(even["close"] == true && abs(number(even, "net_ms")) < 1e-6)
  }

  @Test("calls that wait for each other lose what one alone gains: video sampling on a busy engine")
  func concurrency() throws {
    // Half the tokens of a video by their features: fewer requests a second at concurrency 32 (vllm#51221).
    let alone = try answer(
      "evs", tokens: 20_736, keep: 10_368, ["tflops": 400, "processors": 2, "compute_ms": 40])
    #expect(alone["verdict"] == "pays")
    let busy = try answer(
      "evs", tokens: 20_736, keep: 10_368,
      ["tflops": 400, "processors": 2, "compute_ms": 400, "concurrency": 32])
    #expect(busy["verdict"] == "does_not_pay")
    #expect(number(busy, "call", "waiting_ms") == 15 * number(busy, "call", "compute_ms"))
    #expect(
      busy["reasons"]?.arrayValue?.contains { $0.stringValue?.hasPrefix("32 calls at a time") == true }
        == true)
  }

  @Test("more bandwidth, output and batch change what they must, and nothing else")
  func monotony() throws {
    let base: JSONObject = ["tflops": 400, "bandwidth": 3350]
    let plain = try answer("fastv", tokens: 576, keep: 64, base)
    #expect(number(plain, "saved", "decode_ms") == 0)
    var long = base
    long["output_tokens"] = 512
    let decoding = try answer("fastv", tokens: 576, keep: 64, long)
    // 512 tokens of 32 layers, keys and values of 4,096 two-byte numbers, read 512 times.
    let bytes = 512.0 * 32 * 2 * 4096 * 2
    #expect(number(decoding, "saved", "kv_cache_bytes") == bytes)
    #expect(abs(number(decoding, "saved", "decode_ms") - 512 * bytes / 3350e6) < 1e-6)
    var many = long
    many["batch"] = 8
    let batch = try answer("fastv", tokens: 576, keep: 64, many)
    #expect(number(batch, "saved", "kv_cache_bytes") == 8 * bytes)
    #expect(abs(number(batch, "call", "transport_ms") - 8 * number(plain, "call", "transport_ms")) < 1e-9)
    // Few tokens on a fast accelerator: reading the weights takes longer than computing.
    let bound = try answer("fastv", tokens: 64, keep: 16, ["tflops": 400, "bandwidth": 300])
    #expect(bound["verdict"] == "does_not_pay")
    #expect(
      bound["reasons"]?.arrayValue?.contains { $0.stringValue?.hasPrefix("Reading the weights") == true }
        == true)
  }

  @Test("every measured method is registered, and every method but auto is measured or says so")
  func measured() throws {
    let names = MethodRegistry.standard.descriptors.map(\.name)
    #expect(CallCost.methods.keys.allSatisfy(names.contains))
    for name in names where name != "auto" {
      let reply = try plan(name, tokens: 576, keep: 64, ["tflops": 400])
      #expect(reply.status == 200, "\(reply.text)")
    }
    #expect(
      try plan("auto", tokens: 576, keep: 64, ["tflops": 400]).summary == "422 invalid-input at /method")
    #expect(try plan("auto", tokens: 576, keep: 64, ["tflops": 400, "call_ms": 3]).status == 200)
    // Costs rise with the tokens, the width and the kept tokens, and stay finite at the largest.
    for name in CallCost.methods.keys {
      let small = try #require(CallCost.compute(name, tokens: 576, width: 1024, kept: 64))
      let large = try #require(CallCost.compute(name, tokens: 1 << 20, width: 1 << 20, kept: 1 << 20))
      #expect(small > 0 && large >= small && large.isFinite)
    }
  }

  @Test("what cannot be planned is refused by name")
  func refusals() throws {
    for (breakEven, summary): (JSONObject, String) in [
      ([:], "422 invalid-input at /break_even/tflops"),
      (["tflops": 0], "422 invalid-input at /break_even/tflops"),
      (["tflop": 400], "422 invalid-input at /break_even/tflop"),
      (["tflops": 400, "transport": "carrier"], "422 invalid-input at /break_even/transport"),
      (["tflops": 400, "output_tokens": 5], "422 invalid-input at /break_even/output_tokens"),
      (["tflops": 400, "call_ms": 5, "compute_ms": 4], "422 invalid-input at /break_even/call_ms"),
      (["tflops": 400, "batch": 0], "422 invalid-input at /break_even/batch"),
    ] {
      let reply = try plan("fastv", tokens: 576, keep: 64, breakEven)
      #expect(reply.summary == summary, "\(reply.text)")
    }
    let misspelt = try plan("fastv", tokens: 576, keep: 64, ["tflops": 400, "inputs": ["attentoin"]])
    #expect(
      misspelt.json["detail"]
        == "'attentoin' is a tensor of no method; did you mean 'attention'?")
    let missing = try plan("fastv", tokens: 576, keep: 64, ["tflops": 400], model: nil)
    #expect(missing.summary == "422 invalid-input at /model_dimensions")
  }
}
