import HTTP1
import JSON
import Testing
import TokenPruning

@testable import PruningService

@Suite struct EndpointTests {
  private let service = TestService()

  @Test("Liveness is 200 in every phase", arguments: [Lifecycle.Phase.starting, .ready, .draining])
  func liveness(phase: Lifecycle.Phase) throws {
    service.lifecycle.enter(phase)
    let reply = try service.send("GET /livez")
    #expect(reply.status == 200 && reply.text == "{\"status\":\"live\"}\n")
  }

  @Test(
    "Readiness is 200 only when requests are wanted", arguments: ["/readyz", "/healthz", "/health", "/ping"])
  func readiness(path: String) throws {
    #expect(try service.send("GET \(path)").status == 200)
    for (phase, word) in [(Lifecycle.Phase.starting, "starting"), (.draining, "draining")] {
      service.lifecycle.enter(phase)
      let reply = try service.send("GET \(path)")
      #expect(reply.status == 503 && reply.json["status"] == .string(word))
      #expect(reply.field("Retry-After") == "1")
    }
    service.lifecycle.enter(.ready)
    service.isOverloaded.value = true
    #expect(try service.send("GET \(path)").json["status"] == "overloaded")
  }

  @Test("Probes are exempt from limits, operations are not")
  func exemption() throws {
    func isExempt(_ line: String, _ framing: BodyFraming) throws -> Bool {
      guard case .accept(let acceptance) = service.service.admit(try TestService.head(line), framing: framing)
      else { return false }
      return acceptance.isExemptFromLimits
    }
    #expect(try isExempt("GET /livez", .none) && isExempt("GET /metrics", .none))
    #expect(try !isExempt("GET /methods", .none) && !isExempt("POST /prune", .length(10)))
  }

  @Test(
    "A prune by a linear method runs inline when it is small, and up to a size while nothing else does; others while nobody else is connected"
  )
  func execution() throws {
    let service = TestService(maximumBodyBytes: 4 << 20)
    func execution(_ line: String, _ framing: BodyFraming) throws -> Acceptance.Execution? {
      guard case .accept(let acceptance) = service.service.admit(try TestService.head(line), framing: framing)
      else { return nil }
      return acceptance.execution
    }
    #expect(try execution("POST /prune?method=topk", .length(100)) == .inline)
    #expect(try execution("POST /prune?method=divprune", .length(100)) == .inlineWhenAlone)
    #expect(try execution("POST /prune?method=divprune", .length(3 << 20)) == .pooled)
    #expect(try execution("POST /prune?method=divprune&faithful=true", .length(100)) == .pooled)
    #expect(try execution("POST /prune?method=unheard-of", .length(100)) == .pooled)
    #expect(try execution("POST /prune?method=topk", .length(100_000)) == .inlineWhenIdle)
    #expect(try execution("POST /prune?method=topk", .length(3 << 20)) == .pooled)
    #expect(try execution("POST /prune?method=topk", .chunked) == .pooled)
    #expect(try execution("POST /prune?method=topk&method=topk", .length(100)) == .pooled)
    #expect(try execution("POST /prune", .length(100)) == .pooled)
    #expect(try execution("POST /localize?method=topk", .length(100)) == .pooled)
  }

  @Test("/methods lists every registered method, and each has its own page")
  func methods() throws {
    let listed = try service.send("GET /methods").json["methods"]?.arrayValue ?? []
    let names = listed.compactMap { $0.objectValue?["name"]?.stringValue }
    #expect(names == MethodRegistry.standard.descriptors.map(\.name))
    for (name, description) in zip(names, listed) {
      #expect(try service.send("GET /methods/\(name)").json == description.objectValue)
    }
    #expect(try service.send("GET /methods/%74opk").json["name"] == "topk")
    let missing = try service.send("GET /methods/topkk")
    #expect(missing.summary == "404 unknown-method" && missing.text.contains("did you mean 'topk'?"))
  }

