import HTTP1
import JSON
import Testing

@testable import PruningService

@Suite struct LogAndMetricsTests {
  private func exchange(
    _ head: RequestHead?, status: Int = 200, annotations: [Response.Field] = [], isBroken: Bool = false
  ) -> Exchange {
    Exchange(
      head: head, status: status, annotations: annotations, bodyBytesReceived: 10, bytesSent: 20,
      receiveNanoseconds: 1_500_000, respondNanoseconds: 70_000, writeNanoseconds: 0,
      remoteAddress: "127.0.0.1:5",
      connection: 3, isBroken: isBroken)
  }

  @Test("An answered request is one line with the facts of its answer")
  func textLine() throws {
    let service = TestService()
    let reply = try service.post(
      "/prune", "{\"attention\":[1,2,3,4],\"keep_tokens\":2,\"method\":\"topk\"}", ["X-Request-Id: r1"])
    service.service.finished(
      exchange(try TestService.head("POST /prune?x=secret"), annotations: reply.annotations))
    #expect(
      service.log.all == [
        "2025-01-02T03:04:05.678Z info request id=r1 format=json pruning_method=topk images=1 tokens=4 kept=2 "
          + "method=POST route=/prune status=200 bytes_in=10 bytes_out=20 receive_ms=1.5 respond_ms=0.07 "
          + "write_ms=0.0 remote=127.0.0.1:5 connection=3\n"
      ])
  }

  @Test("A client can add neither lines nor fields to the log", arguments: AccessLog.Format.allCases)
  func injection(format: AccessLog.Format) throws {
    for id in ["a=b", "a\"b", "a\\b", "status=500", "{\"x\":1}"] {
      let service = TestService(logFormat: format)
      let head = try TestService.head(
        "GET /x%0a%20status=200/nowhere?a=%0d%0a", ["X-Request-Id: \(id)", "User-Agent: a status=1"])
      guard case .reject(let response) = service.service.admit(head, framing: .none) else {
        Issue.record("a path of nowhere was accepted")
        continue
      }
      service.service.finished(exchange(head, status: 404, annotations: response.annotations))
      let line = try #require(service.log.all.first)
      #expect(service.log.all.count == 1 && line.filter { $0 == "\n" }.count == 1 && line.hasSuffix("\n"))
      if format == .json {
        let members = try #require(try JSONValue.parse(Array(line.utf8)[...]).objectValue)
        #expect(members["id"] == .string(id) && members["status"] == 404 && members["route"] == "-")
      } else {
        #expect(line.contains(" id=\(JSONValue.string(id)) problem=not-found "), "\(line)")
        #expect(line.components(" status=") == 1 && !line.contains("%0d") && !line.contains("User"))
        #expect(line.contains(" route=- path=\"/x%0a%20status=200/nowhere\" status=404 "), "\(line)")
      }
    }
  }

  @Test("The log names the trace of a request and the reason of an error")
  func traceAndReason() throws {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    let service = TestService()
    let fields = ["X-Request-Id: r1", "traceparent: 00-\(trace)-00f067aa0ba902b7-01"]
    let reply = try service.send("GET /metrisc", fields)
    service.service.finished(
      exchange(try TestService.head("GET /metrisc", fields), status: 404, annotations: reply.annotations))
    let line = try #require(service.log.all.first)
    #expect(line.contains(" trace=\(trace) "), "\(line)")
    #expect(line.contains(" reason=\"no endpoint at /metrisc; did you mean /metrics?\" "), "\(line)")
    #expect(line.contains(" route=- path=/metrisc status=404 "), "\(line)")
  }

  @Test("A reason in the log stays short whatever a client sent")
  func longReason() throws {
    let reply = try TestService().post("/prune", "{\"method\":\"\(String(repeating: "x", count: 5_000))\"}")
    let reason = try #require(reply.annotations.first { $0.name == "reason" })
    #expect(reply.status == 422 && reason.value.utf8.count <= 210)
  }

  @Test("Bytes that never became a request are logged and counted as such")
  func noHead() throws {
    let service = TestService()
    service.service.finished(exchange(nil, status: 400, isBroken: true))
    #expect(service.log.all.first?.contains(" method=- route=- status=400 ") == true)
    #expect(service.log.all.first?.hasSuffix(" broken=true\n") == true)
    let metrics = try service.send("GET /metrics").text
    #expect(metrics.contains("crop_http_requests_total{route=\"none\",method=\"none\",code=\"400\"} 1\n"))
    #expect(metrics.contains("crop_http_responses_broken_total 1\n"))
  }

  @Test("Refusals are counted by reason, and every reason is there before its first")
  func refusals() throws {
    let service = TestService()
    #expect(try service.send("GET /metrics").text.components("crop_http_refusals_total{") == 9)
    for (refusal, reason) in [
      (Refusal.framing(FramingError("x")), "framing"), (.coding(.tooLarge(limit: 1)), "coding"),
      (.bodyTooLarge(limit: 1), "body-too-large"),
      (.timedOut(phase: "head"), "head-timeout"), (.timedOut(phase: "body"), "body-timeout"),
      (.noMemoryBudget, "memory"), (.queueFull, "queue"), (.tooManyConnections, "connections"),
    ] {
      let sample = "crop_http_refusals_total{reason=\"\(reason)\"}"
      #expect(try service.send("GET /metrics").text.contains("\(sample) 0\n"), "\(reason)")
      _ = service.service.refuse(refusal, head: nil)
      #expect(try service.send("GET /metrics").text.contains("\(sample) 1\n"), "\(reason)")
    }
  }

  @Test("Probes are counted but not logged")
  func probes() throws {
    let service = TestService()
    service.service.finished(exchange(try TestService.head("GET /livez")))
    service.service.finished(exchange(try TestService.head("HEAD /metrics")))
    #expect(service.log.all.isEmpty)
    let metrics = try service.send("GET /metrics").text
    #expect(metrics.contains("{route=\"/livez\",method=\"GET\",code=\"200\"} 1"))
  }

  @Test("Labels come from fixed sets, whatever clients invent")
  func cardinality() throws {
    let service = TestService()
    for index in 0..<200 {
      service.service.finished(exchange(try TestService.head("M\(index) /p\(index)"), status: 404))
      service.service.finished(exchange(try TestService.head("GET /methods/m\(index)"), status: 404))
    }
    service.service.finished(exchange(try TestService.head("GET /prune"), status: 405))
    let metrics = try service.send("GET /metrics").text
    #expect(metrics.components("crop_http_requests_total{") == 3)
    #expect(metrics.contains("{route=\"none\",method=\"other\",code=\"404\"} 200\n"))
    #expect(metrics.contains("{route=\"/methods/{name}\",method=\"GET\",code=\"404\"} 200\n"))
    #expect(metrics.contains("{route=\"/prune\",method=\"GET\",code=\"405\"} 1\n"))
  }

  @Test("The exposition is well-formed: families once, each before its samples, histograms cumulative")
  func exposition() throws {
    let service = TestService()
    service.service.metrics.add(.init("crop_connections", "Open connections.", read: { 2.5 }))
    _ = try service.post("/prune", "{\"attention\":[1,2,3,4],\"keep_tokens\":1,\"method\":\"topk\"}")
    service.service.finished(exchange(try TestService.head("POST /prune")))
    let reply = try service.send("GET /metrics")
    #expect(reply.field("Content-Type") == "text/plain; version=0.0.4; charset=utf-8")
    var families: [String] = []
    var buckets: [Int] = []
    for line in reply.text.split(separator: "\n") {
      let words = line.split(separator: " ")
      if line.hasPrefix("# TYPE ") {
        #expect(!families.contains(String(words[2])))
        families.append(String(words[2]))
      } else if !line.hasPrefix("#") {
        let name = String(words[0].prefix { $0 != "{" })
        #expect(families.last.map { name == $0 || name.hasPrefix($0 + "_") } == true, "\(line)")
        #expect(Double(words[1]) != nil && name.hasPrefix("crop_"), "\(line)")
        if name.hasSuffix("_bucket") { buckets.append(Int(words[1]) ?? -1) }
      }
    }
    #expect(buckets == buckets.sorted() && buckets.first == 0 && buckets.last == 1)
    for line in [
      "crop_tokens_total{state=\"received\"} 4", "crop_tokens_total{state=\"kept\"} 1",
      "crop_connections 2.5",
      "crop_http_request_duration_seconds_bucket{route=\"/prune\",le=\"+Inf\"} 1",
      "crop_build_info{version=\"\(Version.current)\"} 1",
    ] {
      #expect(reply.text.contains(line + "\n"), "\(line)")
    }
  }
}

extension String {
  /// How often a piece of text occurs.
  fileprivate func components(_ piece: String) -> Int {
    var count = 0
    var rest = self[...]
    while let range = rest.firstRange(of: piece) {
      count += 1
      rest = rest[range.upperBound...]
    }
    return count
  }
}
