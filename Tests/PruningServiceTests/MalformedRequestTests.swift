import JSON
import TensorFormats
import Tensors
import Testing
import TokenPruning

@testable import PruningService

/// Whatever a client sends is answered, and blamed on the client when it is wrong.
@Suite struct MalformedRequestTests {
  private let service = TestService(maximumBodyBytes: 8 << 20)

  @Test("5,000 random requests over all known names are each answered with 200 or 4xx", arguments: 0..<10)
  func randomRequests(batch: Int) throws {
    var requests = RandomRequests(seed: UInt64(batch))
    var accepted = 0
    for index in 0..<500 {
      let operation = requests.numbers.pick(["localize", "compress", "prune"])
      let body = try requests.body(for: operation)
      let reply = try service.send("POST /\(operation)", body: body.safetensors())
      #expect(
        reply.status == 200 || (400..<500).contains(reply.status), "\(batch)/\(index): \(reply.summary)")
      if reply.status == 200 { accepted += 1 }
      // JSON and safetensors say the same, so both are accepted or both rejected.
      if index % 5 == 0 {
        let json = try service.send("POST /\(operation)", body: body.json())
        #expect(
          (json.status == 200) == (reply.status == 200), "\(batch)/\(index): \(json.text) \(reply.summary)")
      }
    }
    // Random, but not hopeless: what is rejected at once tests nothing behind it.
    #expect(accepted > 20)
  }

  @Test("Extreme values are refused or answered, never a trap")
  func extremes() throws {
    let values = [
      "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1e308", "-1e308", "1e-320",
      "-0.0",
      "1e400", "0", "-1", "\"\"", "\"NaN\"", "[]", "{}", "[[]]", "null", "true", "\"\\u0000\"", "[null]",
      "[{}]",
      String(repeating: "[", count: 200) + String(repeating: "]", count: 200),
      String(repeating: "{\"a\":", count: 200) + "1" + String(repeating: "}", count: 200),
    ]
    let tensors =
      "\"attention\":[1,2,3,9],\"image_features\":[[1,2],[2,1],[0,1],[1,0]],\"text_features\":[1,0]"
    for operation in Operation.allCases {
      for name in operation.parameterNames {
        for value in values {
          let given = TokenBudget.names.contains(name) || operation == .localize ? "" : ",\"keep_tokens\":2"
          let reply = try service.post("/\(operation.rawValue)", "{\(tensors),\"\(name)\":\(value)\(given)}")
          #expect(reply.status == 200 || (400..<500).contains(reply.status), "\(name): \(value)")
        }
      }
    }
  }

  @Test("Tensors without elements are refused or answered, never a trap")
  func emptyTensors() throws {
    let shapes = [
      [], [0], [1], [0, 0], [0, 4], [4, 0], [1, 1], [2, 0, 4], [0, 2, 4], [2, 4, 0], [0, 0, 0, 0],
      [Shape.maximumExtent, 0, 4], [Shape.maximumExtent, 0],
    ]
    for name in TensorAxes.names {
      for shape in shapes {
        for method in MethodRegistry.standard.descriptors.map(\.name) {
          var tensors: [(name: String, tensor: Tensor)] = [(name, try .random(shape, seed: 1))]
          if name != "image_features" { tensors.append(("image_features", try .random([0, 4], seed: 1))) }
          let body = Body(tensors, ["keep_tokens": 0, "method": .string(method), "localize": false])
          let status = try service.send("POST /prune", body: body.safetensors()).status
          #expect(status == 200 || status == 422, "\(name) \(shape)")
        }
        for target in ["/localize", "/compress?keep_tokens=0"] {
          let body = Body([(name, try .random(shape, seed: 1))])
          let status = try service.send("POST \(target)", body: body.safetensors()).status
          #expect(status == 200 || status == 422, "\(name) \(shape)")
        }
      }
    }
  }

  @Test("Shapes that promise much and hold nothing are not believed")
  func emptyPromises() throws {
    let huge = Shape.maximumExtent
    for (name, shape) in [
      ("attention", [0, huge]), ("attention", [huge, 0]), ("image_features", [huge, 0]), ("key", [huge, 0]),
      ("position_ids", [0, huge]), ("image_features", [4096, huge >> 12, 0]),
      ("image_features", [huge, 0, 3]),
      ("relevance_features", [1 << 20, 0]), ("text_features", [huge, 0]), ("query", [huge, 0]),
      ("text_key", [huge, 0, 4]), ("hidden_states", [huge, 0]),
      ("encoder_features", [huge, 0]), ("pixel_values", [huge, 0]),
      ("value_states", [huge, 0]),
    ] {
      let empty = try Tensor(elementType: .float32, shape: Shape(shape), bytes: [])
      for method in MethodRegistry.standard.descriptors.map(\.name) {
        let body = Body([(name, empty)], ["keep_ratio": 1, "method": .string(method), "localize": false])
        let reply = try service.send("POST /prune", body: body.safetensors())
        #expect(
          (400..<500).contains(reply.status) || (shape == [huge, 0] && name == "attention"),
          "\(name) \(shape)")
      }
      for target in ["/localize", "/compress?keep_ratio=1"] {
        let reply = try service.send("POST \(target)", body: Body([(name, empty)]).safetensors())
        #expect((400..<500).contains(reply.status), "\(name) \(shape)")
      }
    }
  }

  @Test("Small requests that would need much memory are refused")
  func memory() throws {
    let bytes = [UInt8](repeating: 1, count: 20_000)
    let column = try Tensor(elementType: .uint8, shape: Shape([20_000, 1]), bytes: bytes[...])
    let pruner = Body(
      [("image_features", column), ("text_features", try .of([1], 1))],
      ["method": "cdpruner", "keep_tokens": 10_000])
    #expect(
      try service.send("POST /prune", body: pruner.safetensors()).summary
        == "422 invalid-input at image_features")

    let row = try Tensor(elementType: .uint8, shape: Shape([20_000]), bytes: bytes[...])
    let stages: JSONValue = [
      ["layer": 1, "keep_tokens": 1, "attention": "early"],
      ["layer": 2, "keep_tokens": 1, "attention": "late"],
    ]
    let schedule = Body([("early", row), ("late", column)], ["method": "topk", "stages": stages])
    #expect(
      try service.send("POST /prune", body: schedule.safetensors()).summary == "422 invalid-input at late")

    let many = [UInt8](repeating: 1, count: (1 << 20) + 1)
    let long = Body(
      [("attention", try Tensor(elementType: .uint8, shape: Shape([many.count]), bytes: many[...]))],
      ["method": "topk", "keep_tokens": 1])
    #expect(
      try service.send("POST /prune", body: long.safetensors()).summary == "422 invalid-input at attention")
  }

  @Test("NaN and infinity are rejected by tensor name in every type that has them")
  func nonFinite() throws {
    for value in [Float.nan, .infinity, -.infinity] {
      for type in [ElementType.float64, .float32, .float16, .bfloat16] {
        var numbers: [Float] = [1, 2, 3, 4]
        numbers[2] = value
        let row = try Tensor.floatingPoint(numbers, shape: Shape([4]), as: type)
        let matrix = try Tensor.floatingPoint(numbers, shape: Shape([4, 1]), as: type)
        for (target, tensor) in [
          ("/prune?method=topk&keep_tokens=1", ("attention", row)), ("/localize", ("attention", row)),
          ("/compress?keep_tokens=1", ("image_features", matrix)),
          ("/prune?method=divprune&keep_tokens=1", ("image_features", matrix)),
        ] {
          let reply = try service.send("POST \(target)", body: Body([tensor]).safetensors())
          #expect(reply.summary == "422 invalid-input at \(tensor.0)", "\(reply.text)")
          #expect(reply.json["detail"]?.stringValue?.contains("2") == true)
        }
      }
    }
  }

  @Test("Random bytes and cut bodies are refused, never a trap")
  func randomBytes() throws {
    var numbers = SeededNumbers(seed: 99)
    let whole = Body(
      [("attention", try .random([16], seed: 1))], ["keep_tokens": 3, "method": "topk"])
    for source in [whole.safetensors(), try whole.json(), try whole.npy()] {
      for _ in 0..<300 {
        var bytes = Array(source.prefix(numbers.below(source.count + 1)))
        for _ in 0..<numbers.below(4) where !bytes.isEmpty {
          bytes[numbers.below(bytes.count)] = UInt8(truncatingIfNeeded: numbers.next())
        }
        let status = try service.send("POST /prune", body: bytes).status
        #expect(status == 200 || (400..<500).contains(status))
      }
    }
  }
}

