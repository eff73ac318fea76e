import HTTP1
import JSON
import PruningService
import TensorFormats
import Tensors
import TokenPruning

/// One thing that every request of some kind does.
struct HotPath: Sendable {
  let name: String
  /// Makes the input, which is not what is counted, and returns the work.
  let prepare: @Sendable () throws -> () throws -> Void

  static let all = [
    HotPath(name: "http-head") {
      {
        var parser = RequestParser()
        keep(try parser.parse(requestHead(bodyBytes: 1280)))
      }
    },
    HotPath(name: "safetensors") {
      let body = try SafetensorsFormat.encode(
        [
          ("image_features", tensor([64, 64])), ("text_features", tensor([4, 64])),
          ("attention", tensor([16, 64])),
          ("key", tensor([64, 64])),
        ], response: [:])
      return { keep(try SafetensorsFormat.decode(body[...], DecodingHints())) }
    },
    HotPath(name: "npy") {
      let body = try NPYFormat.encode([("image_features", tensor([64, 64]))], response: [:])
      return { keep(try NPYFormat.decode(body[...], DecodingHints())) }
    },
    HotPath(name: "json-matrix-64x1024") {
      let numbers = values(64 * 1024)
      let rows = (0..<64).map { row in
        "[" + numbers[row * 1024..<(row + 1) * 1024].map { "\($0)" }.joined(separator: ",") + "]"
      }
      let body = Array("{\"image_features\":[\(rows.joined(separator: ","))]}".utf8)
      return { keep(try JSONTensorFormat.decode(body[...], DecodingHints())) }
    },
    HotPath(name: "json-indices-640") {
      let kept = Array(stride(from: 0, to: 2560, by: 4))
      return {
        var writer = JSONWriter()
        writer.beginArray()
        writer.write(kept)
        writer.endArray()
        keep(writer.bytes)
      }
    },
    method("topk", tokens: 576, tensors: { ["attention": try tensor([576])] }),
    method("topk-1024x576-f16", "topk", tokens: 576, tensors: { ["attention": try halves([1024, 576])] }),
    method(
      "divprune-576x1024", "divprune", tokens: 576, tensors: { ["image_features": try tensor([576, 1024])] }),
    method(
      "cdpruner-576x1024", "cdpruner", tokens: 576,
      tensors: { ["image_features": try tensor([576, 1024]), "text_features": try tensor([16, 1024])] }),
    merging("tome"),
    merging("visionzip"),
    // A request whose head, form and parameters never came before.
    HotPath(name: "service-topk-1KB-new") { try answering(smallBody()) },
    HotPath(name: "service-crop-1KB-new") {
      try answering(
        safetensors(attention([576]), #"{"keep_tokens":64,"layout":{"type":"llava"}}"#),
        "POST /prune HTTP/1.1")
    },
    // What servers of models send: safetensors with the parameters in its metadata, the layout among them.
    serving("fastv-1KB", [576], #"{"method":"fastv","keep_tokens":64,"layout":{"type":"llava"}}"#),
    serving(
      "box-1KB", [576],
      #"{"method":"fastv","keep_tokens":64,"layout":{"type":"llava"},"region":{"box":[0.2,0.2,0.6,0.7]}}"#),
    serving("crop-1KB", [576], #"{"keep_tokens":64,"layout":{"type":"llava"}}"#),
    serving("fastv-36KB", [32, 576], #"{"method":"fastv","keep_tokens":64,"layout":{"type":"llava"}}"#),
    serving("crop-36KB", [32, 576], #"{"keep_tokens":64,"layout":{"type":"llava"}}"#),
    HotPath(name: "service-crop-json") {
      let numbers = try attention([576]).floats().map { String(Int($0 * 1e6)) }.joined(separator: "e-6,")
      let text = #"{"keep_tokens":64,"layout":{"type":"llava"},"attention":["# + numbers + "]}"
      return try repeating(Array(text.utf8), "POST /prune HTTP/1.1")
    },
    HotPath(name: "service-topk-1KB") { try repeating(smallBody(), topK) },
    HotPath(name: "service-topk-1.2MB") {
      try repeating(NPYFormat.encode([("attention", halves([1024, 576]))], response: [:]), topK)
    },
    HotPath(name: "service-uniform-1.2MB") {
      try repeating(NPYFormat.encode([("attention", halves([1024, 576]))], response: [:]), uniform)
    },
    HotPath(name: "service-crop-similarity-1.2MB") {
      let body = try SafetensorsFormat.encode(
        [("image_features", halves([576, 1024])), ("text_features", halves([16, 1024]))], response: [:])
      let scorer = "method_parameters=%7B%22scorer%22:%22similarity%22%7D"
      return try repeating(body, "POST /prune?keep_tokens=64&\(scorer) HTTP/1.1")
    },
  ]

  /// A safetensors request of one F16 tensor `attention`, like others that came before.
  private static func serving(_ name: String, _ shape: [Int], _ parameters: String) -> HotPath {
    HotPath(name: "service-" + name) {
      try repeating(safetensors(try attention(shape), parameters), "POST /prune HTTP/1.1")
    }
  }

  /// Rows over 24 x 24 tokens that look at one corner more than at the rest.
  private static func attention(_ dimensions: [Int]) throws -> Tensor {
    let shape = try Shape(dimensions)
    let noise = values(shape.elementCount)
    let bytes = noise.indices.flatMap { index in
      let (row, column) = (index % 576 / 24, index % 24)
      let value = abs(noise[index]) + ((3..<10).contains(row) && (6..<15).contains(column) ? 2 : 0)
      let bits = HalfPrecision.bits(of: value, as: .float16)
      return [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)]
    }
    return try Tensor(elementType: .float16, shape: shape, bytes: bytes[...])
  }

  private static func safetensors(_ attention: Tensor, _ parameters: String) -> [UInt8] {
    var metadata = JSONWriter()
    metadata.write(JSONValue.object(["parameters": .string(parameters)]))
    let shape = attention.shape.dimensions.map(String.init).joined(separator: ",")
    var header = Array(
      (#"{"__metadata__":"# + String(decoding: metadata.bytes, as: UTF8.self)
        + #","attention":{"dtype":"F16","shape":["# + shape + #"],"data_offsets":[0,"#
        + String(attention.bytes.count) + "]}}").utf8)
    while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) }
    return (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header + attention.bytes
  }

  private static func smallBody() throws -> [UInt8] {
    try NPYFormat.encode([("attention", tensor([576]))], response: [:])
  }

  private static func method(
    _ name: String, _ method: String? = nil, tokens: Int,
    tensors: @escaping @Sendable () throws -> [String: Tensor]
  ) -> HotPath {
    HotPath(name: method == nil ? "\(name)-\(tokens)" : name) {
      let input = PruningInput(tokenCount: tokens, tensors: try tensors(), layout: nil)
      let request = try PruneRequest(["method": .string(method ?? name), "keep_tokens": 64])
      return { keep(try prune(input, request).kept) }
    }
  }

  private static func merging(_ method: String) -> HotPath {
    HotPath(name: "\(method)-576x1024") {
      let tensors = ["image_features": try tensor([576, 1024]), "attention": try tensor([16, 576])]
      let input = PruningInput(tokenCount: 576, tensors: tensors, layout: nil)
      let request = try CompressRequest(["method": .string(method), "keep_tokens": 64])
      return { keep(try compress(input, request).keptIndices) }
    }
  }

  /// A whole small request without a socket: its head, admission, answer and bookkeeping.
  private static func answering(
    _ body: [UInt8], _ requestLine: String = topK
  ) throws -> () throws -> Void {
    let service = readyService()
    let bytes = requestHead(bodyBytes: body.count, requestLine)
    var response = Response(status: 200)
    return {
      var parser = RequestParser()
      guard case .head(var head, _) = try parser.parse(bytes) else { return }
      head.resolution = service.resolve(head, framing: .length(body.count))
      keep(service.admit(head, framing: .length(body.count)))
      answer(Request(head: head, body: body), by: service, into: &response)
    }
  }

  private static func readyService() -> Service {
    let lifecycle = Lifecycle()
    let service = Service(lifecycle: lifecycle, metrics: Metrics())
    lifecycle.enter(.ready)
    return service
  }

  /// The same for a head that came before: what the transport remembers of it is given, and the answer's buffers.
  private static func repeating(_ body: [UInt8], _ requestLine: String) throws -> () throws -> Void {
    let service = readyService()
    var parser = RequestParser()
    guard case .head(var head, _) = try parser.parse(requestHead(bodyBytes: body.count, requestLine)) else {
      return {}
    }
    head.resolution = service.resolve(head, framing: .length(body.count))
    let request = Request(head: head, body: body)
    var response = Response(status: 200)
    // The first one leaves what it prepared.
    keep(service.respond(to: request))
    return { answer(request, by: service, into: &response) }
  }

  private static func answer(_ request: Request, by service: Service, into response: inout Response) {
    var request = request
    keep(service.prepare(&request))
    response.clear()
    service.respond(to: request, into: &response)
    precondition(response.status == 200, "the request is a good one")
  }

  private static let topK = "POST /prune?keep_tokens=64&method=topk&tensor=attention HTTP/1.1"
  private static let uniform = "POST /prune?keep_tokens=64&method=uniform&tensor=attention HTTP/1.1"

  private static func requestHead(bodyBytes: Int, _ requestLine: String = topK) -> [UInt8] {
    let fields = [
      requestLine, "Host: 127.0.0.1:8080",
      "User-Agent: python-requests/2.32.3", "Accept-Encoding: gzip, deflate", "Accept: */*",
      "Connection: keep-alive", "Content-Type: application/octet-stream", "Content-Length: \(bodyBytes)",
    ]
    return Array((fields.joined(separator: "\r\n") + "\r\n\r\n").utf8)
  }

  /// Numbers alike within patches of 16 rows of 1,024, noisy on top; the same every time.
  private static func values(_ count: Int) -> [Float] {
    var state: UInt64 = 1
    func next() -> Float {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(Int32(truncatingIfNeeded: state >> 32)) * 0x1p-31
    }
    let centres = (0..<(count / 16 + 1024)).map { _ in next() }
    return (0..<count).map { centres[$0 / 16_384 * 1024 + $0 % 1024] + 0.5 * next() }
  }

  private static func tensor(_ dimensions: [Int]) throws -> Tensor {
    let shape = try Shape(dimensions)
    return try Tensor.float32(values(shape.elementCount), shape: shape)
  }

  private static func halves(_ dimensions: [Int]) throws -> Tensor {
    let shape = try Shape(dimensions)
    let bytes = values(shape.elementCount).flatMap { value in
      let bits = HalfPrecision.bits(of: abs(value), as: .float16)
      return [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)]
    }
    return try Tensor(elementType: .float16, shape: shape, bytes: bytes[...])
  }

  /// Keeps a result from being optimised away.
  @inline(never)
  private static func keep(_ value: some Any) {}
}
