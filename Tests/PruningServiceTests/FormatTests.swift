import HTTP1
import JSON
import TensorFormats
import Tensors
import Testing

@testable import PruningService

@Suite struct FormatTests {
  private let service = TestService()
  private let features = Body(
    [("image_features", try? .random([16, 4], seed: 1))].compactMap { name, tensor in
      tensor.map { (name, $0) }
    },
    ["keep_tokens": 5])

  private func bytes(_ format: String) throws -> [UInt8] {
    switch format {
    case "json": try features.json()
    case "safetensors": features.safetensors()
    default: try features.npy()
    }
  }

  static let types = [
    "json": "application/json", "safetensors": "application/x-safetensors", "npy": "application/x-npy",
  ]

  private func format(of reply: Reply) -> String? {
    guard reply.status == 200 else { return reply.summary }
    return Self.types.first { $0.value == reply.field("Content-Type") }?.key
  }

  @Test(
    "The answer's format follows Accept, and where that is open, the request",
    arguments: ["json", "safetensors", "npy"])
  func negotiation(sent: String) throws {
    let target = sent == "npy" ? "/compress?keep_tokens=5" : "/compress"
    for (accept, expected) in [
      (nil, sent), ("*/*", sent), ("application/*", sent), ("application/json", "json"),
      ("application/x-safetensors", "safetensors"), ("application/x-npy", "npy"),
      ("application/vnd.safetensors", "safetensors"),
      ("application/json;q=0.1, application/x-npy;q=0.9", "npy"), ("text/html, */*;q=0.5", sent),
      ("image/png", "json"), ("*/*, application/json;q=0", sent == "json" ? "safetensors" : sent),
      ("nonsense", sent),
    ] as [(String?, String)] {
      let reply = try service.send(
        "POST \(target)", accept.map { ["Accept: \($0)"] } ?? [], body: try bytes(sent))
      #expect(format(of: reply) == expected, "\(sent), Accept: \(accept ?? "none")")
    }
  }

  @Test("An answer without features is JSON unless another format is asked for")
  func indicesOnly() throws {
    let body = Body([("attention", try .random([16], seed: 2))], ["keep_tokens": 3, "method": "topk"])
    let plain = try service.send("POST /prune", body: body.safetensors())
    #expect(plain.field("Content-Type") == "application/json")
    let kept = try #require(plain.integers("kept_indices"))
    let npy = try service.send("POST /prune", ["Accept: application/x-npy"], body: body.safetensors())
    let document = try NPYFormat.decode(npy.body[...], DecodingHints(tensorName: "x"))
    #expect(document.tensors["x"] == .one(try .int64(kept, shape: Shape([3]))))
    let binary = try service.send("POST /prune", ["Accept: application/x-safetensors"], body: try body.json())
    let decoded = try SafetensorsFormat.decode(binary.body[...], DecodingHints())
    #expect(decoded.tensors["kept_indices"] == .one(try .int64(kept, shape: Shape([3]))))
  }

  @Test(
    "A body is read by its first bytes when its type is absent or generic",
    arguments: ["json", "safetensors", "npy"],
    [nil, "application/octet-stream", "application/x-www-form-urlencoded", "own"])
  func sniffing(sent: String, type: String?) throws {
    let fields = type.map { ["Content-Type: \($0 == "own" ? Self.types[sent] ?? "" : $0)"] } ?? []
    let target = sent == "npy" ? "/compress?keep_tokens=5" : "/compress"
    let reply = try service.send(
      "POST \(target)", fields + ["Accept: application/json"], body: try bytes(sent))
    let plain = try service.send(
      "POST /compress", ["Accept: application/json"], body: try bytes("safetensors"))
    #expect(reply.status == 200 && reply.body == plain.body)
    let annotation = Response.Field("format", sent)
    #expect(reply.annotations.contains(annotation))
  }