/// Random parameters of known names with values of any kind, beside small random tensors.
private struct RandomRequests {
  var numbers: SeededNumbers

  init(seed: UInt64) { numbers = SeededNumbers(seed: seed) }

  mutating func body(for operation: String) throws -> Body {
    let count = numbers.pick([0, 1, 2, 4, 6, 9, 16])
    let width = numbers.pick([1, 3])
    var tensors: [(name: String, tensor: Tensor)] = []
    func add(_ name: String, _ shape: [Int]) throws {
      tensors.append((name, try .random(shape, seed: numbers.next())))
    }
    let isBatch = numbers.below(6) == 0
    let leading = isBatch ? [numbers.pick([1, 2])] : []
    if numbers.below(4) > 0 { try add("image_features", leading + [count, width]) }
    if numbers.below(4) > 0 { try add("attention", leading + numbers.pick([[], [2], [2, 3]]) + [count]) }
    if numbers.below(3) == 0 { try add("reference_attention", leading + [count]) }
    if numbers.below(2) == 0 { try add("text_features", numbers.pick([[width], [2, width], [0, width]])) }
    if numbers.below(6) == 0 { try add("query", leading + [2]) }
    if numbers.below(6) == 0 { try add("key", leading + [count, 2]) }
    if numbers.below(6) == 0 { try add("position_ids", leading + [count]) }
    if numbers.below(6) == 0 { try add("text_key", numbers.pick([[2, 2], [3, 2, width]])) }
    if numbers.below(6) == 0 { try add("text_raters", [numbers.pick([2, 3])]) }
    if numbers.below(6) == 0 { try add("early_attention", leading + [count]) }
    if numbers.below(6) == 0 { try add("sizes", leading + [count]) }
    if numbers.below(6) == 0 {
      try add("hidden_states", leading + [numbers.pick([count, 20]), 4])
      try add("norm_weight", [4])
      try add("query_weight", [numbers.pick([64, 4]), 4])
      try add("key_weight", [numbers.pick([64, 4]), 4])
    }
    if numbers.below(6) == 0 { try add("encoder_features", leading + [count, 3]) }
    if numbers.below(6) == 0 { try add("padding_mask", leading + [count]) }
    if numbers.below(6) == 0 { try add("pixel_values", leading + [numbers.pick([count, 2 * count, 7]), 3]) }
    if numbers.below(6) == 0 {
      try add("value_states", leading + [numbers.pick([count, count + 5, 20]), 4])
    }
    if numbers.below(6) == 0 { try add("deep", [numbers.pick([count, 2])]) }
    var parameters = JSONObject()
    if isBatch, numbers.below(2) == 0 { parameters["batched"] = true }
    if operation != "localize" {
      parameters[numbers.pick(TokenBudget.names)] = numbers.pick([0, 1, 2, 0.5, 0.25])
    }
    let names = Operation(rawValue: operation)?.parameterNames ?? []
    for _ in 0..<numbers.below(4) {
      let name = numbers.pick(names)
      parameters[name] = numbers.below(3) == 0 ? value(depth: 0) : plausible(name)
    }
    return Body(tensors, parameters)
  }

