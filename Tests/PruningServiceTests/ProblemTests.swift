import HTTP1
import JSON
import Testing

@testable import PruningService

@Suite struct ProblemTests {
  /// A request, and what it must be rejected with.
  struct Refused: Sendable, CustomTestStringConvertible {
    let target: String
    let body: String
    let summary: String
    var testDescription: String { "\(target) \(body.prefix(60)) -> \(summary)" }

    init(_ target: String, _ body: String, _ summary: String) {
      self.target = target
      self.body = body
      self.summary = summary
    }
  }

  private static let row = "\"attention\":[1,2,3,4]"
  private static let matrix = "\"image_features\":[[1,0],[0,1],[1,1],[2,1]]"

  static let refused: [Refused] = [
    // Bytes and query.
    Refused("/prune", "{", "400 malformed-body"),
    Refused("/prune", "[]", "422 invalid-input"),
    Refused("/prune", "{\"attention\":[1,2]]", "400 malformed-body"),
    Refused("/prune", "{\(row),\"keep_tokens\":1,\"keep_tokens\":2}", "400 malformed-body at /keep_tokens"),
    Refused("/prune", "{\(row),\"seed\":NaN}", "400 malformed-body at /seed"),
    Refused("/prune?keep_tokens=%zz", "{\(row)}", "400 malformed-query"),
    Refused("/prune?keep_tokens=1&keep_tokens=2", "{\(row)}", "400 malformed-query"),
    Refused("/prune?tensor=a&tensor=b", "{\(row)}", "400 malformed-query"),
    Refused("/prune?tensor=key", "{\(row)}", "422 invalid-input at /tensor"),
    Refused("/prune?tensor_dtype=F32", "{\(row)}", "422 invalid-input at /tensor_dtype"),
    Refused("/prune?tensor_dtype=F31", "{\(row)}", "422 invalid-input at /tensor_dtype"),
    Refused("/prune?keep_tokens=1", "{\(row),\"keep_tokens\":1}", "422 invalid-input at /keep_tokens"),
    // Tensors.
    Refused("/prune", "{\"attention\":\"AAAA\",\"keep_tokens\":1}", "422 invalid-input at /attention"),
    Refused("/prune", "{\"attention\":[1,1e39],\"keep_tokens\":1}", "422 invalid-input at /attention/1"),
    Refused("/prune", "{\"attention\":[[[[[1]]]]],\"keep_tokens\":1}", "422 invalid-input at attention"),
    Refused("/prune", "{\(row),\"keep_tokens\":5,\"method\":\"topk\"}", "422 invalid-input at /keep_tokens"),
    Refused(
      "/compress", "{\"image_features\":[1,2],\"keep_tokens\":1}", "422 invalid-input at image_features"),
    Refused("/compress", "{\(row),\"keep_tokens\":1}", "422 invalid-input at image_features"),
    Refused(
      "/prune", "{\(row),\"image_features\":[[1],[2]],\"keep_tokens\":1}",
      "422 invalid-input at image_features"),
    Refused("/prune", "{\(row),\"atention\":[1,2,3,4]}", "422 unknown-parameter at atention"),
    Refused("/prune", "{\"keep_tokens\":1}", "422 invalid-input at /layout"),
    Refused("/prune", "{}", "422 invalid-input at /layout"),
    // Parameters.
    Refused("/prune", "{\(row),\"keep_token\":1}", "422 unknown-parameter at /keep_token"),
    Refused("/prune", "{\(row),\"a/b~c\":1}", "422 unknown-parameter at /a~1b~0c"),
    Refused("/localize", "{\(row),\"keep_tokens\":1}", "422 unknown-parameter at /keep_tokens"),
    Refused("/prune", "{\(row),\"dtype\":\"F16\",\"keep_tokens\":1}", "422 unknown-parameter at /dtype"),
    Refused("/prune", "{\(row),\"method\":\"topk\"}", "422 invalid-input at /keep_tokens"),
    Refused(
      "/prune", "{\(row),\"keep_tokens\":1.5,\"method\":\"topk\"}", "422 invalid-input at /keep_tokens"),
    Refused("/prune", "{\(row),\"keep_tokens\":-1,\"method\":\"topk\"}", "422 invalid-input at /keep_tokens"),
    Refused("/prune", "{\(row),\"keep_ratio\":0,\"method\":\"topk\"}", "422 invalid-input at /keep_ratio"),
    Refused("/prune", "{\(row),\"keep_ratio\":1,\"prune_ratio\":0}", "422 invalid-input at /prune_ratio"),
    Refused("/prune", "{\(row),\"keep_tokens\":1,\"method\":\"tpok\"}", "422 unknown-method at /method"),
    Refused("/prune?method=123", "{\(row),\"keep_tokens\":1}", "422 invalid-input at /method"),
    Refused("/prune?method=true", "{\(row),\"keep_tokens\":1}", "422 invalid-input at /method"),
    Refused("/prune?keep_tokens=", "{\(row),\"method\":\"topk\"}", "422 invalid-input at /keep_tokens"),
    Refused(
      "/prune", "{\(row),\"keep_tokens\":1,\"method\":\"topk\",\"method_parameters\":{\"x\":1}}",
      "422 invalid-input at /method_parameters/x"),
    Refused(
      "/prune", "{\(row),\"keep_tokens\":1,\"method_parameters\":{\"scorer\":5}}",
      "422 invalid-input at /method_parameters/scorer"),
    Refused("/prune", "{\(row),\"keep_tokens\":1,\"seed\":-1}", "422 invalid-input at /seed"),
    Refused("/prune", "{\(row),\"keep_tokens\":1,\"seed\":1e300}", "422 invalid-input at /seed"),
    Refused("/prune", "{\(row),\"keep_tokens\":1,\"batched\":1}", "422 invalid-input at /batched"),
    Refused("/prune", "{\(row),\"keep_tokens\":1,\"batched\":true}", "422 invalid-input at /batched"),
    Refused("/prune", "{\(row),\"keep_tokens\":1,\"renumber\":\"yes\"}", "422 invalid-input at /renumber"),
    Refused("/prune", "{\(row),\"keep_tokens\":1,\"explain\":1}", "422 invalid-input at /explain"),
    Refused(
      "/prune", "{\(row),\"keep_tokens\":1,\"region_policy\":\"nope\"}", "422 invalid-input at /region_policy"
    ),
    Refused(
      "/prune", "{\(row),\"keep_tokens\":1,\"region_policy\":\"share\"}", "422 invalid-input at /region_share"
    ),
    Refused(
      "/prune", "{\(row),\"keep_tokens\":1,\"model_dimensions\":{}}",
      "422 invalid-input at /model_dimensions/hidden"),
    Refused("/prune?region=[2,1]", "{\(row),\"keep_tokens\":1}", "422 invalid-input at /region/0"),
    Refused("/prune?region=[2,1,5,4]", "{\(row),\"keep_tokens\":1}", "422 invalid-input at /region"),
    Refused(
      "/prune", "{\(row),\"keep_tokens\":1,\"region\":{\"box\":[1]}}", "422 invalid-input at /region/box"),
    Refused(
      "/prune", "{\(row),\"keep_tokens\":1,\"region\":{\"blocks\":[0,0,0,0]},\"localize\":{}}",
      "422 invalid-input at /localize"),
    Refused("/prune", "{\(row),\"keep_tokens\":1,\"localize\":3}", "422 invalid-input at /localize"),
    Refused("/prune", "{\(matrix),\"keep_tokens\":1}", "422 invalid-input at /localize"),
    Refused(
      "/prune", "{\(row),\"keep_tokens\":1,\"layout\":{\"type\":\"grid\",\"rows\":3,\"columns\":3}}",
      "422 invalid-input at /layout"),
    Refused(
      "/prune", "{\(row),\"keep_tokens\":1,\"layout\":{\"type\":\"gird\"}}",
      "422 invalid-input at /layout/type"),
    Refused(
      "/prune", "{\(row),\"keep_tokens\":1,\"stages\":[{\"layer\":1,\"keep_tokens\":1}]}",
      "422 invalid-input at /keep_tokens"),
    Refused("/prune", "{\(row),\"stages\":[{\"layer\":1}]}", "422 invalid-input at /stages/0/keep_tokens"),
    Refused(
      "/prune", "{\(row),\"stages\":[{\"layer\":1,\"keep_tokens\":1,\"attention\":\"deep\"}]}",
      "422 invalid-input at /stages/0/attention"),
    Refused(
      "/compress", "{\(matrix),\"keep_tokens\":1,\"anchors\":\"best\"}", "422 invalid-input at /anchors"),
    Refused(
      "/compress", "{\(matrix),\"keep_tokens\":1,\"anchors\":\"attention\"}", "422 invalid-input at attention"
    ),
    Refused("/compress", "{\(matrix),\"keep_tokens\":0}", "422 invalid-input at /keep_tokens"),
    Refused(
      "/compress", "{\(matrix),\"keep_tokens\":1,\"mode\":\"queries\"}", "422 invalid-input at /mode"),
    Refused(
      "/compress", "{\(matrix),\"keep_tokens\":1,\"mode\":\"resampler\"}", "422 invalid-input at /model"),
    Refused("/compress", "{\(matrix),\"keep_tokens\":1,\"dtype\":\"I64\"}", "422 invalid-input at /dtype"),
    Refused("/compress", "{\(matrix),\"region_ratio\":0.5}", "422 invalid-input at /background_ratio"),
    Refused(
      "/localize", "{\(row),\"localize\":{\"source\":\"similarity\"}}", "422 invalid-input at image_features"),
    Refused("/localize", "{\(row),\"localize\":{\"sourse\":\"x\"}}", "422 invalid-input at /localize/sourse"),
    Refused("/localize", "{\"attention\":[1,2,3]}", "422 invalid-input at /layout"),
  ]

