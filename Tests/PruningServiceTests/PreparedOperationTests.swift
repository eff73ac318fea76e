import HTTP1
import JSON
import TensorFormats
import Tensors
import Testing
import TokenPruning

@testable import PruningService

/// Requests like earlier ones reuse what was prepared for these: their answers must be those of a service that has seen
/// nothing before.
@Suite struct PreparedOperationTests {
  /// A service and a head that stay, as a transport keeps them.
  private struct Client {
    let service = TestService(maximumBodyBytes: 4 << 20).service
    var heads: [String: RequestHead] = [:]

    mutating func send(_ target: String, _ fields: [String] = [], _ body: [UInt8]) throws -> Reply {
      let key = ([target] + fields + ["\(body.count)"]).joined(separator: "\n")
      if heads[key] == nil {
        var head = try TestService.head("POST \(target)", fields, contentLength: body.count)
        head.resolution = service.resolve(head, framing: .length(body.count))
        heads[key] = head
      }
      guard let head = heads[key] else { throw TestService.Incomplete() }
      var request = Request(head: head, body: body)
      _ = service.prepare(&request)
      return Reply(service.respond(to: request), isRejected: false)
    }
  }

  private static func fresh(_ target: String, _ fields: [String] = [], _ body: [UInt8]) throws -> Reply {
    let head = try TestService.head("POST \(target)", fields, contentLength: body.count)
    let service = TestService(maximumBodyBytes: 4 << 20).service
    return Reply(service.respond(to: Request(head: head, body: body)), isRejected: false)
  }

  private func expectSame(_ a: Reply, _ b: Reply, _ what: String) {
    // A problem names its request.
    func comparable(_ reply: Reply) -> String {
      var json = reply.json
      json["instance"] = nil
      json["request_id"] = nil
      return reply.status == 200 ? reply.text : JSONValue.object(json).description
    }
    #expect(a.status == b.status && comparable(a) == comparable(b), "\(what)")
    #expect(a.field("Content-Type") == b.field("Content-Type"))
    let own = a.annotations.filter { $0.name != "id" }
    #expect(own == b.annotations.filter { $0.name != "id" }, "\(what)")
  }

  enum Format: CaseIterable {
    case json, safetensors

    func body(_ tensors: [(name: String, tensor: Tensor)], _ parameters: JSONObject) throws -> [UInt8] {
      let body = Body(tensors, parameters)
      return self == .json ? try body.json() : body.safetensors()
    }
  }

  private static func tensors(
    _ descriptor: MethodDescriptor, tokens: Int, seed: UInt64
  ) throws -> [(name: String, tensor: Tensor)] {
    let width = 16
    let shapes: [String: [Int]] = [
      "image_features": [tokens, width], "encoder_features": [tokens, width],
      "relevance_features": [tokens, width], "text_features": [3, width], "attention": [4, 6, tokens],
      "reference_attention": [tokens], "query": [2, width], "key": [2, tokens, width],
      "text_key": [2, 5, width], "sizes": [tokens], "pixel_values": [tokens * 4, 12],
      "value_states": [tokens, width], "hidden_states": [tokens + 4, width],
    ]
    var names = Set(descriptor.requiredInputs + descriptor.optionalInputs)
    names.insert("attention")
    return try names.sorted().enumerated().compactMap { index, name in
      guard let shape = shapes[name] else { return nil }
      let random = try Tensor.random(shape, seed: seed &* 31 &+ UInt64(index))
      return (name, try .float32(random.floats().map { abs($0) + 0.01 }, shape: random.shape))
    }
  }

  @Test(
    "A repeated request answers what a first one does, with other parameters and shapes in between",
    arguments: MethodRegistry.standard.descriptors.map(\.name), Format.allCases)
  func everyMethod(name: String, format: Format) throws {
    let descriptor = try #require(MethodRegistry.standard.descriptors.first { $0.name == name })
    let grid: (Int, Int) -> JSONValue = { ["type": "grid", "rows": .integer($0), "columns": .integer($1)] }
    let variants: [(Int, JSONObject)] = [
      (36, ["keep_tokens": 9]), (36, ["keep_tokens": 8]), (36, ["keep_ratio": 0.5, "layout": grid(6, 6)]),
      (36, ["keep_tokens": 9, "layout": grid(4, 9)]), (36, ["keep_tokens": 9, "seed": 3]),
      (64, ["keep_tokens": 9]), (36, ["keep_tokens": 9, "localize": true]),
      (36, ["keep_tokens": 9, "layout": grid(6, 6), "region": ["box": [0.1, 0.1, 0.6, 0.7]]]),
      (36, ["keep_tokens": 9, "layout": grid(6, 6), "region": ["box": [0.1, 0.1, 0.6, 0.9]]]),
      (36, ["keep_tokens": 9, "explain": true]), (36, ["keep_tokens": 9, "renumber": true]),
      (36, ["keep_tokens": 99]), (36, ["keep_tokens": 9, "region_policy": "bias"]),
    ]
    var client = Client()
    for operation in ["/prune", "/compress"] {
      for (round, (tokens, parameters)) in (variants + variants.reversed() + variants).enumerated() {
        var parameters = parameters
        parameters["method"] = .string(name)
        parameters["batched"] = false
        let body = try format.body(
          try Self.tensors(descriptor, tokens: tokens, seed: UInt64(round)), parameters.withFrames(2))
        let what = "\(operation) \(name) \(JSONValue.object(parameters).description.prefix(200))"
        expectSame(try client.send(operation, [], body), try Self.fresh(operation, [], body), what)
      }
    }
  }

