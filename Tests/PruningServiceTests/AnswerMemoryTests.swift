import HTTP1
import JSON
import Tensors
import Testing

@testable import PruningService

/// The short way against the long one.
@Suite struct AnswerMemoryTests {
  private let client = TestService()

  /// One head, as a transport keeps it.
  private func head(_ target: String, _ fields: [String] = [], length: Int) throws -> RequestHead {
    var head = try TestService.head("POST \(target)", fields, contentLength: length)
    head.resolution = client.service.resolve(head, framing: .length(length))
    return head
  }

  private func shortAnswer(_ head: RequestHead, _ body: [UInt8]) -> Response? {
    var response = Response(status: 200)
    let isAnswered = client.service.respondAtOnce(to: Request(head: head, body: body), into: &response)
    return isAnswered ? response : nil
  }

  private func longAnswer(_ head: RequestHead, _ body: [UInt8]) -> Response {
    client.service.respond(to: Request(head: head, body: body))
  }

  private func scores(_ count: Int, seed: UInt64, _ type: ElementType = .float32) throws -> Tensor {
    let tensor = try Tensor.random([count], seed: seed)
    guard type == .float16 else { return tensor }
    var bits: [UInt8] = []
    for value in tensor.floats() {
      // Every 16-bit pattern with this exponent is finite.
      let pattern = UInt16(truncatingIfNeeded: value.bitPattern >> 8) & 0xbbff
      bits += [UInt8(pattern & 0xff), UInt8(pattern >> 8)]
    }
    return try Tensor(elementType: .float16, shape: Shape([count]), bytes: bits[...])
  }