  @Test("a count that differs by one token is explained by [CLS]")
  func classToken() throws {
    let reply = try TestService().post(
      "/prune", "{\"attention\":[1,2,3,4,5],\(Self.matrix),\"keep_tokens\":1}")
    #expect(reply.status == 422)
    #expect(reply.text.contains("leave the [CLS] token out of both"))
  }

  @Test("A bad request is refused with its place", arguments: refused)
  func refusal(_ request: Refused) throws {
    let reply = try TestService().post(request.target, request.body)
    #expect(reply.summary == request.summary, "\(reply.text)")
    #expect(reply.field("Content-Type") == "application/problem+json")
    #expect(reply.json["status"] == .integer(reply.status))
    #expect(reply.json["instance"]?.stringValue == reply.field("X-Request-Id"))
    let place = reply.json["pointer"]?.stringValue.map { $0 + ": " } ?? ""
    // A detail that names the place needs no other in front.
    let detail = try #require(reply.json["detail"]?.stringValue)
    let line = try #require(reply.json["error"]?.stringValue)
    #expect(line == place + detail || line == detail)
  }

  @Test("What the transport refuses becomes a problem, with the flag that sets the limit")
  func refusals() throws {
    let service = TestService().service
    for (refusal, status, slug, word) in [
      (Refusal.framing(FramingError(400, "bad bytes")), 400, "bad-framing", "bad bytes"),
      (.framing(FramingError(501, "coding")), 501, "bad-framing", "coding"),
      (.framing(FramingError(414, "too long")), 414, "target-too-long", "too long"),
      (.framing(FramingError(431, "too much")), 431, "head-too-large", "too much"),
      (.framing(FramingError(413, "chunks")), 413, "body-too-large", "--max-body-bytes"),
      (.bodyTooLarge(limit: 77), 413, "body-too-large", "77 bytes; --max-body-bytes"),
      (.timedOut(phase: "head"), 408, "timed-out", "--header-timeout"),
      (.timedOut(phase: "body"), 408, "timed-out", "--body-timeout"),
      (.noMemoryBudget, 503, "overloaded", "--max-in-flight-bytes"),
      (.queueFull, 429, "overloaded", "--max-in-flight"),
      (.tooManyConnections, 503, "overloaded", "--max-connections"),
    ] {
      let reply = Reply(service.refuse(refusal, head: nil), isRejected: true)
      #expect(reply.summary == "\(status) \(slug)")
      #expect(reply.text.contains(word), "\(reply.text)")
      #expect((reply.field("Retry-After") == "1") == (slug == "overloaded"))
      #expect(reply.field("X-Request-Id")?.isEmpty == false)
    }
  }