  @Test("Bytes of one form that hold other numbers, refused ones among them, are looked at each time")
  func otherElements() throws {
    var client = Client()
    for (round, value) in ([1, 2, .nan, 3, .infinity, 4] as [Float]).enumerated() {
      var values = try Tensor.random([576], seed: UInt64(round)).floats()
      values[17] = value
      let body = try Body([("attention", .float32(values, shape: Shape([576])))]).npy()
      for target in ["/prune?keep_tokens=64&method=topk", "/prune?keep_tokens=64", "/localize"] {
        let reply = try client.send(target, [], body)
        #expect(reply.status == (value.isFinite ? 200 : 422))
        expectSame(reply, try Self.fresh(target, [], body), target)
      }
    }
  }

  @Test("The same bytes before the tensors in another type or shape are another form")
  func otherForms() throws {
    var client = Client()
    let bytes = try Tensor.random([576], seed: 5).bytes
    let forms: [(ElementType, [Int])] = [
      (.float32, [576]), (.float16, [1152]), (.bfloat16, [1152]), (.float32, [2, 288]), (.float32, [9, 64]),
      (.uint16, [1152]), (.int16, [1152]), (.float32, [1, 576]), (.float32, [576]), (.int32, [576]),
    ]
    for (type, shape) in forms + forms.reversed() {
      let tensor = try Tensor(elementType: type, shape: Shape(shape), bytes: bytes)
      for body in [try Body([("attention", tensor)]).npy(), Body([("attention", tensor)]).safetensors()] {
        let target = "/prune?keep_tokens=5&method=topk"
        expectSame(
          try client.send(target, [], body), try Self.fresh(target, [], body), "\(type) \(shape)")
      }
    }
  }

  @Test("Two-byte integers, dropped tokens and swapped axes are read from each request anew")
  func valuesThatDecide() throws {
    var client = Client()
    for seed in 0..<6 {
      var numbers = SeededNumbers(seed: UInt64(seed))
      // Small ones are counts, large ones might be bfloat16.
      let limit = seed % 2 == 0 ? 100 : 60_000
      let bits = (0..<64).map { _ in UInt16(numbers.below(limit)) }
      let counts = try Tensor(
        elementType: .uint16, shape: Shape([64]), bytes: bits.withUnsafeBytes { Array($0) }[...])
      let flags = try Tensor(
        elementType: .uint8, shape: Shape([64]), bytes: (0..<64).map { _ in UInt8(numbers.below(2)) }[...])
      let scores = try Tensor.random([64], seed: UInt64(seed))
      let swapped = try Tensor.random([64, 3], seed: UInt64(seed))
      let parameters: JSONObject = ["keep_tokens": 5, "method": "topk"]
      var declared = parameters
      declared["axes"] = ["attention": "nh"]
      for body in [
        Body([("attention", counts)], parameters),
        Body([("attention", scores), ("already_dropped", flags)], parameters),
        Body([("attention", swapped)], declared),
      ] {
        expectSame(
          try client.send("/prune", [], body.safetensors()), try Self.fresh("/prune", [], body.safetensors()),
          "\(body.tensors[0].tensor.shape) \(seed)")
      }
    }
  }

  @Test("Batches: lists, shared parameters, one budget for all", arguments: Format.allCases)
  func batches(format: Format) throws {
    var client = Client()
    for seed in 0..<4 {
      let batch = try Tensor.random([3, 2, 36], seed: UInt64(seed))
      let grid: JSONValue = ["type": "grid", "rows": 6, "columns": 6]
      for parameters in [
        ["keep_tokens": 5, "batched": true], ["keep_tokens": 5, "layout": [grid, grid, grid]],
        ["keep_tokens": 5, "batched": true, "region": [["blocks": [0, 0, 3, 3]], nil, nil]],
        ["keep_tokens": 9, "batched": true, "budget_scope": "request"],
        ["keep_tokens": 9, "batched": true, "budget_scope": "request", "method": "fastv"],
        ["keep_tokens": 5, "batched": true, "seed": [1, 2, 3], "method": "random"],
        ["keep_tokens": 50, "batched": true],
      ] as [JSONObject] {
        let body = try format.body([("attention", batch)], parameters)
        expectSame(
          try client.send("/prune", [], body), try Self.fresh("/prune", [], body),
          JSONValue.object(parameters).description)
      }
    }
  }

