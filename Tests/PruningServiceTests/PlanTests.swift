import JSON
import Tensors
import Testing

@testable import PruningService

@Suite("POST /plan") struct PlanTests {
  private let service = TestService()

  @Test("A plan counts what pruning then keeps")
  func agrees() throws {
    let parameters: JSONObject = [
      "layout": ["type": "llava_next", "image_size": [60, 30], "tile_size": 28], "method": "topk",
      "keep_ratio": 0.5, "newline_policy": "keep",
    ]
    let plan = try service.post("/plan", JSONValue.object(parameters).description)
    let count = try #require(plan.json["tokens"]?.integerValue)
    var body = parameters
    body["attention"] = .array((0..<count).map { .integer($0) })
    let reply = try service.post("/prune", JSONValue.object(body).description)
    #expect(plan.status == 200 && reply.status == 200)
    for name in ["keep_tokens", "keep_ratio", "prune_ratio", "newline_tokens", "average_tokens"] {
      #expect(plan.json[name] != nil && plan.json[name] == reply.json[name], "\(name)")
    }
  }

  @Test(
    "What pruning rejects is rejected, also where counts do not depend on it",
    arguments: [
      ("seed", "-1", "/seed"), ("seed", "\"a\"", "/seed"), ("batched", "1", "/batched"),
      ("renumber", "2", "/renumber"),
      ("axes", "[]", "/axes"), ("axes", #"{"attention": 5}"#, "/axes/attention"),
      ("localize", "7", "/localize"),
      ("localize", #"{"maximum": 1}"#, "/localize/maximum"), ("tensor_dtype", "\"F1\"", "/tensor_dtype"),
      ("bookkeeping", "3", "/bookkeeping"), ("bookkeeping", #"{"text": []}"#, "/bookkeeping/text"),
      ("bookkeeping", #"{"text_tokens": [-1, 0]}"#, "/bookkeeping/text_tokens"),
      ("previous", "[]", "/previous"),
      ("previous", #"{"kept_indices": [2, 1]}"#, "/previous/kept_indices/1"),
      ("previous", #"{"kept_indices": [4]}"#, "/previous/kept_indices"), ("explain", "1", "/explain"),
      ("previous", #"{"kept_indices": [0], "tokens": 5}"#, "/previous/kept_indices"),
      ("previous", #"{"kept_indices": []}"#, "/keep_tokens"),
    ])
  func rejected(name: String, value: String, pointer: String) throws {
    let grid = #""layout": {"type": "grid", "rows": 2, "columns": 2}, "method": "topk", "keep_tokens": 1"#
    let plan = try service.post("/plan", "{\(grid), \"\(name)\": \(value)}")
    #expect(plan.status == 422 && plan.json["pointer"]?.stringValue == pointer, "\(plan.json)")
    let prune = try service.post(
      "/prune", "{\(grid), \"attention\": [1, 2, 3, 4], \"\(name)\": \(value)}")
    #expect(prune.status == 422 && prune.json["pointer"] == plan.json["pointer"], "\(prune.json)")
    #expect(try service.post("/plan", "{\(grid), \"\(name)\": null}").status == 200)
  }

  @Test("A region leaves nothing to localize, planned and carried out")
  func regionAndLocalize() throws {
    let body =
      #""layout": {"type": "grid", "rows": 2, "columns": 2}, "method": "topk", "keep_tokens": 1, "localize": true, "#
      + #""region": {"blocks": [0, 0, 3, 3]}"#
    let plan = try service.post("/plan", "{\(body)}")
    let prune = try service.post("/prune", "{\(body), \"attention\": [1, 2, 3, 4]}")
    #expect(prune.status == 422 && prune.json["pointer"] == "/localize")
    #expect(plan.status == 422 && plan.json["pointer"] == "/localize", "\(plan.json)")
  }

  /// A random but reproducible request about tokens of which some are gone, without tensors; and how many tokens each image has.
  private func laterStage(_ seed: UInt64) -> (parameters: JSONObject, counts: [Int]) {
    var numbers = SeededNumbers(seed: seed)
    func below(_ bound: Int) -> Int { Int(numbers.next() % UInt64(bound)) }
    func pick<T>(_ values: [T]) -> T { values[below(values.count)] }
    let known: [(layout: JSONValue, tokens: Int, images: Int)] = [
      (["type": "grid", "rows": 4, "columns": 4], 16, 1),
      (["type": "internvl", "tiles": [2, 1], "tokens_per_side": 2], 12, 1),
      (["type": "llava_next", "image_size": [60, 30], "tile_size": 28], 14, 1),
      (["type": "qwen2_5_vl", "grid_thw": [[1, 4, 8], [1, 4, 4]]], 12, 2),
      (["type": "video", "frames": 3, "rows": 2, "columns": 2], 12, 1),
    ]
    let isBatch = below(2) == 0
    let chosen = (0..<(isBatch ? 1 + below(3) : 1)).map { _ in pick(known) }
    func list(_ values: [JSONValue]) -> JSONValue { isBatch ? .array(values) : values[0] }
    var parameters: JSONObject = ["layout": list(chosen.map(\.layout))]
    parameters["previous"] = list(
      chosen.map { one in
        let share = 30 + below(70)
        let left = (0..<one.tokens).filter { _ in below(100) < share }
        return ["kept_indices": .list(left), "tokens": .integer(one.tokens)]
      })
    if below(2) == 0 {
      let corner = below(5)
      let blocks: [JSONValue] = [0, .integer(corner), .integer(corner), .integer(corner + below(3))]
      parameters["region"] = list(
        chosen.map { one in
          one.images > 1
            ? ["blocks": .array(blocks), "image": .integer(below(2))] : ["blocks": .array(blocks)]
        })
    }
    parameters["method"] = .string(pick(["topk", "uniform", "divprune", "crop"]))
    parameters["budget_scope"] = .string(pick(["image", "tile", "request"]))
    parameters["newline_policy"] = .string(pick(["keep", "count", "drop"]))
    parameters["region_policy"] = pick([.null, "only", "first", "none"])
    switch below(4) {
    case 0: parameters["keep_ratio"] = .number(Double(1 + below(60)) / 100)
    case 1:
      parameters["stages"] = [
        ["layer": 2, "keep_ratio": 0.3], ["layer": 5, "keep_tokens": .integer(below(4))],
      ]
    default: parameters["keep_tokens"] = .integer(below(9))
    }
    return (parameters, chosen.map(\.tokens))
  }

  @Test(
    "Of tokens of which some are gone, a plan counts what pruning then keeps",
    arguments: 0..<400 as Range<UInt64>)
  func laterStages(_ seed: UInt64) throws {
    let (parameters, counts) = laterStage(seed)
    let plan = try service.post("/plan", JSONValue.object(parameters).description)
    let isBatch = parameters["layout"]?.arrayValue != nil
    var body = parameters
    for (name, width) in [("attention", 1), ("image_features", 4)] {
      let tensors = try counts.enumerated().map { image, count -> JSONValue in
        let values = try Tensor.random([count, width], seed: seed &+ UInt64(image + width)).floats()
        return .array(
          (0..<count).map { row in
            width == 1
              ? .number(Double(abs(values[row])))
              : .array((0..<width).map { .number(Double(values[row * width + $0])) })
          })
      }
      body[name] = isBatch ? .array(tensors) : tensors[0]
    }
    let reply = try service.post("/prune", JSONValue.object(body).description)
    #expect(plan.status == reply.status, "\(plan.text) \(reply.text)")
    guard plan.status == 200, reply.status == 200 else {
      #expect(plan.json["pointer"] == reply.json["pointer"], "\(plan.text) \(reply.text)")
      return
    }
    let lists = reply.json["kept_indices"]?.arrayValue ?? []
    let kept = isBatch ? lists.map { $0.arrayValue?.count ?? -1 } : [lists.count]
    #expect(plan.json["keep_tokens"]?.integerValue == kept.reduce(0, +), "\(parameters) \(reply.text)")
    for (index, part) in (plan.json["layouts"]?.arrayValue ?? []).enumerated() {
      guard let count = part.objectValue?["keep_tokens"]?.integerValue else { continue }
      #expect(count == kept[index], "\(parameters)")
    }
    guard !isBatch else { return }
    #expect(plan.json["average_tokens"] == reply.json["average_tokens"])
    let newlines = plan.json["newline_tokens"] ?? .null
    #expect(newlines == .null || newlines == reply.json["newline_tokens"], "\(parameters)")
    let stages = [plan, reply].map { answer in
      answer.json["stages"]?.arrayValue?.map { $0.objectValue?["keep_tokens"] }
    }
    #expect(stages[0] == stages[1])
  }

  @Test("A budget for all images of a batch, planned and carried out")
  func together() throws {
    let budget = "\"budget_scope\":\"request\",\"keep_tokens\":3"
    let reply = try service.post(
      "/prune", "{\"attention\":[[4,3,2,1],[1,9]],\"method\":\"topk\",\(budget)}")
    #expect(reply.json["kept_indices"] == [[0, 1], [1]])
    #expect(reply.json["keep_tokens"] == [2, 1] && reply.json["decided_by"] == ["topk", "topk"])
    let layouts = "[{\"type\":\"raw\",\"tokens\":4},{\"type\":\"raw\",\"tokens\":2}]"
    let plan = try service.post("/plan", "{\"layout\":\(layouts),\"method\":\"topk\",\(budget)}")
    #expect(plan.json["keep_tokens"] == 3 && plan.json["tokens"] == 6)
    let parts = try #require(plan.json["layouts"]?.arrayValue)
    #expect(parts.map { $0.objectValue?["keep_tokens"] } == [.null, .null])
    let refused = try service.post(
      "/prune",
      "{\"attention\":[[4,3,2,1],[1,9]],\"method\":\"topk\",\"budget_scope\":\"request\","
        + "\"keep_tokens\":7}")
    #expect(refused.status == 422 && refused.json["pointer"] == "/keep_tokens")
    let wrong = try service.post(
      "/prune", "{\"attention\":[[4,3,2,1],[1,9]],\"method\":\"divprune\",\(budget)}")
    #expect(wrong.status == 422 && wrong.json["pointer"] == "image_features/0")
  }

  @Test("The regions of a batch are each image's own, under 'only' they bound the count")
  func regions() throws {
    let layouts =
      "[{\"type\":\"grid\",\"rows\":8,\"columns\":8},{\"type\":\"grid\",\"rows\":8,\"columns\":8}]"
    let reply = try service.post(
      "/plan",
      "{\"layout\":\(layouts),\"region\":[{\"blocks\":[0,0,1,1]},null],\"region_policy\":\"only\","
        + "\"keep_tokens\":10,\"method\":\"topk\"}")
    #expect(reply.json["keep_tokens"] == 14)
    let parts = try #require(reply.json["layouts"]?.arrayValue)
    #expect(parts.map { $0.objectValue?["keep_tokens"] } == [4, 10])
  }

  @Test(
    "What is wrong is refused where it is",
    arguments: [
      ("{\"keep_tokens\":3}", "/layout"),
      ("{\"layout\":{\"type\":\"raw\",\"tokens\":4}}", "/keep_tokens"),
      ("{\"layout\":{\"type\":\"raw\",\"tokens\":4},\"keep_tokens\":5}", "/keep_tokens"),
      ("{\"layout\":[],\"keep_tokens\":5}", "/layout"),
      ("{\"layout\":[null],\"keep_tokens\":5}", "/layout/0"),
      ("{\"layout\":[{\"type\":\"raw\",\"tokens\":4}],\"keep_tokens\":5}", "/keep_tokens"),
      ("{\"layout\":{\"type\":\"raw\",\"tokens\":4},\"keep_tokens\":1,\"keep_token\":1}", "/keep_token"),
      ("{\"layout\":{\"type\":\"raw\",\"tokens\":4},\"keep_tokens\":1,\"attention\":[1]}", "/attention"),
      (
        "{\"layout\":{\"type\":\"raw\",\"tokens\":4},\"keep_tokens\":1,\"budget_scope\":\"tile\"}",
        "/budget_scope"
      ),
      (
        "{\"layout\":{\"type\":\"raw\",\"tokens\":4},\"keep_tokens\":1,\"region\":{\"blocks\":[0,0,1,1]}}",
        "/layout"
      ),
      (
        "{\"layout\":{\"type\":\"grid\",\"rows\":4,\"columns\":4},\"keep_tokens\":1,"
          + "\"region_policy\":\"only\"}", "/region"
      ),
      (
        "{\"layout\":[{\"type\":\"raw\",\"tokens\":1000000},{\"type\":\"raw\",\"tokens\":1000000}],"
          + "\"keep_tokens\":1}", "/layout/1"
      ),
    ])
  func refuses(_ body: String, _ pointer: String) throws {
    let reply = try service.post("/plan", body)
    #expect(reply.status == 422)
    #expect(reply.json["pointer"] == .string(pointer), "\(reply.text)")
  }

  @Test("A plan is JSON, and parameters may stand in the query string")
  func forms() throws {
    let layout = "{\"layout\":{\"type\":\"raw\",\"tokens\":4}}"
    #expect(try service.post("/plan?keep_ratio=0.5", layout).json["keep_tokens"] == 2)
    #expect(try service.post("/plan", "[1]").status == 400)
    #expect(try service.post("/plan", "{").status == 400)
    let tensor = Body([("attention", try .random([4], seed: 1))])
    #expect(try service.send("POST /plan", body: tensor.npy()).status == 415)
  }

  @Test("Qwen's position ids come unasked, newlines are counted, and explanations stand beside the scores")
  func answers() throws {
    let reply = try service.post(
      "/prune",
      "{\"layout\":{\"type\":\"qwen2_vl\",\"grid_thw\":[1,4,4]},\"attention\":[1,2,3,4],\"method\":\"topk\","
        + "\"keep_tokens\":2,\"explain\":true}")
    #expect(reply.json["position_ids"] == [[0, 0], [1, 1], [0, 1]])
    #expect(reply.json["mrope_position_delta"] == 0 && reply.json["next_position"] == 2)
    #expect(reply.json["grid_width"] == 2 && reply.json["newline_tokens"] == nil)
    #expect(
      reply.json["explanation"] == [
        "rules": ["dropped: below the cut", "kept: by score"], "rule": [0, 0, 1, 1], "rank": [4, 3, 2, 1],
      ])
  }
}
