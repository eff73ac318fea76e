import HTTP1
import Testing

@testable import PruningService

@Suite("Cross-origin requests")
struct CrossOriginTests {
  private static let page = "https://app.example.org"

  private func service(_ origins: [String]?) -> TestService {
    var configuration = Service.Configuration(maximumBodyBytes: 1 << 20)
    configuration.crossOrigin = origins.map { CrossOrigin(allowing: $0) }
    return TestService(configuration)
  }

  private static let preflight = ["Origin: \(page)", "Access-Control-Request-Method: POST"]

  @Test("A preflight is answered for a path with its methods")
  func preflight() throws {
    let reply = try service([Self.page, "http://localhost:3000"]).send("OPTIONS /prune", Self.preflight)
    #expect(reply.status == 204 && reply.body.isEmpty)
    #expect(reply.field("Access-Control-Allow-Origin") == Self.page)
    #expect(reply.field("Access-Control-Allow-Methods") == "OPTIONS, POST")
    #expect(reply.field("Access-Control-Allow-Headers")?.contains("X-API-Key, Content-Type") == true)
    #expect(reply.field("Access-Control-Max-Age") == "7200")
    #expect(reply.field("Vary") == "Origin")
    #expect(reply.field("Access-Control-Expose-Headers") == nil)
    #expect(reply.field("Access-Control-Allow-Credentials") == nil)
  }

  @Test(
    "Answers and errors alike say whether the page may read them",
    arguments: ["GET /methods", "GET /nowhere", "DELETE /prune", "GET /livez", "POST /prune"])
  func answers(line: String) throws {
    let service = service([Self.page])
    let allowed = try service.send(line, ["Origin: \(Self.page)"])
    #expect(allowed.field("Access-Control-Allow-Origin") == Self.page)
    #expect(
      allowed.field("Access-Control-Expose-Headers")
        == "X-Request-Id, Server-Timing, traceparent, Retry-After, Inference-Header-Content-Length")
    #expect(allowed.field("Vary") == "Origin")
    for fields in [
      [], ["Origin: https://evil.example"], ["Origin: \(Self.page).evil.example"], ["Origin: null"],
      ["Origin: HTTPS://APP.EXAMPLE.ORG"], ["Origin: \(Self.page)", "Origin: \(Self.page)"], ["Origin: *"],
    ] {
      let other = try service.send(line, fields)
      #expect(other.status == allowed.status)
      #expect(other.field("Access-Control-Allow-Origin") == nil)
      #expect(other.field("Vary") == "Origin")
    }
  }

  @Test("A star allows every page, and then nothing varies")
  func star() throws {
    let reply = try service(["*"]).send("GET /methods", ["Origin: null"])
    #expect(reply.field("Access-Control-Allow-Origin") == "*" && reply.field("Vary") == nil)
    #expect(
      try service(["*"]).send("OPTIONS /prune", Self.preflight).field("Access-Control-Allow-Origin") == "*")
  }

  @Test("Without the setting nothing is said to browsers")
  func off() throws {
    let service = service(nil)
    for line in ["GET /methods", "OPTIONS /prune"] {
      let reply = try service.send(line, Self.preflight)
      #expect(!reply.fields.contains { $0.name.hasPrefix("Access-Control") || $0.name == "Vary" })
    }
  }

  @Test("A preflight from another page, or for nothing, allows nothing")
  func refusedPreflights() throws {
    let service = service([Self.page])
    let other = try service.send(
      "OPTIONS /prune", ["Origin: https://evil.example", "Access-Control-Request-Method: POST"])
    #expect(other.status == 204 && other.field("Allow") == "OPTIONS, POST")
    #expect(!other.fields.contains { $0.name.hasPrefix("Access-Control") })
    #expect(try service.send("OPTIONS /nowhere", Self.preflight).status == 404)
    let plain = try service.send("OPTIONS /prune", ["Origin: \(Self.page)"])
    #expect(plain.field("Access-Control-Allow-Methods") == nil)
  }

  @Test("What the transport refuses can be read by the page, too")
  func refusals() throws {
    let head = try TestService.head("POST /prune", ["Origin: \(Self.page)"])
    let response = service([Self.page]).service.refuse(.queueFull, head: head)
    #expect(response.fields.contains(Response.Field("Access-Control-Allow-Origin", Self.page)))
  }
}
