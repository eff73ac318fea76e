import JSON
import TensorFormats
import Tensors
import Testing
import TokenPruning

@testable import PruningService

@Suite struct LocalizeTests {
  private let service = TestService()

  @Test("Each source of scores is used when it is named, and the cheapest one present when none is")
  func sources() throws {
    let row = attentionRow(side: 8, bright: 2..<5, 1..<4)
    let bright: [Float] = row.map { $0 > 4 ? 1 : 0 }
    let features = bright.flatMap { [$0, 1 - $0] }
    let tensors: [(name: String, tensor: Tensor)] = [
      ("attention", try .of(row, 64)), ("reference_attention", try .of([Float](repeating: 1, count: 64), 64)),
      ("image_features", try .of(features, 64, 2)), ("text_features", try .of([1, 0], 2)),
      ("query", try .of([4, 0], 2)), ("key", try .of(features, 64, 2)),
    ]
    for source in ["relative_attention", "attention", "similarity", "query_key"] {
      let reply = try service.send(
        "POST /localize", body: Body(tensors, ["localize": ["source": .string(source)]]).safetensors())
      #expect(reply.json["source"] == .string(source), "\(reply.text)")
      let region = reply.json["regions"]?.arrayValue?.first?.objectValue
      #expect(region?["blocks"] == [2, 1, 4, 3], "\(source)")
      #expect(region?["area"]?.doubleValue == 9.0 / 64)
      #expect(reply.integers("region_indices") == (1...3).flatMap { row in (2...4).map { row * 8 + $0 } })
      let saliency = reply.json["saliency"]?.objectValue
      #expect(saliency?["shape"] == [8, 8] && saliency?["data"]?.arrayValue?.count == 64)
      #expect(reply.json["whole_image"] == false && reply.json["reason"] == nil)
    }
    let plain = try service.send("POST /localize", body: Body(tensors).safetensors())
    #expect(plain.json["source"] == "relative_attention")
    let last = try service.send("POST /localize", body: Body(Array(tensors.suffix(2))).safetensors())
    #expect(last.json["source"] == "query_key")
  }

  @Test("A given region needs no tensors but a layout, and is answered with its tokens")
  func given() throws {
    let layout = "\"layout\":{\"type\":\"grid\",\"rows\":16,\"columns\":16}"
    for region in [
      "{\"blocks\":[2,1,5,4]}", "{\"text\":\"[2,1,5,4]\"}", "{\"box\":[0.25,0.125,0.75,0.625]}",
      "[{\"blocks\":[2,1,5,2]},{\"blocks\":[2,3,5,4]}]",
    ] {
      let reply = try service.post("/localize", "{\(layout),\"region\":\(region)}")
      let tokens = (2..<10).flatMap { row in (4..<12).map { row * 16 + $0 } }
      #expect(reply.integers("region_indices") == tokens, "\(reply.text)")
      #expect(reply.json["saliency"] == nil)
    }
    #expect(
      try service.post("/localize", "{\"region\":{\"blocks\":[0,0,1,1]}}").summary
        == "422 invalid-input at /layout")
  }

  @Test("A flat map is the whole image with a reason, never a made-up box")
  func flat() throws {
    let reply = try service.post("/localize", "{\"attention\":[2,2,2,2]}")
    #expect(reply.json["whole_image"] == true && reply.json["reason"]?.stringValue?.isEmpty == false)
    #expect(reply.integers("region_indices") == [0, 1, 2, 3])
  }
}

@Suite struct CompressTests {
  private let service = TestService()

  private func compress(_ parameters: JSONObject, type: ElementType = .float32) throws -> Reply {
    let features = try Tensor.random([64, 6], seed: 1)
    let body = Body(
      [
        ("image_features", try .floatingPoint(features.floats(), shape: features.shape, as: type)),
        ("attention", try .random([64], seed: 2)),
      ], parameters)
    return try service.send("POST /compress", ["Accept: application/json"], body: body.safetensors())
  }

