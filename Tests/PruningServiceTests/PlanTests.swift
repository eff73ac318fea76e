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