  @Test("The same request is the same answer in JSON, safetensors, and npy with a query")
  func equivalence() throws {
    let row = try Tensor.random([16], seed: 3)
    let parameters: JSONObject = [
      "keep_ratio": 0.25, "method": "topk", "explain": true, "region": ["blocks": [0, 0, 3, 3]],
      "region_policy": "bias", "region_bias": 2.5,
    ]
    let query =
      "keep_ratio=0.25&method=topk&explain=true&region=%7B%22blocks%22:[0,0,3,3]%7D"
      + "&region_policy=bias&region_bias=2.5"
    let body = Body([("attention", row)], parameters)
    let answers = [
      try service.send("POST /prune", body: try body.json()),
      try service.send("POST /prune", body: body.safetensors()),
      try service.send("POST /prune?\(query)", body: try body.npy()),
      try service.send("POST /prune?\(query)&tensor=attention", body: try body.npy(), isChunked: true),
      try service.send("POST /prune?\(query)", body: Body(body.tensors).safetensors()),
    ]
    #expect(answers[0].status == 200)
    for answer in answers { #expect(answer.body == answers[0].body) }
  }

  @Test("npy is the operation's main tensor, the one ?tensor= names, and of the type ?tensor_dtype= names")
  func npyHints() throws {
    let row = Body([("attention", try .random([16], seed: 4))])
    #expect(try service.send("POST /localize", body: try row.npy()).json["source"] == "attention")
    let features = Body([("image_features", try .random([16, 3], seed: 4))])
    let reply = try service.send(
      "POST /prune?tensor=image_features&method=divprune&keep_tokens=4", body: try features.npy())
    #expect(reply.integers("kept_indices")?.count == 4)
    #expect(
      try service.send("POST /prune?tensor=fetures&keep_tokens=4", body: try features.npy()).summary
        == "422 unknown-parameter at fetures")
    var opaque = try NPYFormat.encode(
      [("x", try .floatingPoint([1, 2, 3, 4], shape: Shape([4]), as: .float16))], response: [:])
    let place = try #require((0..<100).first { opaque[$0...].starts(with: "<f2".utf8) })
    opaque.replaceSubrange(place..<(place + 3), with: "|V2".utf8)
    #expect(try service.send("POST /prune?method=topk&keep_tokens=1", body: opaque).status == 415)
    #expect(
      try service.send("POST /prune?method=topk&keep_tokens=1&tensor_dtype=BF16", body: opaque)
        .integers("kept_indices") == [3])
  }

  @Test("A form gives what the same tensors and parameters give as one body")
  func form() throws {
    let tensors = Body([("attention", try .random([2, 24], seed: 9))])
    func part(_ name: String, _ content: [UInt8]) -> [UInt8] {
      Array("--a b\r\nContent-Disposition: form-data; name=\"\(name)\"\r\n\r\n".utf8) + content + [13, 10]
    }
    let file = part("attention", try tensors.npy())
    let end = Array("--a b--\r\n".utf8)
    let type = ["Content-Type: Multipart/Form-Data; boundary=\"a b\""]
    let expected = try service.send("POST /prune?method=topk&keep_tokens=4", body: tensors.safetensors())
    #expect(expected.status == 200)
    for count in 0..<3 {  // The same head again may be answered from memory.
      let form = file + part("parameters", Array(#"{"method": "topk", "keep_tokens": 4}"#.utf8)) + end
      #expect(try service.send("POST /prune", type, body: form).body == expected.body, "\(count)")
      let other = file + part("parameters", Array(#"{"method": "topk", "keep_tokens": 5}"#.utf8)) + end
      #expect(try service.send("POST /prune", type, body: other).integers("kept_indices")?.count == 5)
      let fields = file + part("method", Array("topk".utf8)) + part("keep_tokens", [0x34]) + end
      #expect(try service.send("POST /prune", type, body: fields).body == expected.body)
    }
    let query = try service.send("POST /prune?keep_tokens=4&method=topk", type, body: file + end)
    #expect(query.body == expected.body)
    let twice = part("keep_tokens", [0x34]) + file + end
    #expect(
      try service.send("POST /prune?keep_tokens=4", type, body: twice).summary
        == "422 invalid-input at /keep_tokens")
    #expect(
      try service.send("POST /prune?tensor=attention", type, body: file + end).summary
        == "422 invalid-input at /tensor")
    let features = part("image_features", try Body([("x", .random([16, 3], seed: 4))]).npy())
    let reply = try service.send("POST /compress?keep_tokens=4", type, body: features + end)
    #expect(reply.status == 200 && reply.field("Content-Type") == "application/json")
    let picture = part("image_features", [0x89] + Array("PNG\r\n".utf8)) + end
    let refusal = try service.send("POST /prune?keep_tokens=4", type, body: picture)
    #expect(refusal.status == 415 && refusal.text.contains("docs/tensors.md"), "\(refusal.text)")
  }

  @Test("Other formats are refused by name, on the head where the type says so")
  func refusedFormats() throws {
    for (type, word) in [
      ("multipart/mixed; boundary=x", "multipart/form-data"), ("application/x-pickle", "pickle"),
      ("application/x-pytorch", "pickle"),
      ("image/jpeg", "pixels"), ("text/csv", "text/csv"), ("a/b/c", "not a media type"),
      ("application/json\r\nContent-Type: application/json", "not a media type"),
    ] {
      let reply = try service.send("POST /prune", ["Content-Type: \(type)"], body: [0x7b])
      #expect(reply.isRejected && reply.summary == "415 unsupported-format")
      #expect(reply.text.contains(word) && reply.text.contains("application/x-safetensors"), "\(reply.text)")
    }
    for (body, word) in [
      ([0x80, 0x04, 0x95], "pickle"), (Array("hello".utf8), "json"),
      ([0x89] + Array("PNG".utf8), "picture"), ([0x1f, 0x8b, 8, 0], "compressed"), ([0], "json"),
    ] as [([UInt8], String)] {
      let reply = try service.send("POST /prune", body: body)
      #expect(!reply.isRejected && reply.summary == "415 unsupported-format")
      #expect(reply.text.contains(word), "\(reply.text)")
    }
    let coded = try service.send("POST /prune", ["Content-Encoding: br"], body: [0x7b])
    #expect(coded.isRejected && coded.status == 415 && coded.field("Accept-Encoding") == "gzip, deflate")
  }

  @Test("A request without a body is told to bring one")
  func noBody() throws {
    #expect(try service.send("POST /prune").summary == "400 body-required")
    #expect(try service.send("POST /prune", body: []).summary == "400 body-required")
    #expect(try service.send("POST /prune", body: [], isChunked: true).summary == "400 body-required")
    #expect(
      try service.send("POST /prune", ["Content-Type: application/json"], body: []).summary
        == "400 body-required")
  }

  @Test("The query gives numbers, flags, strings and JSON")
  func query() throws {
    let row = try Body([("attention", .random([16], seed: 5))]).json()
    for (query, expected) in [
      ("keep_tokens=4&method=topk", "200"), ("keep_tokens=4.0&method=%22topk%22", "200"),
      ("keep_tokens=4&method=topk&renumber=true", "200"),
      ("keep_tokens=4&region=", "422 invalid-input at /region"),
      ("keep_tokens=4&region=%7B%22text%22:%22[2,1,5,4]%22%7D", "200"), ("keep_tokens=4&layout=null", "200"),
      ("keep_tokens=4&keep_ratio=null", "200"), ("keep_tokens=4&method", "422 unknown-method at /method"),
      ("keep_tokens=4&nope=1", "422 unknown-parameter at /nope"), ("keep_tokens=+4", "200"),
      ("keep_tokens=4&%0a=1", "422 unknown-parameter at / "), ("&&keep_tokens=4&&", "200"),
      ("keep_tokens=1e1", "200"), ("keep_tokens=99999999999999999999", "422 invalid-input at /keep_tokens"),
      ("keep_tokens=4&seed=%80", "400 malformed-query"),
    ] {
      #expect(try service.send("POST /prune?\(query)", body: row).summary == expected, "\(query)")
    }
    let many = (0..<101).map { "a\($0)=1" }.joined(separator: "&")
    #expect(try service.send("POST /prune?\(many)", body: row).summary == "400 malformed-query")
  }
}
