import JSON
import TensorFormats
import Tensors
import Testing

@testable import PruningService

@Suite("How tensors are read: declared, refused, or said")
struct InterpretationTests {
  private let service = TestService()

  private func send(
    _ tensors: [(String, [Int])], _ parameters: JSONObject = [:], _ route: String = "/prune"
  ) throws -> Reply {
    var all: JSONObject = route == "/localize" ? [:] : ["keep_tokens": 2, "method": "topk"]
    for member in parameters.members { all[member.name] = member.value }
    let bodies = try tensors.enumerated().map { index, tensor in
      (tensor.0, try Tensor.random(tensor.1, seed: UInt64(index + 1)))
    }
    return try service.send(
      "POST \(route)", ["Accept: application/json"], body: Body(bodies, all).safetensors())
  }

  private func kept(_ tensor: Tensor, _ parameters: JSONObject, named name: String = "attention") throws
    -> JSONValue?
  {
    let body = Body([(name, tensor)], parameters)
    return try service.send("POST /prune", ["Accept: application/json"], body: body.safetensors()).json[
      "kept_indices"]
  }

  @Test("every answer says how many images, tokens, heads and queries were read")
  func read() throws {
    func grid(_ side: Int) -> JSONValue {
      ["type": "grid", "rows": .integer(side), "columns": .integer(side)]
    }
    let expected: [(JSONValue, [(String, [Int])], JSONObject)] = [
      (["images": 1, "tokens": 9, "heads": 1, "queries": 1, "layout": grid(3)], [("attention", [9])], [:]),
      (
        ["images": 1, "tokens": 9, "heads": 12, "queries": 1, "layout": grid(3)], [("attention", [12, 9])],
        [:]
      ),
      (
        ["images": 1, "tokens": 9, "heads": 12, "queries": 5, "layout": grid(3)],
        [("attention", [12, 5, 9])], ["batched": false]
      ),
      (
        ["images": 2, "tokens": 9, "heads": 12, "queries": 1, "layout": grid(3)],
        [("attention", [2, 12, 9])], ["batched": true]
      ),
      (
        ["images": 2, "tokens": [9, 4], "heads": 1, "queries": 1, "layout": [grid(3), grid(2)]],
        [("attention.0", [9]), ("attention.1", [4])], [:]
      ),
      (
        ["images": 2, "tokens": [4, 3], "heads": 1, "queries": 1, "layout": [grid(2), nil]],
        [("attention.0", [4]), ("attention.1", [3])], [:]
      ),
      (["images": 1, "tokens": 3, "heads": 1, "queries": 1], [("attention", [3])], [:]),
      (
        ["images": 1, "tokens": 4, "heads": 1, "queries": 1], [("attention", [4])],
        ["layout": ["type": "grid", "rows": 1, "columns": 4]]
      ),
      (["images": 1, "tokens": 9, "layout": grid(3)], [("image_features", [9, 4])], ["method": "divprune"]),
    ]
    for (read, tensors, parameters) in expected {
      let reply = try send(tensors, parameters)
      #expect(reply.json["read"] == read, "\(reply.text)")
      #expect(reply.json["warnings"] == nil)
    }
    let localized = try send([("attention", [16])], [:], "/localize")
    #expect(
      localized.json["read"] == ["images": 1, "tokens": 16, "heads": 1, "queries": 1, "layout": grid(4)])
    let compressed = try send([("image_features", [16, 3])], ["method": nil], "/compress")
    #expect(compressed.json["read"] == ["images": 1, "tokens": 16, "layout": grid(4)], "\(compressed.text)")
  }

  @Test(
    "a shape that two readings fit is refused, with the words that declare each",
    arguments: [
      ([("attention", [1, 12, 9])], "attention", "\"bhn\""),
      ([("attention", [2, 12, 9])], "attention", "\"batched\""),
      ([("attention", [9]), ("reference_attention", [2, 3, 9])], "", ""),
      ([("key", [2, 9, 4])], "key", "\"bnd\""),
      ([("attention", [24, 24])], "attention", "\"qn\""),
      ([("image_features", [9, 4]), ("attention", [1, 12, 9])], "attention", "\"1hn\""),
      ([("image_features", [24, 24, 16])], "image_features", "feature map"),
      ([("image_features", [16, 7, 7])], "image_features", "feature map"),
      ([("image_features", [2, 9, 4]), ("text_features", [2, 4])], "text_features", "\"md\""),
      ([("attention", [12, 9]), ("position_ids", [3, 3, 9])], "position_ids", "\"cbn\""),
      ([("attention", [12, 9]), ("position_ids", [5, 2, 9])], "position_ids", "[3, images, N]"),
      ([("query", [4, 1, 8]), ("key", [4, 9, 8])], "query", "\"batched\""),
    ] as [([(String, [Int])], String, String)])
  func ambiguous(tensors: [(String, [Int])], pointer: String, word: String) throws {
    let reply = try send(tensors)
    if pointer.isEmpty {
      #expect(reply.summary == "200", "\(reply.text)")
    } else {
      #expect(reply.summary == "422 invalid-input at \(pointer)", "\(reply.text)")
      #expect(reply.json["detail"]?.stringValue?.contains(word) == true, "\(reply.text)")
    }
  }

  @Test("declared axes give what the same numbers give in their own order")
  func declaredAxes() throws {
    let parameters: JSONObject = ["keep_tokens": 4, "method": "fastv"]
    func with(_ axes: JSONObject, _ more: JSONObject = [:]) -> JSONObject {
      var all = parameters
      all["axes"] = .object(axes)
      for member in more.members { all[member.name] = member.value }
      return all
    }
    let plain = try Tensor.random([3, 5, 16], seed: 1)
    var single = parameters
    single["batched"] = false
    let expected = try kept(plain, single)
    #expect(expected != nil)
    #expect(try kept(plain, with(["attention": "hqn"])) == expected)
    #expect(try kept(plain, with(["attention": "HQK"])) == expected)
    let values = plain.floats()
    func moved(_ shape: [Int], _ source: (Int, Int, Int) -> Int) throws -> Tensor {
      var result: [Float] = []
      for a in 0..<shape[0] {
        for b in 0..<shape[1] { for c in 0..<shape[2] { result.append(values[source(a, b, c)]) } }
      }
      return try .float32(result, shape: Shape(shape))
    }
    #expect(
      try kept(moved([16, 3, 5]) { n, h, q in (h * 5 + q) * 16 + n }, with(["attention": "nhq"])) == expected)
    #expect(
      try kept(moved([5, 3, 16]) { q, h, n in (h * 5 + q) * 16 + n }, with(["attention": "qhn"])) == expected)
    let asBatch = try Tensor.float32(values, shape: Shape([1, 3, 5, 16]))
    #expect(try kept(asBatch, with(["attention": "1hqn"])) == expected)
    #expect(try kept(asBatch, with(["attention": "bhqk"])) == expected.map { [$0] })
    let images = try kept(plain, with(["attention": "bhn"]))?.arrayValue
    #expect(try images == (0..<3).map { try #require(try kept(plain[$0], parameters)) })
    let rows = try kept(plain[0], with(["attention": "qn"]))
    #expect(try rows == kept(plain[0][4], parameters))
  }

  @Test("heads of queries, keys and values are not told from images or rows by their number")
  func headsOfStates() throws {
    let grid: JSONObject = ["layout": ["type": "grid", "rows": 4, "columns": 4]]
    let query: [(String, [Int])] = [("key", [4, 16, 8]), ("query", [4, 8])]
    let features: [(String, [Int])] = [("image_features", [16, 8]), ("text_features", [5, 8])]
    for (method, tensors, declared, pointer, word):
      (
        String, [(String, [Int])], JSONObject, String, String
      ) in [
        ("ivcprune", [("value_states", [2, 21, 4])], [:], "", ""),
        ("ivcprune", [("value_states", [20, 21, 4])], ["batched": false], "", ""),
        ("ivcprune", [("value_states", [21, 20, 4])], ["batched": false], "value_states", "\"shd\""),
        ("ivcprune", [("value_states", [2, 21, 21, 4])], [:], "value_states", "\"bshd\""),
        ("crop", query, [:], "", ""),
        ("crop", [("key", [4, 16, 8]), ("query", [8, 8])], [:], "", ""),
        ("crop", [("key", [16, 16, 8]), ("query", [16, 8])], ["batched": false], "key", "\"nhd\""),
        ("crop", [("key", [2, 16, 16, 8]), ("query", [2, 16, 8])], [:], "key", "\"bnhd\""),
        ("crop", [("key", [3, 16, 8]), ("query", [3, 8]), ("image_features", [16, 8])], [:], "", ""),
        ("dart", features + [("key", [2, 16, 8]), ("text_key", [2, 5, 8])], [:], "", ""),
        (
          "dart", [features[0], ("text_features", [8, 8]), ("key", [2, 16, 8]), ("text_key", [8, 8, 8])],
          [:], "text_key", "\"mhd\""
        ),
        ("topk", [("attention.0", [16, 16]), ("attention.1", [16, 16])], [:], "attention", "\"qn\""),
        ("topk", [("attention", [2, 16, 16])], ["batched": true], "attention", "\"bqn\""),
      ]
    {
      var parameters = grid
      parameters["method"] = .string(method)
      parameters.append(declared)
      let reply = try send(tensors, parameters)
      #expect(reply.summary == (pointer.isEmpty ? "200" : "422 invalid-input at \(pointer)"), "\(reply.text)")
      // What is read in one of two ways says so.
      let isQuiet = pointer.isEmpty && (!declared.isEmpty || method == "dart" || tensors.count == 3)
      #expect(reply.status != 200 || isQuiet || reply.text.contains("heads of one image"), "\(reply.text)")
      #expect(pointer.isEmpty || reply.text.contains(word.replacing("\"", with: "\\\"")), "\(reply.text)")
    }
    for (method, tensors, declared, read): (String, [(String, [Int])], JSONObject, JSONValue) in [
      (
        "ivcprune", [("value_states", [2, 21, 4])], ["batched": false],
        ["images": 1, "tokens": 16, "heads": 2]
      ),
      (
        "ivcprune", [("value_states", [2, 21, 4])], ["batched": true],
        ["images": 2, "tokens": 16, "heads": 1]
      ),
      (
        "ivcprune", [("value_states", [21, 20, 4])], ["axes": ["value_states": "shd"]],
        ["images": 1, "tokens": 16, "heads": 20]
      ),
      ("crop", query, ["batched": false], ["images": 1, "tokens": 16, "heads": 4]),
      ("crop", query, ["batched": true], ["images": 4, "tokens": 16, "heads": 1]),
    ] {
      var parameters = grid
      parameters["method"] = .string(method)
      parameters.append(declared)
      let reply = try send(tensors, parameters)
      #expect(reply.json["read"] == read, "\(reply.text)")
    }
    func keptByKey(_ order: String) throws -> JSONValue? {
      try send(
        [("key", [16, 16, 8]), ("query", [16, 8])], ["method": "crop", "axes": ["key": .string(order)]]
      ).json["kept_indices"]
    }
    let inOrder = try keptByKey("hnd")
    #expect(try inOrder != nil && inOrder != keptByKey("nhd"))
  }

  @Test("what is declared of a square of scores or features is what is read")
  func squares() throws {
    let square = try Tensor.random([16, 16], seed: 3)
    let rows: JSONObject = ["keep_tokens": 4, "method": "fastv"]
    func declared(_ axes: String) throws -> JSONValue? {
      var all = rows
      all["axes"] = ["attention": .string(axes)]
      return try kept(square, all)
    }
    let mean = try Tensor.float32(
      (0..<16).map { token in (0..<16).reduce(0) { $0 + square[$1].floats()[token] } / 16 },
      shape: Shape([16]))
    #expect(try declared("hn") == kept(mean, rows))
    #expect(try declared("qn") == kept(square[15], rows))
    let features: [(String, [Int])] = [("image_features", [8, 8, 4])]
    let images = try send(features, ["method": "divprune", "batched": true])
    #expect(images.json["read"] == ["images": 8, "tokens": 8], "\(images.text)")
    #expect(try send([("image_features", [4, 8, 8])], ["method": "divprune"]).status == 200)
    let texts = try send(features + [("text_features", [8, 2, 4])], ["method": "cdpruner"])
    #expect(texts.json["read"]?.objectValue?["images"] == 8, "\(texts.text)")
  }

  @Test("axes that do not fit are refused at their member")
  func wrongAxes() throws {
    for (axes, word) in [
      ("hn", "names 2 axes"), ("hqnb", "names 4 axes"), ("hhn", "twice"), ("hqd", "'d'"),
      ("hqb", "lacks 'n'"), ("", "letter"),
      ("1qn", "must be 1"),
    ] {
      let reply = try send([("attention", [3, 5, 16])], ["axes": ["attention": .string(axes)]])
      #expect(reply.summary == "422 invalid-input at /axes/attention", "\(axes): \(reply.text)")
      #expect(reply.text.contains(word), "\(reply.text)")
    }
    #expect(try send([("attention", [16])], ["axes": "n"]).summary == "422 invalid-input at /axes")
    #expect(
      try send([("attention", [16])], ["axes": ["atention": "n"]]).summary
        == "422 invalid-input at /axes/atention")
    #expect(
      try send([("attention", [2, 16])], ["axes": ["attention": "bn"], "batched": false]).summary
        == "422 invalid-input at /axes/attention")
    #expect(
      try send([("attention.0", [3, 16])], ["axes": ["attention": "bn"]]).summary
        == "422 invalid-input at /axes/attention")
    #expect(
      try send([("attention", [2, 16]), ("image_features", [16, 3])], ["axes": ["attention": "bn"]]).summary
        == "422 invalid-input at image_features")
  }

  @Test("position ids are gathered in the models' own orders")
  func positionIDs() throws {
    let values = (0..<24).map { $0 * 7 % 24 }
    func positions(_ shape: [Int], _ more: JSONObject = [:], count: Int = 24, attention: [Int] = [8]) throws
      -> JSONValue?
    {
      var parameters: JSONObject = ["keep_tokens": 3, "method": "topk"]
      for member in more.members { parameters[member.name] = member.value }
      let ids = try Tensor.int64(Array((0..<count).map { values[$0 % 24] }), shape: Shape(shape))
      let body = Body([("attention", try .random(attention, seed: 5)), ("position_ids", ids)], parameters)
      let reply = try service.send("POST /prune", ["Accept: application/json"], body: body.safetensors())
      #expect(reply.status == 200, "\(reply.text)")
      return reply.json["position_ids"]
    }
    let plain = try positions([3, 8])
    #expect(plain?.arrayValue?.count == 3)
    #expect(try positions([3, 1, 8]) == plain)
    #expect(try positions([1, 3, 8], attention: [1, 1, 1, 8]) == plain.map { [$0] })
    #expect(try positions([3, 8], ["axes": ["position_ids": "cn"]]) == plain)
    #expect(try positions([4, 8], count: 32)?.arrayValue?.count == 4)
    #expect(try positions([1, 8], count: 8) == positions([8], count: 8))
    let batch = try positions([3, 2, 8], count: 48, attention: [2, 1, 1, 8])?.arrayValue
    #expect(batch?.count == 2 && batch?.first?.arrayValue?.count == 3)
    let swapped = try positions([3, 2, 8], ["axes": ["position_ids": "cbn"]], count: 48, attention: [2, 8])
    #expect(swapped?.arrayValue?.count == 2)
  }

  @Test("the query of grouped attention is read with its row of queries left in")
  func groupedQuery() throws {
    let localize: JSONObject = ["localize": ["source": "query_key"]]
    let reply = try send([("key", [4, 16, 8]), ("query", [28, 1, 8])], localize, "/localize")
    #expect(
      reply.summary == "200" && reply.json["read"]?.objectValue?["heads"] == 28,
      "\(reply.text)")
    let same = try send([("key", [4, 16, 8]), ("query", [28, 8])], localize, "/localize")
    #expect(reply.json["saliency"] == same.json["saliency"])
  }

  @Test("two-byte integers are floats, or integers, only when the request says so")
  func sixteenBits() throws {
    let scores: [Float] = [0.5, -3, 2, 1, -1, 0.25]
    let halves = try Tensor.floatingPoint(scores, shape: Shape([6]), as: .bfloat16)
    let viewed = try Tensor(elementType: .uint16, shape: Shape([6]), bytes: halves.bytes)
    // What PyTorch's view(torch.int16) gives: bit patterns of numbers below 0 are the lowest integers.
    let signed = try Tensor(elementType: .int16, shape: Shape([6]), bytes: halves.bytes)
    for (tensor, choices) in [
      (viewed, [("BF16", [2, 3]), ("bfloat16", [2, 3]), ("U16", [1, 4])]),
      (signed, [("BF16", [2, 3]), ("torch.bfloat16", [2, 3]), ("I16", [2, 3])]),
    ] {
      let refused = try service.send(
        "POST /prune?method=topk&keep_tokens=2", body: Body([("attention", tensor)]).safetensors())
      #expect(refused.summary == "422 invalid-input at attention" && refused.text.contains("tensor_dtype"))
      for (dtype, indices) in choices {
        let target = "POST /prune?method=topk&keep_tokens=2&tensor_dtype=\(dtype)"
        for body in [Body([("attention", tensor)]).safetensors(), try Body([("attention", tensor)]).npy()] {
          let reply = try service.send(target, body: body)
          #expect(reply.integers("kept_indices") == indices, "\(dtype): \(reply.text)")
        }
      }
    }
    let floats = Body([("attention", halves)]).safetensors()
    let other = try service.send("POST /prune?method=topk&keep_tokens=2&tensor_dtype=U16", body: floats)
    #expect(other.summary == "422 invalid-input at /tensor_dtype")
    let positions = try Tensor(elementType: .uint16, shape: Shape([6]), bytes: viewed.bytes)
    let whole = Body([("attention", halves), ("position_ids", positions)]).safetensors()
    #expect(try service.send("POST /prune?method=topk&keep_tokens=2", body: whole).status == 200)
  }

  @Test("an npy body that nobody named is not read as hundreds of heads")
  func unnamed() throws {
    let features = try Body([("x", .random([576, 64], seed: 1))]).npy()
    let refused = try service.send("POST /prune?method=topk&keep_tokens=4", body: features)
    #expect(
      refused.summary == "422 invalid-input at attention" && refused.text.contains("?tensor=image_features"))
    let wide = try Body([("x", .random([200, 1000], seed: 1))]).npy()
    #expect(try service.send("POST /localize", body: wide).summary == "422 invalid-input at attention")
    let named = try service.send("POST /prune?method=divprune&keep_tokens=4", body: features)
    #expect(named.json["read"]?.objectValue?["tokens"] == 576)
    let rows = try Body([("x", .random([12, 576], seed: 1))]).npy()
    #expect(try service.send("POST /prune?method=topk&keep_tokens=4", body: rows).status == 200)
  }

  @Test("what is probably not meant is said beside the answer")
  func warnings() throws {
    func warning(_ tensors: [(String, [Int])], _ parameters: JSONObject = [:]) throws -> String? {
      try send(tensors, parameters).json["warnings"]?.arrayValue?.first?.stringValue
    }
    #expect(try warning([("attention", [12, 577])])?.contains("577 = 24 x 24 + 1") == true)
    #expect(try warning([("attention", [12, 576])]) == nil)
    let localized = try send([("attention", [577])], [:], "/localize")
    #expect(localized.summary == "422 invalid-input at /layout", "\(localized.text)")
    #expect(localized.text.contains("577 = 24 x 24 + 1"))
    #expect(try warning([("attention", [2, 16])])?.contains("\"batched\": true") == true)
    #expect(try warning([("attention", [2, 16])], ["batched": false]) == nil)
    #expect(try warning([("attention", [12, 1, 16])])?.contains("12 heads") == true)
    #expect(try warning([("attention", [300, 300])])?.contains("whole attention map") == true)
    #expect(try warning([("attention", [576, 64])])?.contains("image_features") == true)
    #expect(try send([("attention", [576, 64])]).json["read"]?.objectValue?["queries"] == 576)
  }

  @Test("defaults that fit few models are told where they are used")
  func assumptions() throws {
    func warnings(_ tensors: [(String, [Int])], _ parameters: JSONObject) throws -> [JSONValue] {
      var parameters = parameters
      parameters["keep_tokens"] = 4
      parameters["layout"] = ["type": "grid", "rows": 4, "columns": 4]
      let reply = try send(tensors, parameters)
      #expect(reply.status == 200, "\(reply.text)")
      return reply.json["warnings"]?.arrayValue ?? []
    }
    let values = [("value_states", [24, 8])]
    let told = try warnings(values, ["method": "ivcprune"])
    #expect(told.count == 1 && told[0].stringValue?.contains("24 rows") == true)
    #expect(told[0].stringValue?.contains("image_start") == true)
    #expect(try warnings(values, ["method": "ivcprune", "method_parameters": ["image_start": 2]]).isEmpty)
    // A layer whose width 32 heads divide may have 40 of another width.
    let layer = [
      ("hidden_states", [20, 64]), ("norm_weight", [64]), ("query_weight", [64, 64]),
      ("key_weight", [64, 64]),
    ]
    let both = try warnings(layer, ["method": "pyramiddrop"])
    #expect(both.count == 2 && both[1].stringValue?.contains("32 heads") == true)
    #expect(
      try warnings(
        layer, ["method": "pyramiddrop", "method_parameters": ["image_start": 0, "heads": 4]]
      ).isEmpty)
  }

  @Test("four numbers are no region without their unit")
  func numbersAsRegion() throws {
    let reply = try service.post("/prune?keep_tokens=1", "{\"attention\":[1,2,3,4],\"region\":[2,1,5,4]}")
    #expect(reply.summary == "422 invalid-input at /region" && reply.text.contains("blocks"), "\(reply.text)")
  }

  @Test("names of others and parameters of methods are told where they belong")
  func names() throws {
    for (body, words) in [
      (
        "{\"method\":\"evs\",\"frames\":4,\"image_features\":[[1],[2]]}",
        ["'frames'", "belongs in method_parameters"]
      ),
      ("{\"features\":[[1],[2]]}", ["did you mean 'image_features'?"]),
      ("{\"attn\":[1,2]}", ["did you mean 'attention'?"]),
      ("{\"attention\":[1,2],\"ratio\":0.5}", ["did you mean 'keep_ratio'?"]),
      ("{\"attention\":[1,2],\"method_params\":{}}", ["did you mean 'method_parameters'?"]),
    ] {
      let reply = try service.post("/prune?keep_tokens=1", body)
      #expect(reply.summary.hasPrefix("422 unknown-parameter"), "\(reply.text)")
      for word in words {
        #expect(reply.json["detail"]?.stringValue?.contains(word) == true, "\(reply.text)")
      }
    }
    let list = "{\"attention\":[1,2,3,4],\"layout\":[{\"type\":\"raw\",\"tokens\":4}],\"keep_tokens\":1}"
    let reply = try service.post("/prune?method=topk", list)
    #expect(reply.status == 422 && reply.text.contains("send one layout for one image"), "\(reply.text)")
  }

  @Test("what curl does to files and forms is named")
  func curl() throws {
    let form = ["Content-Type: application/x-www-form-urlencoded"]
    let npy = try Body([("x", .random([12, 576], seed: 1))]).npy().filter {
      $0 != 0 && $0 != 0x0a && $0 != 0x0d
    }
    for body in [npy, Array("keep_tokens=4&method=topk".utf8)] {
      let reply = try service.send("POST /prune?method=topk&keep_tokens=4", form, body: body)
      #expect(reply.status >= 400 && reply.text.contains("--data-binary"), "\(reply.text)")
    }
    let marked = try service.send("POST /prune", form, body: Array("--x\r\n".utf8))
    #expect(marked.summary == "415 unsupported-format" && marked.text.contains("boundary"))
    let bare = try service.send(
      "POST /prune", ["Content-Type: multipart/form-data"], body: Array("--x\r\n".utf8))
    #expect(bare.summary == "400 malformed-body" && bare.text.contains("boundary"))
  }
}
