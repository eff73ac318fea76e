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
    let overloaded = try service.send("GET \(path)")
    #expect(overloaded.status == 200 && overloaded.json["status"] == "overloaded")
    let strict = TestService(Service.Configuration(), staysReadyWhenOverloaded: false)
    #expect(try strict.send("GET \(path)").status == 200)
    strict.isOverloaded.value = true
    let refused = try strict.send("GET \(path)")
    #expect(refused.status == 503 && refused.json["status"] == "overloaded")
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

  @Test("/methods lists every registered method, and each has its own page")
  func methods() throws {
    let listed = try service.send("GET /methods").json["methods"]?.arrayValue ?? []
    let names = listed.compactMap { $0.objectValue?["name"]?.stringValue }
    #expect(names == MethodRegistry.standard.descriptors.map(\.name))
    for (name, description) in zip(names, listed) {
      #expect(try service.send("GET /methods/\(name)").json == description.objectValue)
    }
    let missing = try service.send("GET /methods/topkk")
    #expect(missing.summary == "404 unknown-method" && missing.text.contains("did you mean 'topk'?"))
  }

  @Test("HEAD is answered wherever GET is, OPTIONS everywhere, and other methods with Allow")
  func allow() throws {
    for (method, route) in Endpoints.standard.map({ ($0.method, $0.route) }) where !route.contains("{") {
      let allowed = method == "GET" ? "GET, HEAD, OPTIONS" : "OPTIONS, POST"
      let options = try service.send("OPTIONS \(route)")
      #expect(options.status == 204 && options.field("Allow") == allowed && options.body.isEmpty)
      #expect(try service.send("HEAD \(route)").status == (method == "POST" ? 405 : 200))
      let refused = try service.send("DELETE \(route)")
      // Paths of the Open Inference Protocol have errors of their own form.
      let summary = route.hasPrefix("/v2") ? "405" : "405 method-not-allowed"
      #expect(refused.summary == summary && refused.field("Allow") == allowed)
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
    #expect(try service.send("POST /v9/prune", body: [1]).isRejected)
  }

  @Test("A route has one spelling, which rules of a proxy can rely on")
  func spellings() throws {
    #expect(try service.send("GET http://a/livez").status == 200)
    for path in [
      "/%6Civez", "/%6Detrics", "/metrics%3F", "/methods/%74opk", "/methods%2Ftopk", "/livez%", "/livez%zz",
      "/livez%00",
      "/%ff", "//metrics", "/./metrics", "/x/../metrics", "/METRICS", "/metrics/", "/metrics;x",
    ] {
      #expect(try service.send("GET \(path)").status == 404, "\(path)")
    }
  }

  @Test(
    "The root is the playground for browsers, a list of addresses for programs, and the default check of HAProxy"
  )
  func root() throws {
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
    let reply = try service.send("GET /", ["Accept: \(browser)"])
    #expect(reply.status == 200 && reply.field("Content-Type") == "text/html; charset=utf-8")
    #expect(reply.field("Vary") == "Accept")
    let policy = try #require(reply.field("Content-Security-Policy"))
    #expect(policy.hasPrefix("default-src 'none'; script-src 'self'; style-src 'self';"))
    #expect(!policy.contains("unsafe"))
    for accept in [[], ["Accept: */*"], ["Accept: application/json"], ["Accept: text/html;q=0.1, */*"]] {
      let index = try service.send("GET /", accept)
      #expect(index.status == 200 && index.field("Content-Type") == "application/json", "\(accept)")
    }
    #expect(try service.send("OPTIONS /").status == 204)
  }

  @Test("No answer may be taken for another type than it says")
  func nosniff() throws {
    for line in [
      "GET /", "GET /livez", "GET /docs", "GET /openapi.json", "GET /nowhere", "DELETE /prune",
      "OPTIONS /prune",
      "POST /prune",
    ] {
      #expect(try service.send(line).field("X-Content-Type-Options") == "nosniff", "\(line)")
    }
    let refused = Reply(service.service.refuse(.queueFull, head: nil), isRejected: true)
    #expect(refused.field("X-Content-Type-Options") == "nosniff")
  }

  @Test("Every status that a problem has comes with its reason phrase")
  func phrases() {
    for status in Set(ProblemType.allCases.map(\.status) + [200, 204, 302]) {
      var line: [UInt8] = []
      ResponseSerializer.appendHead(
        Response(status: status), keepAlive: true, version: .http11, date: nil, to: &line)
      let text = String(decoding: line.prefix { $0 != 0x0d }, as: UTF8.self)
      #expect(text.utf8.count > "HTTP/1.1 401 ".utf8.count, "\(text)")
    }
  }

  @Test("Metrics can be served by a listener of their own, and then nowhere else")
  func exposure() throws {
    let lifecycle = Lifecycle()
    let metrics = Metrics()
    func status(_ path: String, _ exposure: Service.Exposure) throws -> Int {
      let service = Service(lifecycle: lifecycle, metrics: metrics, exposure: exposure)
      let head = try TestService.head("GET \(path)")
      guard case .reject(let response) = service.admit(head, framing: .none) else { return 200 }
      return response.status
    }
    for (path, everywhere, requests, administration) in [
      ("/livez", 200, 200, 200), ("/metrics", 200, 404, 200), ("/methods", 200, 200, 404),
      ("/docs", 200, 200, 404),
      ("/prune", 405, 405, 404), ("/", 200, 200, 404),
    ] {
      #expect(try status(path, .all) == everywhere, "\(path)")
      #expect(try status(path, .allButMetrics) == requests, "\(path)")
      #expect(try status(path, .administration) == administration, "\(path)")
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