  @Test(
    "What a client accepts is part of the head, and its form of the answer",
    arguments: ["application/x-npy", "application/x-safetensors", "text/html, */*", "application/json"])
  func otherAnswers(accept: String) throws {
    var client = Client()
    for seed in 0..<3 {
      let body = try Body([("image_features", .random([36, 8], seed: UInt64(seed)))]).npy()
      for target in ["/prune?keep_tokens=4&method=divprune", "/compress?keep_tokens=4"] {
        let fields = ["Accept: \(accept)"]
        expectSame(
          try client.send(target, fields, body), try Self.fresh(target, fields, body), target)
      }
    }
  }

  @Test(
    "Whatever can be refused without computing is refused before the tensors are looked at",
    arguments: [
      (#"{"renumber":3}"#, "/renumber"), (#"{"model_dimensions":{"hidden":0}}"#, "/model_dimensions/hidden"),
      (#"{"bookkeeping":7}"#, "/bookkeeping"), (#"{"keep_tokens":99}"#, "/keep_tokens"),
      (#"{"method_parameters":{"x":1}}"#, "/method_parameters/x"), (#"{"method":"x"}"#, "/method"),
      (#"{"dtype":"I8"}"#, "/dtype"), (#"{"localize":{"max_regions":0}}"#, "/localize/max_regions"),
    ])
  func early(parameters: String, pointer: String) throws {
    var given = try #require(try JSONValue.parse(Array(parameters.utf8)[...]).objectValue)
    if given["keep_tokens"] == nil { given["keep_tokens"] = 4 }
    // The numbers themselves would be rejected, too.
    let features = try Tensor.float32([Float](repeating: .nan, count: 16 * 4), shape: Shape([16, 4]))
    let scores = try Tensor.float32([Float](repeating: .nan, count: 16), shape: Shape([16]))
    let operation = given["dtype"] == nil ? "/prune" : "/compress"
    let body = Body([("image_features", features), ("attention", scores)], given).safetensors()
    let head = try TestService.head("POST \(operation)", contentLength: body.count)
    var request = Request(head: head, body: body)
    let service = TestService().service
    #expect(service.prepare(&request)?.nanoseconds == 0)
    #expect(Reply(service.respond(to: request), isRejected: false).summary.hasSuffix("at \(pointer)"))
  }

  @Test(
    "An event loop prepares few images that differ, and leaves more of them to compute threads",
    arguments: [(16, true), (17, false)])
  func fewForms(images: Int, isPrepared: Bool) throws {
    let layouts = [JSONValue](repeating: ["type": "grid", "rows": 1, "columns": 2], count: images)
    let body = Body(
      [("attention", try .random([images, 1, 2], seed: 1))],
      ["batched": true, "layout": .array(layouts), "keep_tokens": 1, "method": "topk"]
    ).safetensors()
    let head = try TestService.head("POST /prune", contentLength: body.count)
    var request = Request(head: head, body: body)
    let service = TestService().service
    #expect((service.prepare(&request) != nil) == isPrepared)
    #expect(Reply(service.respond(to: request), isRejected: false).status == 200)
  }

  @Test(
    "Large tensors are prepared for once, with declared axes and without",
    arguments: [JSONObject(), ["axes": ["image_features": "ND"]]])
  func largeBodies(axes: JSONObject) throws {
    let tensor = try Tensor.float32([Float](repeating: 0.5, count: 576 << 10), shape: Shape([576, 1 << 10]))
    var parameters: JSONObject = [
      "keep_tokens": 8, "method": "uniform", "layout": ["type": "grid", "rows": 24, "columns": 24],
    ]
    parameters["axes"] = axes["axes"]
    let body = Body([("image_features", tensor)], parameters).safetensors()
    var client = Client()
    #expect(try client.send("/prune", [], body).status == 200)
    let resolved = try #require(client.heads.values.first?.resolution as? ResolvedHead)
    let prepared = try #require(resolved.operations.find(body))
    // No element is read, so there is nothing to compute beyond the indices.
    #expect(prepared.operation.cost.nanoseconds < 50_000)
  }

  @Test(
    "A short answer that no element decides is known once the start of a body is there, a long one is not",
    arguments: [(0, true), (1_000, true), (10_000, false)])
  func knownAnswers(textTokens: Int, isKnown: Bool) throws {
    let tensor = try Tensor.random([64, 8], seed: 1)
    let body = Body(
      [("image_features", tensor)],
      [
        "keep_tokens": 8, "method": "uniform", "layout": ["type": "qwen2_vl", "grid_thw": [1, 16, 16]],
        "bookkeeping": ["text_tokens": [.integer(textTokens), 1]],
      ]
    ).safetensors()
    var client = Client()
    let whole = try client.send("/prune", [], body)
    #expect(whole.status == 200)
    var head = try TestService.head("POST /prune", contentLength: body.count)
    head.resolution = client.heads.values.first?.resolution
    let start = Request(head: head, body: Array(body.dropLast(tensor.bytes.count)))
    var response = Response(status: 0)
    let isAnswered = client.service.respondToStart(of: start, bodyByteCount: body.count, into: &response)
    #expect(isAnswered == isKnown)
    if isKnown { #expect(response.body == Array(whole.text.utf8)) }
  }

  @Test(
    "Searches among many rows are known to take long, however short the rows",
    arguments: ["divprune", "tome", "prunesid", "mmtok", "cdpruner", "density_peaks"])
  func narrowRows(name: String) throws {
    var tensors = [(name: "image_features", tensor: try Tensor.random([2_000, 1], seed: 1))]
    if ["mmtok", "cdpruner"].contains(name) {
      tensors.append((name: "text_features", tensor: try .random([1, 1], seed: 2)))
    }
    let merges = name == "density_peaks"
    let parameters: JSONObject = ["keep_ratio": 0.5, merges ? "anchors" : "method": .string(name)]
    let body = Body(tensors, parameters).safetensors()
    let head = try TestService.head("POST /\(merges ? "compress" : "prune")", contentLength: body.count)
    var request = Request(head: head, body: body)
    let estimate = try #require(TestService().service.prepare(&request))
    // An idle event loop computes what takes less than 0.3 ms.
    #expect(estimate.nanoseconds > 1_000_000)
  }

  @Test("Bodies are recognised by everything but their elements, and by nothing less")
  func bodyPlans() throws {
    let tensor = try Tensor.random([8], seed: 1)
    let body = Body([("attention", tensor)], ["keep_tokens": 2]).safetensors()
    let document = try SafetensorsFormat.decode(body[...], DecodingHints(parameterNames: ["keep_tokens"]))
    let plan = try #require(BodyPlan(body, TensorForms.bytes(of: document.tensors)))
    #expect(plan.fits(body) && plan.sources(in: body)?.map { Array($0) } == [Array(tensor.bytes)])
    let start = body.count - tensor.bytes.count
    for offset in body.indices {
      var other = body
      other[offset] ^= 1
      #expect(plan.fits(other) == (offset >= start))
    }
    #expect(!plan.fits(Array(body.dropLast())) && !plan.fits(body + [0]) && !plan.fits([]))
    // Something behind the tensor.
    #expect(BodyPlan(body + [0], TensorForms.bytes(of: document.tensors)) == nil)
    // Elements that lie elsewhere.
    #expect(BodyPlan(body, [Array(tensor.bytes)[...]]) == nil)
  }

  @Test("An id and a trace context come back however the answer is made")
  func identity() throws {
    let body = try Body([("attention", .random([576], seed: 1))]).npy()
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    var client = Client()
    for (fields, id, traceparent) in [
      (["X-Request-Id: r1"], "r1", nil), (["traceparent: \(trace)"], nil, trace),
      (["X-Request-Id: r1", "traceparent: \(trace)"], "r1", trace),
      // What is not accepted is answered with a new id, or with none.
      (["X-Request-Id: r 1"], nil, nil), (["X-Request-Id: r1", "X-Request-Id: r2"], nil, nil),
      (["traceparent: 00-1"], nil, nil), (["traceparent: ff\(trace.dropFirst(2))"], nil, nil),
      (["traceparent: 01\(trace.dropFirst(2))-more"], nil, "01\(trace.dropFirst(2))-more"),
      (["traceparent: \(trace)-more"], nil, nil),
      (["traceparent: \(trace)", "traceparent: \(trace)"], nil, nil),
      (["X-Request-Id: \(String(repeating: "x", count: 129))"], nil, nil),
    ] as [([String], String?, String?)] {
      var seen = Set<String>()
      for _ in 0..<3 {
        let reply = try client.send("/prune?keep_tokens=64&method=topk", fields, body)
        let given = try #require(reply.field("X-Request-Id"))
        #expect(id.map { $0 == given } ?? (given.utf8.count == 32 && seen.insert(given).inserted))
        #expect(reply.field("traceparent") == traceparent)
        #expect(reply.annotations.first == Response.Field("id", given))
        #expect(reply.annotations.contains { $0.name == "trace" } == (traceparent != nil))
      }
    }
  }
}
