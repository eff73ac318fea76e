import HTTP1
import JSON
import TensorFormats
import Testing

@testable import PruningService

@Suite("Models of the Open Inference Protocol")
struct InferenceEndpointTests {
  private let service = TestService()

  private func infer(
    _ operation: PruningService.Operation, _ request: JSONObject, _ fields: [String] = []
  ) throws -> Reply {
    try service.send(
      "POST /v2/models/crop-\(operation.rawValue)/infer", fields, body: JSONValue.object(request).serialized()
    )
  }

  private static func parameters(of operation: PruningService.Operation) -> JSONValue {
    switch operation {
    case .localize: [:]
    case .compress: ["keep_tokens": 2, "method": "divprune"]
    case .prune: ["keep_tokens": 2, "method": "topk"]
    // Objects are text.
    case .reselect: ["previous": "{\"kept_indices\": [0, 1]}"]
    }
  }

  private static func request(for operation: PruningService.Operation) -> JSONObject {
    let features: JSONValue = [
      "name": "image_features", "shape": [4, 2], "datatype": "FP16", "data": [1, 0, 0, 1, 1, 1, 0.5, 0.25],
    ]
    let attention: JSONValue = [
      "name": "attention", "shape": [4], "datatype": "FP32", "data": [0.1, 0.2, 0.4, 0.3],
    ]
    return [
      "id": "a", "inputs": [operation == .compress ? features : attention],
      "parameters": parameters(of: operation),
    ]
  }

  @Test("a query and a body of another format are not ignored")
  func elsewhere() throws {
    let body = JSONValue.object(Self.request(for: .prune)).serialized()
    for query in ["keep_tokens=1", "nonsense", "tensor=attention", "tensor_dtype=BF16"] {
      let reply = try service.send("POST /v2/models/crop-prune/infer?\(query)", body: body)
      #expect(reply.status == 400 && reply.text.contains("query string"), "\(reply.text)")
    }
    #expect(try service.send("POST /v2/models/crop-prune/infer?", body: body).status == 200)
    let accepted = ["application/json", "application/octet-stream", "application/x-www-form-urlencoded"]
    for type in accepted + ["application/x-npz", "multipart/form-data; boundary=B"] {
      let reply = try infer(.prune, Self.request(for: .prune), ["Content-Type: \(type)"])
      #expect(reply.status == (accepted.contains(type) ? 200 : 400), "\(type) \(reply.text)")
    }
  }

  @Test(
    "an answer has exactly the outputs that the model's metadata list",
    arguments: PruningService.Operation.allCases)
  func outputs(of operation: PruningService.Operation) throws {
    let reply = try infer(operation, Self.request(for: operation))
    #expect(reply.status == 200, "\(reply.text)")
    let metadata = try service.send("GET /v2/models/crop-\(operation.rawValue)").json
    func named(_ list: JSONValue?) -> [String] {
      list?.arrayValue?.compactMap { $0.objectValue?["name"]?.stringValue } ?? []
    }
    #expect(named(reply.json["outputs"]) == named(metadata["outputs"]))
    #expect(named(metadata["inputs"]) == TensorAxes.names)
    for output in reply.json["outputs"]?.arrayValue ?? [] {
      let name = output.objectValue?["name"]?.stringValue ?? ""
      let listed = metadata["outputs"]?.arrayValue?.first { $0.objectValue?["name"]?.stringValue == name }
      #expect(
        output.objectValue?["shape"]?.arrayValue?.count == listed?.objectValue?["shape"]?.arrayValue?.count)
    }
  }

  @Test("what is wrong with a body is 400 and one line, whatever it is elsewhere")
  func errors() throws {
    for (body, word) in [
      ("{", "byte"), (#"{"inputs":[]}"#, "layout"), (#"{"inputs":[],"parameters":{"keep":1}}"#, "keep"),
      (
        #"{"inputs":[{"name":"attention","shape":[1],"datatype":"FP32","data":[1]}],"parameters":{"method":"fastvv","keep_tokens":1}}"#,
        "fastv"
      ),
    ] {
      let reply = try service.send("POST /v2/models/crop-prune/infer", body: Array(body.utf8))
      #expect(reply.status == 400 && reply.json.names == ["error"], "\(reply.text)")
      #expect(reply.json["error"]?.stringValue?.contains(word) == true, "\(reply.text)")
      #expect(reply.field("Content-Type") == "application/json")
    }
    let large = try TestService(maximumBodyBytes: 100).send(
      "POST /v2/models/crop-prune/infer", body: [UInt8](repeating: 0x20, count: 200))
    #expect(large.isRejected && large.status == 413 && large.json.names == ["error"])
    #expect(try service.send("POST /v2/models/crop-prune/infer").status == 400)
  }

  @Test("a request may shorten the time for its computation, and not lengthen it")
  func timeout() throws {
    var request = Self.request(for: .prune)
    request["parameters"] = ["keep_tokens": 2, "method": "topk", "timeout": 0]
    #expect(try infer(.prune, request).status == 200)
    request["parameters"] = ["keep_tokens": 2, "method": "topk", "timeout": 60_000_000]
    #expect(try infer(.prune, request).status == 200)
  }

  @Test("what runs here is told under the names of other servers")
  func information() throws {
    #expect(try service.send("GET /version").json == ["version": .string(Version.current)])
    let info = try service.send("GET /info").json
    #expect(info["methods"]?.arrayValue?.contains("divprune") == true && info["models"] == [])
    #expect(info["max_body_bytes"]?.integerValue == 1 << 20 && info["compute_timeout_ms"] == .null)
    #expect(info["inference_models"]?.arrayValue?.count == PruningService.Operation.allCases.count)
  }
}