  @Test(
    "The number of rows is exact and every token is in one of its own side, for every strategy",
    arguments: AnchorStrategy.allCases.map(\.rawValue), [1, 2, 7, 33, 63, 64])
  func exact(anchors: String, count: Int) throws {
    for region in [nil, ["blocks": [2, 1, 4, 3]]] as [JSONValue?] {
      guard count > 1 || region == nil else { continue }
      var parameters: JSONObject = ["keep_tokens": .integer(count), "anchors": .string(anchors)]
      parameters["region"] = region
      let reply = try compress(parameters)
      let kept = try #require(reply.integers("kept_indices"), "\(reply.text)")
      let assignments = try #require(reply.integers("assignments"))
      let sizes = try #require(reply.integers("sizes"))
      #expect(kept.count == count && kept == Set(kept).sorted())
      #expect(sizes.reduce(0, +) == 64 && sizes.allSatisfy { $0 > 0 } && assignments.count == 64)
      for (row, anchor) in kept.enumerated() { #expect(assignments[anchor] == row) }
      let features = reply.json["features"]?.objectValue
      #expect(features?["shape"] == [.integer(count), 6] && features?["dtype"] == "F32")
      #expect(reply.json["anchors"] == .string(anchors) && reply.json["mode"] == "merge")
      #expect(reply.json["positions"]?.arrayValue?.count == count)
      guard region != nil else { continue }
      let inside = Set((1...3).flatMap { row in (2...4).map { row * 8 + $0 } })
      for (token, row) in assignments.enumerated() {
        #expect(inside.contains(token) == inside.contains(kept[row]))
      }
      #expect(reply.json["region_rows"] == .integer(kept.filter(inside.contains).count))
    }
  }

  @Test(
    "Every method compresses: a row for each kept token, and rows for the others behind them",
    arguments: MethodRegistry.standard.descriptors.map(\.name).filter { $0 != "crop" })
  func methods(name: String) throws {
    let features = try Tensor.random([64, 6], seed: 1)
    let tensors = [
      ("image_features", features),
      ("attention", try .of(attentionRow(side: 8, bright: 2..<5, 1..<4), 64)),
      ("text_features", try .random([6], seed: 3)), ("pixel_values", try .random([64, 6], seed: 4)),
      ("value_states", try .random([69, 6], seed: 5)),
    ]
    var parameters: JSONObject = ["keep_tokens": 20, "method": .string(name)]
    if name == "evs" { parameters["method_parameters"] = ["frames": 1] }
    let request = Body(tensors, parameters)
    let reply = try service.send("POST /compress", ["Accept: application/json"], body: request.safetensors())
    let kept = try #require(reply.integers("kept_indices"), "\(reply.text)")
    let sizes = try #require(reply.integers("sizes"))
    let assignments = try #require(reply.integers("assignments"))
    #expect(kept.count == 20 && Set(kept).count == 20 && reply.json["keep_tokens"] == 20)
    for (row, token) in kept.enumerated() { #expect(assignments[token] == row) }
    #expect(assignments.allSatisfy { (-1..<sizes.count).contains($0) })
    #expect(reply.json["features"]?.objectValue?["shape"] == [.integer(sizes.count), 6])
    #expect(reply.json["method"] == .string(name) && reply.json["anchors"] == nil)
    let pruned = try service.send("POST /prune", body: request.safetensors())
    #expect(pruned.integers("kept_indices") == kept.sorted())
  }

  @Test(
    "What belongs to another way of merging is refused at its member",
    arguments: [
      ("/anchors", ["anchors": "diversity"]), ("/region", ["region": ["blocks": [0, 0, 1, 1]]]),
      ("/region_share", ["region_share": 0.5]),
    ] as [(String, JSONObject)])
  func foreign(pointer: String, parameters: JSONObject) throws {
    var all = parameters
    all["method"] = "tome"
    all["keep_tokens"] = 4
    #expect(try compress(all).summary == "422 invalid-input at \(pointer)")
    let ownParameters = try compress(["keep_tokens": 4, "method_parameters": ["steps": 2]])
    #expect(ownParameters.summary == "422 invalid-input at /method_parameters")
  }

  @Test("The two ratios decide the total, or divide a given one")
  func ratios() throws {
    let region: JSONValue = ["blocks": [0, 0, 3, 3]]
    let free = try compress(["region": region, "region_ratio": 0.5, "background_ratio": 0.125])
    #expect(free.json["keep_tokens"] == 14 && free.json["region_rows"] == 8)
    let scaled = try compress(
      ["region": region, "region_ratio": 0.5, "background_ratio": 0.125, "keep_tokens": 28])
    #expect(scaled.json["keep_tokens"] == 28 && scaled.json["region_rows"] == 16)
  }

  @Test(
    "Features come back in their own type, or the one asked for", arguments: ["F64", "F32", "F16", "BF16"])
  func types(name: String) throws {
    let type = try #require(ElementType(rawValue: name))
    let own = try compress(["keep_tokens": 4], type: type)
    #expect(own.json["features"]?.objectValue?["dtype"] == .string(name))
    let asked = try compress(["keep_tokens": 4, "dtype": .string(name)])
    #expect(asked.json["features"]?.objectValue?["dtype"] == .string(name))
  }

  @Test("A type that cannot hold the features is refused in every format")
  func overflow() throws {
    let body = Body([("image_features", try .of([1e6, 1, 1, 1], 2, 2))], ["keep_tokens": 2, "dtype": "F16"])
    #expect(
      try service.send("POST /compress", body: body.safetensors()).summary == "422 invalid-input at /dtype")
    #expect(try service.send("POST /compress", body: body.json()).summary == "422 invalid-input at /dtype")
  }

  @Test("Integer features are averaged as floats, and no tokens make no rows")
  func odd() throws {
    let integers = try service.post(
      "/compress", "{\"image_features\":{\"dtype\":\"I64\",\"shape\":[2,1],\"data\":[1,2]},\"keep_tokens\":1}"
    )
    #expect(integers.json["features"]?.objectValue?["data"] == [1.5])
    let none = Body([("image_features", try .random([0, 3], seed: 1))], ["keep_tokens": 0])
    let reply = try service.send("POST /compress", body: none.safetensors())
    #expect(reply.status == 200, "\(reply.text)")
  }
}
