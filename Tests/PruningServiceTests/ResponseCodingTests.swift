import ContentCodings
import HTTP1
import Testing

@testable import PruningService

@Suite("Answers as gzip and deflate")
struct ResponseCodingTests {
  private let service: TestService
  private let plain = TestService()

  init() {
    var configuration = Service.Configuration(maximumBodyBytes: 1 << 20)
    configuration.compressesResponses = true
    configuration.crossOrigin = CrossOrigin(allowing: ["https://a.example"])
    service = TestService(configuration)
  }

  private func inflated(_ reply: Reply, _ coding: ContentCoding = .gzip) throws -> [UInt8] {
    let inflater = Inflater(coding, maximumOutputBytes: 1 << 24)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(1 << 24)
    #expect(try inflater.decode(reply.body[...], into: &bytes).step == .finished)
    return bytes
  }

  @Test(
    "Text of some size goes as gzip to who prefers that",
    arguments: ["/methods", "/openapi.yaml", "/openapi.json", "/assets/docs.js"])
  func texts(path: String) throws {
    let coded = try service.send("GET \(path)", ["Accept-Encoding: gzip, deflate, br"])
    let identity = try service.send("GET \(path)")
    #expect(coded.field("Content-Encoding") == "gzip" && identity.field("Content-Encoding") == nil)
    #expect(coded.field("Vary") == "Accept-Encoding, Origin")
    #expect(identity.field("Vary") == "Accept-Encoding, Origin")
    #expect(coded.body.count < identity.body.count / 2)
    #expect(try inflated(coded) == identity.body)
    #expect(coded.field("Server-Timing")?.contains("gzip;dur=") == true)
  }

  @Test("Who takes deflate and no gzip gets deflate", arguments: ["/methods", "/openapi.yaml"])
  func deflate(path: String) throws {
    let coded = try service.send("GET \(path)", ["Accept-Encoding: deflate, br"])
    let identity = try service.send("GET \(path)")
    #expect(coded.field("Content-Encoding") == "deflate")
    #expect(coded.field("Vary") == "Accept-Encoding, Origin")
    #expect(try inflated(coded, .deflate) == identity.body)
    #expect(coded.field("Server-Timing")?.contains("deflate;dur=") == true)
  }

  @Test(
    "Who wants neither gets neither",
    arguments: ["identity", "gzip;q=0", "br", "*;q=0", "deflate;q=0", "gzip;q=0.1, identity;q=1"])
  func refused(value: String) throws {
    let reply = try service.send("GET /methods", ["Accept-Encoding: \(value)"])
    #expect(reply.status == 200 && reply.field("Content-Encoding") == nil)
    #expect(reply.field("Vary") == "Accept-Encoding, Origin")
  }

  @Test("Short answers, answers without a body and tensors stay as they are")
  func ineligible() throws {
    let gzip = "Accept-Encoding: gzip"
    for line in ["GET /livez", "OPTIONS /prune", "GET /nowhere"] {
      let reply = try service.send(line, [gzip])
      #expect(reply.field("Content-Encoding") == nil && reply.field("Vary") == "Origin")
    }
    let scores = "[" + String(repeating: "0.5,", count: 999) + "0.5]"
    let body = #"{"attention": \#(scores), "keep_tokens": 900}"#
    let tensors = try service.post("/prune?method=topk", body, [gzip, "Accept: application/x-safetensors"])
    #expect(tensors.status == 200 && tensors.field("Content-Type") == "application/x-safetensors")
    #expect(tensors.field("Content-Encoding") == nil && tensors.field("Vary") == "Origin")
    let json = try service.post("/prune?method=topk", body, [gzip])
    #expect(json.field("Content-Encoding") == "gzip")
  }

  @Test("HEAD says what GET says, and metrics are text, too")
  func headAndMetrics() throws {
    let get = try service.send("GET /openapi.json", ["Accept-Encoding: gzip"])
    let head = try service.send("HEAD /openapi.json", ["Accept-Encoding: gzip"])
    #expect(head.field("Content-Encoding") == "gzip")
    #expect(head.body.count == get.body.count)
    let metrics = try service.send("GET /metrics", ["Accept-Encoding: gzip"])
    #expect(metrics.field("Content-Encoding") == "gzip")
    #expect(String(decoding: try inflated(metrics), as: UTF8.self).contains("crop_build_info"))
  }

  @Test("Nothing is compressed unless the server is told to")
  func off() throws {
    let reply = try plain.send("GET /openapi.json", ["Accept-Encoding: gzip"])
    #expect(reply.field("Content-Encoding") == nil && reply.field("Vary") == nil)
  }
}
