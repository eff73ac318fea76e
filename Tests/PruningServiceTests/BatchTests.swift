import JSON
import TensorFormats
import Tensors
import Testing

@testable import PruningService

@Suite struct BatchTests {
  private let service = TestService()

  private func prune(_ body: Body, _ target: String = "/prune") throws -> Reply {
    try service.send("POST \(target)", ["Accept: application/json"], body: body.safetensors())
  }

  @Test("A batch answers what its images answer one by one, regular, declared and ragged")
  func independence() throws {
    let rows = try [16, 16, 16].enumerated().map { try Tensor.random([$1], seed: UInt64($0)) }
    let stacked = Tensor.float32(rows.flatMap { $0.floats() })
    let parameters: JSONObject = ["keep_tokens": 3, "method": "topk"]
    let single = try rows.map {
      try prune(Body([("attention", $0)], parameters)).integers("kept_indices").map(list) ?? "-"
    }
    var declared = parameters
    declared["batched"] = true
    for body in [
      Body([("attention", try stacked(3, 16))], declared),
      Body([("attention", try stacked(3, 1, 1, 16))], parameters),
      Body(rows.enumerated().map { ("attention.\($0)", $1) }, parameters),
    ] {
      let reply = try prune(body)
      #expect(reply.json["kept_indices"]?.description == "[\(single.joined(separator: ","))]")
      #expect(reply.json["keep_tokens"] == [3, 3, 3] && reply.json["batched"] == true)
      #expect(reply.json["method"] == "topk")
    }
    // Undeclared, [3, 16] is three heads of one image.
    #expect(
      try prune(Body([("attention", try stacked(3, 16))], parameters)).integers("kept_indices")?.count == 3)
    let ragged = Body(
      [("attention.0", try .random([9], seed: 1)), ("attention.1", try .random([4], seed: 2))], parameters)
    let reply = try prune(ragged)
    #expect(reply.json["pruned_count"] == [6, 1])
    let json = try service.post(
      "/prune", "{\"attention\":[[4,3,2,1],[1,2]],\"keep_ratio\":0.5,\"method\":\"topk\"}")
    #expect(json.json["kept_indices"] == [[0, 1], [1]])
  }

  @Test("A batch of one is still a batch")
  func one() throws {
    let reply = try prune(
      Body([("attention.0", try .random([4], seed: 1))], ["keep_tokens": 4, "method": "topk"]))
    #expect(reply.json["kept_indices"] == [[0, 1, 2, 3]])
  }

  @Test("A text may be shared, or there is one per image; only ranks decide")
  func texts() throws {
    let images = try Tensor.random([2, 16, 3], seed: 1)
    let texts = try Tensor.random([2, 3], seed: 2)
    func regions(_ text: Tensor, batched: Bool? = nil) throws -> Reply {
      var parameters: JSONObject = ["localize": ["source": "similarity"]]
      if let batched { parameters["batched"] = .bool(batched) }
      return try prune(Body([("image_features", images), ("text_features", text)], parameters), "/localize")
    }
    func single(_ image: Int, _ text: Tensor) throws -> JSONValue? {
      try prune(Body([("image_features", images[image]), ("text_features", text)]), "/localize").json[
        "saliency"]
    }
    #expect(try regions(texts).summary == "422 invalid-input at text_features")
    let rows = try Tensor.random([3, 3], seed: 2)
    let shared = try regions(rows).json["saliency"]?.arrayValue
    #expect(try shared == [single(0, rows), single(1, rows)].compactMap { $0 })
    let own = try [single(0, texts[0]), single(1, texts[1])].compactMap { $0 }
    #expect(try regions(texts, batched: true).json["saliency"]?.arrayValue == own)
    #expect(try regions(try .of(texts.floats(), 2, 1, 3)).json["saliency"]?.arrayValue == own)
    #expect(try regions(texts[0], batched: true).json["saliency"]?.arrayValue?[0] == own[0])
    // Three rows of text cannot be one for each of two images.
    let three = try regions(try .random([3, 3], seed: 3), batched: true)
    #expect(three.summary == "422 invalid-input at text_features" && three.text.contains("[D]"))
  }

  @Test("Tensors that disagree about the batch are refused by name")
  func mismatches() throws {
    func summary(_ tensors: [(String, [Int])], _ parameters: JSONObject = [:]) throws -> String {
      var all = parameters
      all["keep_tokens"] = 1
      return try prune(Body(try tensors.map { ($0, try .random($1, seed: 1)) }, all)).summary
    }
    #expect(
      try summary([("image_features", [2, 4, 3]), ("attention", [3, 1, 1, 4])])
        == "422 invalid-input at image_features")
    #expect(
      try summary([("image_features", [2, 4, 3]), ("attention", [4])]) == "422 invalid-input at attention")
    #expect(
      try summary([("image_features", [2, 4, 3]), ("attention", [3, 4])]) == "422 invalid-input at attention")
    #expect(try summary([("image_features", [2, 4, 3]), ("attention", [2, 4])]) == "200")
    #expect(
      try summary([("image_features", [2, 4, 3]), ("attention", [2, 5])])
        == "422 invalid-input at image_features/0")
    #expect(
      try summary([("attention.0", [4]), ("attention.1", [1, 1, 1, 4])]) == "422 invalid-input at attention/1"
    )
    #expect(try summary([("attention.0", [4])], ["batched": false]) == "422 invalid-input at attention")
    #expect(
      try summary([("attention", [2, 1, 1, 4])], ["batched": false]) == "422 invalid-input at attention")
    #expect(try summary([("attention", [0, 1, 1, 4])]) == "422 invalid-input at attention")
    #expect(try summary([("attention", [5000, 1, 1, 1])]) == "422 invalid-input at attention")
    #expect(try summary([("attention", [4])], ["batched": true]) == "422 invalid-input at /batched")
    #expect(try summary([("attention.1", [4])]) == "422 invalid-input at /attention")
  }

  @Test("A few bytes of text for each of many images ask for no answers of a layout's size")
  func amplification() throws {
    let layout: JSONValue = ["type": "grid", "rows": 1024, "columns": 1024]
    let text = Body(
      [("text_features", try .random([100, 1, 1], seed: 1))],
      ["layout": layout, "method": "uniform", "keep_ratio": 1])
    #expect(try prune(text).summary == "422 invalid-input at /layout")
    let stages = (0..<64).map { JSONValue.object(["layer": .integer($0), "keep_ratio": 1]) }
    let schedule = Body([], ["layout": layout, "method": "uniform", "stages": .array(stages)])
    #expect(try prune(schedule).summary == "422 invalid-input at /stages")
  }

  @Test("Each image may have its own layout and region; errors point into the list")
  func lists() throws {
    let rows = [
      ("attention.0", try Tensor.random([6], seed: 1)), ("attention.1", try Tensor.random([16], seed: 2)),
    ]
    func reply(_ parameters: JSONObject) throws -> Reply {
      var all = parameters
      all["keep_tokens"] = 2
      return try prune(Body(rows, all))
    }
    let layout: JSONValue = [["type": "grid", "rows": 2, "columns": 3], nil]
    let left: JSONValue = ["blocks": [0, 0, 3, 7]]
    let whole = try reply(["layout": layout, "region": [left, [left, ["blocks": [4, 0, 7, 3]]]]])
    #expect(whole.json["region"]?.arrayValue?.count == 2, "\(whole.text)")
    let mixed = try reply(["layout": layout, "region": [left, nil], "localize": ["objective": "contrast"]])
    #expect(
      mixed.json["region"]?.arrayValue?.compactMap { $0.objectValue?["source"] } == ["boxes", "attention"])
    #expect(try reply(["layout": layout, "region": [left]]).summary == "422 invalid-input at /region")
    #expect(
      try reply(["layout": layout, "region": [left, ["blocks": [9, 9, 9, 9]]]]).summary
        == "422 invalid-input at /region/1/blocks")
    #expect(
      try reply(["layout": layout, "region": [left, [left, ["box": [1]]]]]).summary
        == "422 invalid-input at /region/1/1/box")
    #expect(
      try reply(["layout": [nil, ["type": "grid", "rows": 4, "columns": 4]]]).summary
        == "422 invalid-input at /layout/0")
    #expect(
      try reply(["layout": [["type": "grid", "rows": 2, "columns": 3], ["type": "grid", "rows": 4]]]).summary
        == "422 invalid-input at /layout/1/columns")
    #expect(try reply(["method": "divprune"]).summary == "422 invalid-input at image_features/0")
  }

  @Test(
    "Features of several images are one list in JSON, numbered tensors in safetensors, and read back the same"
  )
  func features() throws {
    let body = Body(
      [
        ("image_features.0", try .random([9, 4], seed: 1)),
        ("image_features.1", try .random([5, 4], seed: 2)),
      ],
      ["keep_ratio": 0.5])
    let json = try prune(body, "/compress")
    #expect(json.json["features"]?.arrayValue?.count == 2 && json.json["features.0"] == nil)
    #expect(json.json["sizes"]?.arrayValue?.count == 2)
    let binary = try service.send("POST /compress", body: body.safetensors())
    let decoded = try SafetensorsFormat.decode(binary.body[...], DecodingHints()).tensors
    guard case .many(let list)? = decoded["features"] else {
      Issue.record("no list of features")
      return
    }
    #expect(list.map(\.shape.dimensions) == [[4, 4], [2, 4]])
    // The list as it stands in the JSON answer, sent as the next request's features.
    let again = "{\"image_features\":\(json.json["features"]?.description ?? ""),\"keep_ratio\":1}"
    let second = try service.post("/compress", again)
    #expect(second.json["features"] == json.json["features"])
    let asTensors = try JSONTensorFormat.decode(
      Array(again.utf8)[...], DecodingHints(parameterNames: ["keep_ratio"]))
    #expect(asTensors.tensors["image_features"] == decoded["features"])
  }

  @Test("npy cannot answer for several images, so it is not chosen")
  func npy() throws {
    let body = try Body([("image_features", .random([2, 4, 3], seed: 1))]).npy()
    let plain = try service.send("POST /compress?keep_tokens=1", body: body)
    #expect(plain.status == 200 && plain.field("Content-Type") == "application/json")
    let asked = try service.send("POST /compress?keep_tokens=1", ["Accept: application/x-npy"], body: body)
    #expect(asked.field("Content-Type") == "application/json")
  }
}

extension Tensor {
  /// Numbers that are given a shape later.
  fileprivate static func float32(_ values: [Float]) -> (Int...) throws -> Tensor {
    { (shape: Int...) in try .float32(values, shape: Shape(shape)) }
  }
}