  @Test("A declared body over the limit is refused on the head, naming limit and flag")
  func bodyTooLarge() throws {
    let service = TestService(maximumBodyBytes: 100)
    let body = [UInt8](repeating: 0x20, count: 101)
    let reply = try service.send("POST /prune", body: body)
    #expect(reply.isRejected && reply.summary == "413 body-too-large")
    #expect(reply.text.contains("100 bytes; --max-body-bytes"))
    #expect(try !service.send("POST /prune", body: body, isChunked: true).isRejected)
  }

  @Test("A long or unprintable value makes no long or unprintable problem")
  func bounded() throws {
    let long = String(repeating: "long", count: 50_000)
    let service = TestService()
    for body in [
      "{\"\(long)\":1}", "{\"\(long)\":[1]}", "{\"attention\":[1],\"method\":\"\(long)\",\"keep_tokens\":1}",
      "{\"attention\":[1],\"keep_tokens\":1,\"method\":\"topk\",\"method_parameters\":{\"\(long)\":1}}",
      "{\"image_features\":[[1]],\"keep_tokens\":1,\"mode\":\"\(long)\"}",
      "{\"image_features\":{\"dtype\":\"\(long)\",\"shape\":[1],\"data\":[1]}}",
      "{\"attention\":[1],\"keep_tokens\":1,\"stages\":[{\"\(long)\":1}]}",
      "{\"attention\":[1],\"keep_tokens\":1,\"region\":{\"text\":\"\(long)\"}}",
    ] {
      for target in ["/prune", "/compress", "/localize"] {
        let reply = try service.post(target, body)
        #expect((400..<500).contains(reply.status))
        #expect(reply.body.count < 3_500, "\(body.prefix(40)): \(reply.body.count)")
      }
    }
    let reply = try service.post("/prune", "{\"a\\u001b[31m\\u0085\\u007f\\n\":1}")
    let scalars = reply.text.dropLast().unicodeScalars
    #expect(!scalars.contains { $0.properties.generalCategory == .control })
  }
}