  /// A value of the kind that belongs there.
  private mutating func plausible(_ name: String) -> JSONValue {
    switch name {
    case "method": numbers.pick(MethodRegistry.standard.descriptors.map { .string($0.name) })
    case "method_parameters":
      .object(
        numbers.pick([
          ["scorer": "diversity"], ["scorer": "uniform"], [:], ["relevance_sign": "negative"],
          ["faithful": true], ["adaptive": true], ["steps": 7, "class_token": true], ["frames": 2],
          ["tile_rows": 1, "tile_columns": 3], ["heads": 2], ["rank_scale": 1], ["contextual_tokens": 3],
          ["implementation": "openvino"], ["image_pivots": 1024, "text_pivots": 1024],
        ]))
    case "layout":
      [
        "type": numbers.pick(["grid", "llava"]), "rows": numbers.pick([1, 2, 3, 4]),
        "columns": numbers.pick([1, 2, 3, 4]),
      ]
    case "region":
      numbers.pick([
        ["blocks": [0, 0, 3, 3]], ["box": [0.1, 0.1, 0.2, 0.9]], ["text": "[2,1,5,4]"],
        [["blocks": [7, 7, 7, 7]]],
        ["box": [-5, -5, 1e300, 1e300]], ["text": "<loc0001><loc0002><loc0900><loc0901>"], ["text": "none"],
      ])
    case "localize":
      numbers.pick([
        true, [:], ["objective": "vicrop", "image_size": [640, 480]],
        ["objective": "coverage", "coverage": 0.9],
        ["source": "similarity", "temperature": 0.0001], ["max_regions": 16, "minimum_contrast": 0],
        ["minimum_overlap": 0.9, "objective": "contrast"],
      ])
    case "region_policy": numbers.pick(RegionPolicy.names.map { .string($0) })
    case "region_share", "region_bias", "region_ratio", "background_ratio":
      numbers.pick([0, 0.5, 1, 3, 1e-300])
    case "stages":
      numbers.pick([
        [["layer": 1, "keep_tokens": 1]],
        [["layer": 0, "keep_ratio": 0.5], ["layer": 3, "keep_tokens": 1]],
        [["layer": 2, "keep_ratio": 1, "attention": "deep"]],
        [["layer": 2, "prune_ratio": 0, "attention": "key"]],
      ])
    case "model_dimensions":
      [
        "hidden": 1_048_576, "layers": 10_000, "heads": 1, "intermediate": 16_777_216,
        "text_tokens": numbers.pick([0, 16_777_216]),
      ]
    case "renumber", "explain", "batched": .bool(numbers.below(2) == 0)
    case "anchors": numbers.pick(AnchorStrategy.allCases.map { .string($0.rawValue) })
    case "dtype": numbers.pick(["F16", "BF16", "F32", "F64", "I8"])
    case "seed": numbers.pick([0, 1, .integer(.max)])
    default: value(depth: 0)
    }
  }

  /// Any JSON.
  private mutating func value(depth: Int) -> JSONValue {
    switch numbers.below(depth > 3 ? 6 : 9) {
    case 0: return nil
    case 1: return .bool(numbers.below(2) == 0)
    case 2: return numbers.pick([0, 1, -1, 2, 8, .integer(.max), .integer(.min)])
    case 3: return numbers.pick([0.5, -0.5, 1e300, -1e300, 1e-300, 2.5])
    case 4: return numbers.pick(["", "a", "topk", "F16", "\u{0}", "\u{1F600}", "1", "/~", "image_features"])
    case 5: return .integer(numbers.below(20))
    case 6, 7: return .array((0..<numbers.below(5)).map { _ in value(depth: depth + 1) })
    default:
      var object = JSONObject()
      for _ in 0..<numbers.below(4) {
        object[
          numbers.pick(["blocks", "box", "text", "type", "rows", "layer", "keep_tokens", "attention", "a/b"])] =
          .some(value(depth: depth + 1))
      }
      return .object(object)
    }
  }
}