  @Test("HEAD is answered wherever GET is, OPTIONS everywhere, and other methods with Allow")
  func allow() throws {
    for (method, route) in Service.routes where !route.contains("{") {
      let allowed = method == "GET" ? "GET, HEAD, OPTIONS" : "OPTIONS, POST"
      let options = try service.send("OPTIONS \(route)")
      #expect(options.status == 204 && options.field("Allow") == allowed && options.body.isEmpty)
      #expect(try service.send("HEAD \(route)").status == (method == "GET" ? 200 : 405))
      let refused = try service.send("DELETE \(route)")
      #expect(refused.summary == "405 method-not-allowed" && refused.field("Allow") == allowed)
    }
    #expect(try service.send("OPTIONS *").field("Allow") == "GET, HEAD, OPTIONS, POST")
    let connect = try service.send("CONNECT example.org:443")
    #expect(connect.summary == "405 method-not-allowed" && connect.field("Allow") != nil)
  }

  @Test("A wrong path names the nearest one")
  func notFound() throws {
    for (path, hint) in [
      ("/prune/", "/prune"), ("/methods/", "/methods"), ("/metrisc", "/metrics"), ("/Prune", "/prune"),
    ] {
      let reply = try service.send("GET \(path)")
      #expect(reply.summary == "404 not-found")
      #expect(reply.text.contains("did you mean \(hint)?"), "\(reply.text)")
    }
    #expect(try service.send("GET /" + String(repeating: "x", count: 5_000)).body.count < 1_500)
    #expect(try service.send("GET /").status == 404)
    #expect(try service.send("POST /v9/prune", body: [1]).isRejected)
  }

  @Test("Escapes in a path are resolved, but hide no slash")
  func escapes() throws {
    #expect(try service.send("GET /%6Civez").status == 200)
    #expect(try service.send("GET http://a/livez").status == 200)
    for path in ["/methods%2Ftopk", "/livez%", "/livez%zz", "/livez%00", "/%ff"] {
      #expect(try service.send("GET \(path)").status == 404, "\(path)")
    }
  }

  @Test("Every answer carries a request id and how long its phases took")
  func identity() throws {
    for line in ["GET /livez", "GET /nowhere", "POST /prune", "OPTIONS /prune"] {
      let reply = try service.send(line, ["X-Request-Id: abc-1"])
      #expect(reply.field("X-Request-Id") == "abc-1")
      #expect(reply.isRejected || reply.field("Server-Timing")?.hasPrefix("receive;dur=") == true)
    }
    let reply = try service.post("/prune", "{\"attention\":[1,2,3,4],\"keep_tokens\":2,\"method\":\"topk\"}")
    let phases = reply.field("Server-Timing")?.split(separator: ",").map { $0.split(separator: ";")[0] }
    #expect(phases == ["receive", " decode", " compute", " encode"])
    #expect(reply.field("X-Request-Id")?.utf8.count == 32)
  }

  @Test(
    "An id that could do harm is replaced by a fresh one",
    arguments: [
      "X-Request-Id: ", "X-Request-Id: a b", "X-Request-Id: \u{e9}",
      "X-Request-Id: " + String(repeating: "a", count: 129), "X-Request-Id: a\r\nX-Request-Id: b",
    ])
  func hostileIdentity(field: String) throws {
    let id = try service.send("GET /livez", [field]).field("X-Request-Id")
    #expect(id?.utf8.count == 32 && id?.utf8.allSatisfy { $0 < 0x7f } == true)
  }

  @Test("A well-formed traceparent comes back, any other does not")
  func traceparent() throws {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"
    for (value, isAccepted) in [
      ("00-\(trace)-01", true), ("00-\(trace)-00", true), ("cc-\(trace)-01-what-ever", true),
      ("00-\(trace)-01-more", false), ("ff-\(trace)-01", false), ("00-\(trace.uppercased())-01", false),
      ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
      ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false), ("00-\(trace)", false),
      ("00-\(trace)-1", false), ("", false), ("00-\(trace)-01\r\ntraceparent: 00-\(trace)-01", false),
    ] {
      let reply = try service.send("GET /livez", ["traceparent: \(value)"])
      #expect(reply.field("traceparent") == (isAccepted ? value : nil), "\(value)")
    }
  }
}