  @Test(
    "From the third request on the short way answers, with the same bytes and the same facts for the log",
    arguments: [ElementType.float16, .float32], [Format.npy, .safetensors])
  func sameAnswer(type: ElementType, format: Format) throws {
    let bodies = try (0..<20).map { try format.body(scores(576, seed: $0, type)) }
    let head = try head("/prune?keep_tokens=64&method=topk", length: bodies[0].count)
    for (index, body) in bodies.enumerated() {
      let short = shortAnswer(head, body)
      let long = longAnswer(head, body)
      #expect((short != nil) == (index >= 2))
      guard let short else { continue }
      #expect(short.body == long.body && short.status == 200)
      #expect(short.annotations.dropFirst() == long.annotations.dropFirst())
      #expect(short.annotations.first?.name == "id" && short.annotations.first?.value.utf8.count == 32)
      let lines = String(decoding: short.fieldLines, as: UTF8.self)
      #expect(
        lines.hasPrefix(
          "Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
            + "Server-Timing: receive;dur=0.000, compute;dur="))
      #expect(lines.hasSuffix("\r\nX-Request-Id: \(short.annotations[0].value)\r\n"))
    }
  }

  enum Format: CaseIterable {
    case npy, safetensors

    func body(_ tensor: Tensor) throws -> [UInt8] {
      let body = Body([("attention", tensor)])
      return self == .npy ? try body.npy() : body.safetensors()
    }
  }

  @Test("Bodies of other shapes, and scores that are refused, go the long way")
  func otherBodies() throws {
    let body = try Body([("attention", scores(576, seed: 1))]).npy()
    let head = try head("/prune?keep_tokens=64&method=topk", length: body.count)
    for _ in 0..<3 { _ = longAnswer(head, body) }
    #expect(shortAnswer(head, body) != nil)
    #expect(shortAnswer(head, try Body([("attention", scores(575, seed: 1))]).npy()) == nil)
    #expect(shortAnswer(head, try Body([("attention", scores(576, seed: 1, .float16))]).npy()) == nil)
    #expect(shortAnswer(head, Array(body.dropLast())) == nil)
    for bits in [Float.nan, .infinity] {
      var refused = body
      withUnsafeBytes(of: bits.bitPattern.littleEndian) {
        refused.replaceSubrange((body.count - 4)..., with: $0)
      }
      #expect(shortAnswer(head, refused) == nil)
      #expect(longAnswer(head, refused).status == 422)
    }
  }

  @Test(
    "What may change an answer beside its indices keeps a request on the long way",
    arguments: [
      "method=topk&explain=true", "method=topk&renumber=true", "method=topk&budget_scope=tile",
      "method=fastv",
      "method=topk&layout={\"type\":\"grid\",\"rows\":24,\"columns\":24}", "method=uniform&renumber=true",
      "method=random&explain=true",
    ])
  func otherParameters(query: String) throws {
    let body = try Body([("attention", scores(576, seed: 1))]).npy()
    let escaped = query.replacing("{", with: "%7B").replacing("}", with: "%7D").replacing("\"", with: "%22")
    let head = try head("/prune?keep_tokens=64&\(escaped)", length: body.count)
    for _ in 0..<4 {
      #expect(shortAnswer(head, body) == nil)
      _ = longAnswer(head, body)
    }
  }

  @Test(
    "So do fields that ask for more than the usual answer",
    arguments: [
      "Accept: application/x-npy", "Accept: text/html, */*", "Origin: https://a.example",
    ])
  func otherFields(field: String) throws {
    let body = try Body([("attention", scores(576, seed: 1))]).npy()
    let head = try head("/prune?keep_tokens=64&method=topk", [field], length: body.count)
    for _ in 0..<4 {
      #expect(shortAnswer(head, body) == nil)
      _ = longAnswer(head, body)
    }
  }

  @Test(
    "Methods that look at shapes alone answer from memory, whatever the tensor holds",
    arguments: Format.allCases)
  func shapesAlone(format: Format) throws {
    for query in ["method=uniform", "method=random&seed=3", "method=random", "method=uniform&keep_ratio=0.5"]
    {
      let bodies = try (0..<6).map { try format.body(Tensor.random([40, 576], seed: $0)) }
      let budget = query.contains("keep_ratio") ? "" : "&keep_tokens=64"
      let head = try head("/prune?\(query)\(budget)", length: bodies[0].count)
      for (index, body) in bodies.enumerated() {
        let short = shortAnswer(head, body)
        let long = longAnswer(head, body)
        #expect((short != nil) == (index >= 2))
        #expect(long.status == 200 && short?.body ?? long.body == long.body)
        if let short { #expect(short.annotations.dropFirst() == long.annotations.dropFirst()) }
      }
      // The same bytes in another shape.
      let other = try format.body(Tensor.random([576, 40], seed: 0))
      #expect(other.count == bodies[0].count && shortAnswer(head, other) == nil)
    }
  }

  @Test(
    "Top-k over the mean of rows answers from memory, with the same bytes",
    arguments: [[2, 576], [33, 100], [4, 9, 64], [1, 576], [300, 300]], [ElementType.float16, .float32])
  func means(dimensions: [Int], type: ElementType) throws {
    let bodies = try (0..<8).map { seed in
      let count = dimensions.reduce(1, *)
      let scores = try scores(count, seed: UInt64(seed), type)
      let tensor = try Tensor(elementType: type, shape: Shape(dimensions), bytes: scores.bytes)
      return try Format.npy.body(tensor)
    }
    // Three axes may be images; many rows need a name.
    let more = dimensions.count == 3 ? "&batched=false" : dimensions[0] > 128 ? "&tensor=attention" : ""
    let head = try head("/prune?keep_tokens=20&method=topk\(more)", length: bodies[0].count)
    for (index, body) in bodies.enumerated() {
      let short = shortAnswer(head, body)
      let long = longAnswer(head, body)
      #expect(long.status == 200 && (short != nil) == (index >= 2))
      if let short { #expect(short.body == long.body) }
    }
    // The last element of all becomes NaN, then the first one infinite.
    for (place, pattern) in [(bodies[0].count - 2, [0xff, 0x7f]), (128, [0x00, 0x7c])] as [(Int, [UInt8])] {
      guard type == .float16 else { continue }
      var refused = bodies[0]
      refused.replaceSubrange(place..<(place + 2), with: pattern)
      #expect(shortAnswer(head, refused) == nil && longAnswer(head, refused).status == 422)
    }
  }

  @Test(
    "Rows added up while the body arrives give the same answer, however it is cut",
    arguments: [1, 100, 1151, 4000, 100_000])
  func whileArriving(step: Int) throws {
    let bodies = try (0..<6).map { seed in
      let scores = try scores(20 * 576, seed: UInt64(seed), .float16)
      return try Format.npy.body(Tensor(elementType: .float16, shape: Shape([20, 576]), bytes: scores.bytes))
    }
    let head = try head("/prune?keep_tokens=64&method=topk", length: bodies[0].count)
    #expect(client.service.reader(for: head, length: bodies[0].count) == nil)
    for _ in 0..<2 { _ = longAnswer(head, bodies[0]) }
    #expect(client.service.reader(for: head, length: bodies[0].count - 1) == nil)
    var infinite = bodies[1]
    infinite.replaceSubrange((infinite.count - 1154)..<(infinite.count - 1152), with: [0x00, 0x7c])
    // Another header, that of 10 rows of 1152.
    let other = try Format.npy.body(
      Tensor(elementType: .float16, shape: Shape([10, 1152]), bytes: bodies[0][128...]))
    for body in bodies + [infinite, other] {
      let reader = try #require(client.service.reader(for: head, length: body.count))
      var end = 0
      // The last piece may never be shown.
      for next in stride(from: step, to: body.count + (step == 100 ? 0 : step), by: step) {
        end = min(next, body.count)
        reader.read(Array(body[..<end]))
      }
      var response = Response(status: 200)
      let request = Request(head: head, body: body)
      let isAnswered = client.service.respondAtOnce(to: request, reader: reader, into: &response)
      let long = longAnswer(head, body)
      #expect(isAnswered == (body != infinite && body != other))
      #expect(isAnswered ? response.body == long.body : (long.status == 422) == (body == infinite))
    }
  }

  @Test("Matrices that take long are left to the pool")
  func largeMatrices() throws {
    for shape in [[3, 5000], [100, 5000]] {
      let body = try Format.npy.body(Tensor.random(shape, seed: 1))
      let head = try head("/prune?keep_tokens=2&method=topk", length: body.count)
      for _ in 0..<3 { #expect(longAnswer(head, body).status == 200) }
      #expect(shortAnswer(head, body) == nil)
    }
  }

  @Test("An id and a trace context come back from memory as they do from a full answer")
  func identity() throws {
    let body = try Body([("attention", scores(576, seed: 1))]).npy()
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    let cases = [
      ["X-Request-Id: r1"], ["traceparent: \(trace)"], ["X-Request-Id: r1", "traceparent: \(trace)"],
      // What is not accepted is answered with a new id, or with none.
      ["X-Request-Id: r 1"], ["X-Request-Id: r1", "X-Request-Id: r2"], ["traceparent: 00-1"],
      ["traceparent: ff\(trace.dropFirst(2))"], ["traceparent: 01\(trace.dropFirst(2))-more"],
      ["traceparent: \(trace)-more"], ["traceparent: \(trace)", "traceparent: \(trace)"],
      ["X-Request-Id: \(String(repeating: "x", count: 129))"],
    ]
    for fields in cases {
      let head = try head("/prune?keep_tokens=64&method=topk", fields, length: body.count)
      for _ in 0..<2 { _ = longAnswer(head, body) }
      let short = try #require(shortAnswer(head, body))
      let long = longAnswer(head, body)
      let given = long.fields.filter { ["X-Request-Id", "traceparent"].contains($0.name) }
      let isFresh = given[0].value.utf8.count == 32
      let expected = given.dropFirst(isFresh ? 1 : 0).map { "\($0.name): \($0.value)\r\n" }.joined()
      let lines = String(decoding: short.fieldLines, as: UTF8.self)
      #expect(lines.hasSuffix(expected) && lines.contains("traceparent") == expected.contains("traceparent"))
      #expect(lines.contains("X-Request-Id: "))
      if !isFresh { #expect(short.annotations[0].value == given[0].value) }
    }
  }
}
