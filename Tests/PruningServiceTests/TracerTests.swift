import HTTP1
import JSON
import Locking
import Testing

@testable import PruningService

@Suite("Spans of OpenTelemetry")
struct TracerTests {
  private static let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"

  private func exchange(_ head: RequestHead, status: Int = 200) -> Exchange {
    Exchange(
      head: head, status: status,
      annotations: [
        Response.Field("id", "one"), Response.Field("tokens", "9"), Response.Field("phase:compute", "250"),
      ],
      bodyBytesReceived: 5, bytesSent: 7, receiveNanoseconds: 1000, respondNanoseconds: 400,
      writeNanoseconds: 100, totalNanoseconds: 2000, remoteAddress: "10.0.0.1", connection: 1, isBroken: false
    )
  }

  /// Whether each wake-up of the exporter was urgent.
  private final class WakeUps: Sendable {
    let areUrgent = Locked<[Bool]>([])
  }

  private func tracer(
    ratio: Double = 1, capacity: Int = 8, batch: Int = 4, _ wakeUps: WakeUps = WakeUps()
  ) -> Tracer {
    var configuration = Tracer.Configuration(resource: [("service.name", "eyes")], ratio: ratio)
    configuration.capacity = capacity
    configuration.batchSize = batch
    return Tracer(configuration, now: { 1_700_000_000_000_000_000 }) { isUrgent in
      wakeUps.areUrgent.withLock { $0.append(isUrgent) }
    }
  }

  private func spans(_ tracer: Tracer) throws -> [JSONObject] {
    guard let batch = tracer.takeBatch() else { return [] }
    let document = try #require(try JSONValue.parse(batch.body[...]).objectValue)
    let resource = try #require(document["resourceSpans"]?.arrayValue?.first?.objectValue)
    let attribute: JSONValue = ["key": "service.name", "value": ["stringValue": "eyes"]]
    #expect(resource["resource"] == ["attributes": [attribute]])
    let scope = try #require(resource["scopeSpans"]?.arrayValue?.first?.objectValue)
    let spans = try #require(scope["spans"]?.arrayValue).compactMap(\.objectValue)
    #expect(spans.count == batch.count)
    return spans
  }

  @Test("a span has the times, the phases in order and the status")
  func form() throws {
    let tracer = tracer()
    let head = try TestService.head("POST /prune", ["traceparent: \(Self.traceparent)-01"])
    tracer.record(exchange(head, status: 503), route: "/prune")
    let span = try #require(try spans(tracer).first)
    #expect(
      span["startTimeUnixNano"] == "1699999999999998000" && span["endTimeUnixNano"] == "1700000000000000000")
    #expect(span["name"] == "POST /prune" && span["kind"] == 2 && span["status"] == ["code": 2])
    #expect(
      span["traceId"] == "4bf92f3577b34da6a3ce929d0e0e4736" && span["parentSpanId"] == "00f067aa0ba902b7")
    let events = try #require(span["events"]?.arrayValue).compactMap(\.objectValue)
    #expect(events.map { $0["name"] } == ["receive", "wait", "compute", "write"])
    #expect(
      events.map { $0["timeUnixNano"] } == [
        "1699999999999998000", "1699999999999999000", "1699999999999999500", "1699999999999999900",
      ])
    let attributes = try #require(span["attributes"]?.arrayValue)
    for expected: JSONValue in [
      ["key": "http.route", "value": ["stringValue": "/prune"]],
      ["key": "http.response.status_code", "value": ["intValue": "503"]],
      ["key": "error.type", "value": ["stringValue": "503"]],
      ["key": "crop.request_id", "value": ["stringValue": "one"]],
      ["key": "crop.tokens", "value": ["intValue": "9"]],
    ] {
      #expect(attributes.contains(expected))
    }
    #expect(!attributes.contains { $0.objectValue?["key"] == "crop.phase:compute" })
  }

  @Test("a full queue drops spans and counts them, and a whole batch wakes the exporter urgently")
  func bound() throws {
    let wakeUps = WakeUps()
    let tracer = tracer(wakeUps)
    let head = try TestService.head("POST /prune")
    for _ in 0..<11 { tracer.record(exchange(head), route: "/prune") }
    #expect(tracer.droppedCount == 3 && wakeUps.areUrgent.withLock { $0 } == [false, true])
    let first = try spans(tracer)
    let second = try spans(tracer)
    #expect(first.count == 4 && second.count == 4 && tracer.takeBatch() == nil)
    #expect(Set((first + second).compactMap { $0["spanId"]?.stringValue }).count == 8)
    tracer.recordExported(4)
    tracer.recordDropped(4)
    #expect(tracer.exportedCount == 4 && tracer.droppedCount == 7)
  }

  @Test(
    "a share of the requests without a trace begins one; others follow the caller", arguments: [0, 0.25, 1])
  func sampling(ratio: Double) throws {
    let tracer = tracer(ratio: ratio, capacity: 4000, batch: 4000)
    let head = try TestService.head("POST /prune")
    for _ in 0..<2000 { tracer.record(exchange(head), route: nil) }
    let count = try spans(tracer).count
    #expect(abs(Double(count) - 2000 * ratio) <= (ratio == 0.25 ? 150 : 0))
    for (flags, isSampled) in [("00", false), ("01", true), ("02", false), ("ff", true)] {
      let head = try TestService.head("POST /prune", ["traceparent: \(Self.traceparent)-\(flags)"])
      tracer.record(exchange(head), route: nil)
      #expect(try spans(tracer).count == (isSampled ? 1 : 0))
    }
  }
}
