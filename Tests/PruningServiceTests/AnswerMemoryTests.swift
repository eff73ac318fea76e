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
        lines.hasPrefix("Content-Type: application/json\r\nServer-Timing: receive;dur=0.000, compute;dur="))
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
      "method=topk&layout={\"type\":\"grid\",\"rows\":24,\"columns\":24}", "method=random&seed=3",
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
      "Accept: application/x-npy", "Accept: text/html, */*", "X-Request-Id: r1", "Origin: https://a.example",
      "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ])
  func otherFields(field: String) throws {
    let body = try Body([("attention", scores(576, seed: 1))]).npy()
    let head = try head("/prune?keep_tokens=64&method=topk", [field], length: body.count)
    for _ in 0..<4 {
      #expect(shortAnswer(head, body) == nil)
      _ = longAnswer(head, body)
    }
  }
}
