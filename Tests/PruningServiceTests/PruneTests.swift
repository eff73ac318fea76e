import JSON
import PruningNumerics
import TensorFormats
import Tensors
import Testing
import TokenPruning

@testable import PruningService

@Suite struct PruneTests {
  private let service = TestService()
  private let side = 8

  /// Everything any method needs; the attention is bright in columns 2...4 of rows 1...3.
  private func tensors() throws -> [(name: String, tensor: Tensor)] {
    [
      ("attention", try .of(attentionRow(side: side, bright: 2..<5, 1..<4), 64)),
      ("image_features", try .random([64, 6], seed: 1)), ("text_features", try .random([2, 6], seed: 2)),
      ("pixel_values", try .random([64, 6], seed: 3)),
      // Five rows of text behind the image.
      ("value_states", try .random([69, 6], seed: 4)),
    ]
  }

  private func prune(_ parameters: JSONObject, _ extra: [(name: String, tensor: Tensor)] = []) throws -> Reply
  {
    try service.send("POST /prune", body: Body(try tensors() + extra, parameters.withFrames(4)).safetensors())
  }

  static let methods = MethodRegistry.standard.descriptors.map(\.name)

  @Test(
    "Every method under every region policy keeps exactly the budget, ascending, and answers the same twice",
    arguments: methods, RegionPolicy.names)
  func methodsAndPolicies(method: String, policy: String) throws {
    var parameters: JSONObject = [
      "method": .string(method), "keep_tokens": 20, "region_policy": .string(policy), "seed": 7,
      "region": ["blocks": [2, 1, 4, 3]],
    ]
    if policy == "share" { parameters["region_share"] = 0.25 }
    if policy == "bias" { parameters["region_bias"] = 3 }
    if method == "evs" { parameters["method_parameters"] = ["frames": 1] }
    let reply = try prune(parameters)
    let hasScores = [
      "crop", "fastv", "fastervlm", "topk", "prumerge", "trim", "evs", "sparsevlm", "sparsevlm_plus",
      "pyramiddrop", "pixelprune",
    ].contains(method)
    guard policy != "bias" || hasScores else {
      #expect(reply.summary == "422 invalid-input at /region_policy")
      return
    }
    let kept = try #require(reply.integers("kept_indices"), "\(reply.text)")
    let region = Set((1...3).flatMap { row in (2...4).map { row * side + $0 } })
    let inside = kept.filter(region.contains).count
    #expect(
      kept == kept.sorted() && Set(kept).count == kept.count && kept.allSatisfy { (0..<64).contains($0) })
    switch policy {
    case "only": #expect(Set(kept) == region)
    case "first": #expect(kept.count == 20 && inside == 9)
    case "share": #expect(kept.count == 20 && inside == 5)
    default: #expect(kept.count == 20)
    }
    #expect(reply.json["pruned_count"] == .integer(64 - kept.count))
    #expect(reply.json["keep_tokens"] == .integer(kept.count))
    #expect(reply.json["keep_ratio"]?.doubleValue == Double(kept.count) / 64)
    #expect(reply.json["region_policy"]?.stringValue == policy)
    #expect(reply.json["region"]?.objectValue?["region_tokens"] == 9)
    #expect(try prune(parameters).body == reply.body)
  }

  @Test("CROP finds the region by itself; others and region_policy none do not")
  func localizes() throws {
    let found = try prune(["keep_tokens": 9])
    #expect(found.integers("kept_indices") == (1...3).flatMap { row in (2...4).map { row * side + $0 } })
    let region = found.json["region"]?.objectValue
    #expect(region?["source"] == "attention" && region?["whole_image"] == false && region?["saliency"] == nil)
    #expect(found.json["method"] == "crop" && found.json["decided_by"] == "divprune")
    #expect(found.json["region_policy"] == "first")
    for parameters in [
      ["method": "topk"], ["region_policy": "none"], ["localize": false],
      ["method": "topk", "localize": nil],
    ] as [JSONObject] {
      var all = parameters
      all["keep_tokens"] = 9
      #expect(try prune(all).json["region"] == nil)
    }
    for parameters in [
      ["method": "topk", "localize": true], ["method": "divprune", "localize": ["source": "similarity"]],
      ["region_policy": "none", "localize": [:]],
    ] as [JSONObject] {
      var all = parameters
      all["keep_tokens"] = 9
      #expect(try prune(all).json["region"]?.objectValue != nil)
    }
  }

  @Test("A flat map and a region of everything leave the choice to the scorer, and say so")
  func degenerate() throws {
    let flat = try service.post("/prune", "{\"attention\":[1,1,1,1],\"keep_tokens\":2}")
    #expect(flat.json["region"]?.objectValue?["whole_image"] == true)
    #expect(
      flat.json["notes"]?.description.contains("every token") == true && flat.json["region_policy"] == "none")
    let all = try prune(["keep_tokens": 9, "region": ["blocks": [0, 0, 7, 7]], "region_policy": "only"])
    #expect(all.integers("kept_indices")?.count == 9 && all.json["notes"] != nil)
    let unused = try prune(["keep_tokens": 9, "method": "topk", "region_policy": "only"])
    #expect(unused.json["notes"]?.description.contains("there is no region") == true)
  }

  @Test("The three budgets say the same, and the extremes hold", arguments: methods)
  func budgets(method: String) throws {
    var base: JSONObject = ["method": .string(method)]
    if method == "evs" { base["method_parameters"] = ["frames": 1] }
    func kept(_ name: String, _ value: JSONValue) throws -> JSONValue? {
      var parameters = base
      parameters[name] = value
      return try prune(parameters).json["kept_indices"]
    }
    let sixteen = try kept("keep_tokens", 16)
    #expect(sixteen?.arrayValue?.count == 16)
    #expect(try kept("keep_ratio", 0.25) == sixteen)
    #expect(try kept("prune_ratio", 0.75) == sixteen)
    #expect(try kept("keep_tokens", 0) == [])
    #expect(try kept("keep_ratio", 1e-9)?.arrayValue?.count == 1)
    #expect(try kept("prune_ratio", 0) == .array((0..<64).map { .integer($0) }))
  }

  @Test("Stages nest, index into each other, and average over the layers")
  func stages() throws {
    let stages: JSONValue = [
      ["layer": 2, "keep_tokens": 32], ["layer": 8, "keep_ratio": 0.25, "attention": "deep"],
      ["layer": 16, "prune_ratio": 0.875, "attention": "deeper"],
    ]
    let dimensions: JSONValue = ["hidden": 64, "layers": 32, "heads": 4, "intermediate": 128]
    let deep: [(name: String, tensor: Tensor)] = [
      ("deep", try .random([2, 64], seed: 5)), ("deeper", try .random([16], seed: 6)),
    ]
    let reply = try prune(["method": "topk", "stages": stages, "model_dimensions": dimensions], deep)
    let results = (reply.json["stages"]?.arrayValue ?? []).compactMap(\.objectValue)
    try #require(results.count == 3, "\(reply.text)")
    func indices(_ stage: Int, _ name: String) -> [Int] {
      results[stage][name]?.arrayValue?.compactMap(\.integerValue) ?? []
    }
    #expect(results.map { $0["keep_tokens"] } == [32, 16, 8])
    #expect(indices(0, "kept_indices") == indices(0, "kept_within_previous"))
    for stage in 1..<3 {
      let previous = indices(stage - 1, "kept_indices")
      #expect(indices(stage, "kept_within_previous").map { previous[$0] } == indices(stage, "kept_indices"))
    }
    #expect(reply.integers("kept_indices") == indices(2, "kept_indices"))
    #expect(reply.json["average_tokens"]?.doubleValue == Double(64 * 2 + 32 * 6 + 16 * 8 + 8 * 16) / 32)
    let savings = reply.json["savings"]?.objectValue
    #expect(savings?["visual_tokens"] == ["before": 64, "after": 8])
    let saved = savings?["prefill_flops"]?.objectValue?["saved_ratio"]?.doubleValue ?? 0
    #expect(saved > 0.5 && saved < 1)
  }

  @Test("The first stage's attention tells N where no other tensor does; later ones may be shorter")
  func stagesAlone() throws {
    let stages: JSONValue = [
      ["layer": 2, "keep_tokens": 4, "attention": "early"], ["layer": 8, "keep_tokens": 2],
    ]
    let body = Body(
      [("early", try .random([3, 16], seed: 1)), ("attention", try .random([4], seed: 2))],
      ["method": "topk", "stages": stages])
    let reply = try service.send("POST /prune", body: body.safetensors())
    #expect(reply.json["pruned_count"] == 14, "\(reply.text)")
  }

  @Test("Position ids keep their gaps, are renumbered on demand, and may be plain numbers")
  func positions() throws {
    func answer(_ ids: String, _ rest: String) throws -> Reply {
      try service.post(
        "/prune", "{\"attention\":[9,1,8,1],\"keep_tokens\":2,\"method\":\"topk\"\(ids)\(rest)}")
    }
    #expect(try answer("", "").json["position_ids"] == nil)
    #expect(try answer("", ",\"renumber\":false").json["position_ids"] == [0, 2])
    #expect(try answer("", ",\"renumber\":true").json["position_ids"] == [0, 1])
    let plain = try answer(",\"position_ids\":[35,36,37,38]", "")
    #expect(plain.json["position_ids"] == [35, 37] && plain.json["mrope_position_delta"] == 2)
    let typed = try answer(",\"position_ids\":{\"dtype\":\"I64\",\"shape\":[4],\"data\":[35,36,37,38]}", "")
    #expect(typed.json["position_ids"] == [35, 37])
    let rope = try answer(",\"position_ids\":[[1,1,1,1],[1,1,2,2],[1,2,1,2]]", ",\"renumber\":true")
    #expect(rope.json["position_ids"] == [[1, 2], [1, 2], [1, 2]])
    #expect(try answer(",\"position_ids\":[0.5,1,2,3]", "").summary == "422 invalid-input at position_ids")
    #expect(
      try answer(",\"position_ids\":[1,2,3]", "").summary == "422 invalid-input at attention"
        || answer(",\"position_ids\":[1,2,3]", "").summary == "422 invalid-input at position_ids")
    #expect(
      try answer(",\"position_ids\":[16777217,2,3,4]", "").summary == "422 invalid-input at position_ids")
  }

  @Test("explain adds one score per token where the method has scores")
  func explain() throws {
    let scored = try prune(["keep_tokens": 4, "method": "topk", "explain": true])
    #expect(scored.json["scores"]?.arrayValue?.count == 64)
    #expect(try prune(["keep_tokens": 4, "method": "divprune", "explain": true]).json["scores"] == nil)
    #expect(try prune(["keep_tokens": 4, "method": "topk"]).json["scores"] == nil)
  }

  @Test("Every declared method parameter is checked: a wrong type, an unknown name, a value out of range")
  func methodParameters() throws {
    for descriptor in MethodRegistry.standard.descriptors {
      func summary(_ name: String, _ value: JSONValue) throws -> String {
        try prune([
          "keep_tokens": 4, "method": .string(descriptor.name), "method_parameters": .object([name: value]),
        ]).summary
      }
      #expect(try summary("no_such", 1) == "422 invalid-input at /method_parameters/no_such")
      for parameter in descriptor.parameters {
        let place = "422 invalid-input at /method_parameters/\(parameter.name)"
        #expect(try summary(parameter.name, ["an": "object"]) == place)
        #expect(
          try summary(parameter.name, parameter.defaultValue)
            // Without frames there is nothing to compare.
            == (descriptor.name == "evs" && parameter.name == "frames" ? place : "200"),
          "\(descriptor.name).\(parameter.name)")
        switch parameter.kind {
        case .integer(let range):
          #expect(try summary(parameter.name, 1.5) == place)
          if range.upperBound < .max {
            #expect(try summary(parameter.name, .integer(range.upperBound + 1)) == place)
          }
        case .number(let range):
          if range.upperBound < 1e308 { #expect(try summary(parameter.name, 1e308) == place) }
          #expect(try summary(parameter.name, "1") == place)
        case .boolean: #expect(try summary(parameter.name, 1) == place)
        case .choice: #expect(try summary(parameter.name, "no such") == place)
        }
      }
    }
  }

  @Test("N of 0 and 1 are answered", arguments: methods)
  func tiny(method: String) throws {
    // Pixels of no token are a tensor without elements that tells no N.
    for count in (method == "pixelprune" ? 1 : 0)...1 {
      var tensors = [
        ("attention", try Tensor.random([count], seed: 1)),
        ("image_features", try .random([count, 3], seed: 1)),
        ("text_features", try .random([3], seed: 2)), ("value_states", try .random([count + 5, 4], seed: 4)),
      ]
      if count > 0 { tensors.append(("pixel_values", try .random([count, 3], seed: 3))) }
      let parameters: JSONObject = [
        "keep_tokens": .integer(count), "method": .string(method), "localize": false,
        "method_parameters": method == "evs" ? ["frames": 1] : [:],
      ]
      let reply = try service.send("POST /prune", body: Body(tensors, parameters).safetensors())
      #expect(reply.integers("kept_indices") == Array(0..<count), "\(reply.text)")
    }
  }

  @Test("The same bytes come back from many threads at once")
  func threads() async throws {
    let body = Body(try tensors(), ["keep_tokens": 20, "explain": true, "seed": 3]).safetensors()
    let service = service
    let bodies = try await withThrowingTaskGroup(of: [UInt8].self) { group in
      for _ in 0..<16 { group.addTask { try service.send("POST /prune", body: body).body } }
      return try await group.reduce(into: Set<[UInt8]>()) { $0.insert($1) }
    }
    #expect(bodies.count == 1)
  }
}
