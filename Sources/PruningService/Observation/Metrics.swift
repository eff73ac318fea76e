import HTTP1
import Locking

/// Counters and histograms in the Prometheus text format.
///
/// Labels come from fixed sets (routes, methods, codes); nothing a client sends becomes one, or any client could
/// fill the memory of whoever stores them.
public final class Metrics: Sendable {
  /// A value read when it is asked for: connections, bytes in flight, resident memory.
  public struct Gauge: Sendable {
    let name: String
    let help: String
    let isCounter: Bool
    let read: @Sendable () -> Double

    public init(
      _ name: String, _ help: String, isCounter: Bool = false, read: @escaping @Sendable () -> Double
    ) {
      self.name = name
      self.help = help
      self.isCounter = isCounter
      self.read = read
    }
  }

  private struct State {
    /// Labels of the first axis of `requests`, and of `durations`; the last one stands for no route.
    var routes = ["none"]
    /// [method, status] of each route, empty before its first request.
    var requests: [[Int]] = [[]]
    var durations = [Histogram()]
    var refusals: [RefusalReason: Int] = [:]
    var bodyBytesReceived = 0
    var bytesSent = 0
    var brokenResponses = 0
    var tokensReceived = 0
    var tokensKept = 0
    var gauges: [Gauge] = []
  }

  /// Methods are tokens of the client's choice: only known ones become labels.
  private static let methods = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "other", "none",
  ]
  private static let statuses = 100...599

  private let state = Locked(State())

  public init() {}

  public func add(_ gauge: Gauge) { state.withLock { $0.gauges.append(gauge) } }

  /// Makes room for the counts of every route, before the first request.
  func count(routes: [String]) {
    state.withLock { state in
      state.routes = routes + ["none"]
      state.requests = [[Int]](repeating: [], count: state.routes.count)
      state.durations = [Histogram](repeating: Histogram(), count: state.routes.count)
    }
  }

  /// - Parameter routeIndex: the matched route's, in those that are counted; nil for a path that has none.
  func record(_ exchange: Exchange, routeIndex: Int?, methodIndex method: Int) {
    let status = min(max(exchange.status, Self.statuses.lowerBound), Self.statuses.upperBound)
    let nanoseconds =
      exchange.receiveNanoseconds + exchange.respondNanoseconds + exchange.writeNanoseconds
    let trace = exchange.head.flatMap { Histogram.Trace(RequestIdentity.Given($0)) }
    state.withLock { state in
      let route = routeIndex ?? state.routes.count - 1
      if state.requests[route].isEmpty {
        state.requests[route] = [Int](repeating: 0, count: Self.methods.count * Self.statuses.count)
      }
      state.requests[route][method * Self.statuses.count + status - Self.statuses.lowerBound] += 1
      state.durations[route].observe(Double(nanoseconds) * 1e-9, trace: trace)
      state.bodyBytesReceived += exchange.bodyBytesReceived
      state.bytesSent += exchange.bytesSent
      if exchange.isBroken { state.brokenResponses += 1 }
    }
  }

  static func index(ofMethod method: String) -> Int { methods.firstIndex(of: method) ?? noMethod - 1 }

  static func label(ofMethod method: String) -> String { methods[index(ofMethod: method)] }

  /// The label of bytes that never became a request.
  static let noMethod = methods.count - 1

  func record(_ refusal: Refusal) {
    state.withLock { $0.refusals[RefusalReason(refusal), default: 0] += 1 }
  }

  func recordTokens(received: Int, kept: Int) {
    state.withLock { state in
      state.tokensReceived += received
      state.tokensKept += kept
    }
  }

  func exposition(as format: Exposition.Format = .prometheus) -> String {
    let state = state.withLock { $0 }
    var text = Exposition(format)
    text.family(
      "crop_http_requests_total", .counter, "Responses by matched route, request method and status code.")
    let routes = state.routes.indices.sorted { state.routes[$0] < state.routes[$1] }
    let methods = Self.methods.indices.sorted { Self.methods[$0] < Self.methods[$1] }
    for route in routes where !state.requests[route].isEmpty {
      for method in methods {
        for (place, status) in Self.statuses.enumerated() {
          let count = state.requests[route][method * Self.statuses.count + place]
          guard count > 0 else { continue }
          text.sample(
            "crop_http_requests_total",
            [
              ("route", state.routes[route]), ("method", Self.methods[method]), ("code", String(status)),
            ], Double(count))
        }
      }
    }
    text.family(
      "crop_http_refusals_total", .counter, "Requests rejected before an endpoint saw them, by reason.")
    for reason in RefusalReason.allCases {
      text.sample(
        "crop_http_refusals_total", [("reason", reason.rawValue)], Double(state.refusals[reason] ?? 0))
    }
    text.family(
      "crop_http_request_duration_seconds", .histogram,
      "From the first byte of the head to the last byte of the response, without time spent in the queue.")
    for route in routes where !state.durations[route].isEmpty {
      text.histogram(
        "crop_http_request_duration_seconds", [("route", state.routes[route])], state.durations[route])
    }
    text.single(
      "crop_http_request_body_bytes_total", .counter, "Bytes of request bodies received.",
      Double(state.bodyBytesReceived))
    text.single("crop_http_response_bytes_total", .counter, "Bytes sent.", Double(state.bytesSent))
    text.single(
      "crop_http_responses_broken_total", .counter, "Responses whose client was gone before the last byte.",
      Double(state.brokenResponses))
    text.family("crop_tokens_total", .counter, "Visual tokens of answered requests.")
    text.sample("crop_tokens_total", [("state", "received")], Double(state.tokensReceived))
    text.sample("crop_tokens_total", [("state", "kept")], Double(state.tokensKept))
    for gauge in state.gauges {
      text.single(gauge.name, gauge.isCounter ? .counter : .gauge, gauge.help, gauge.read())
    }
    text.family("crop_build_info", .gauge, "Always 1; the labels describe the running version.")
    text.sample("crop_build_info", [("version", Version.current)], 1)
    return text.finished()
  }
}

/// Why requests were rejected before an endpoint saw them; every reason is exposed from the start, at 0, so that a
/// rate can be taken over the first one.
private enum RefusalReason: String, CaseIterable {
  case framing, coding, memory, queue, connections
  case bodyTooLarge = "body-too-large"
  case headTimeout = "head-timeout"
  case bodyTimeout = "body-timeout"
  case sharedMemory = "shared-memory"

  init(_ refusal: Refusal) {
    self =
      switch refusal {
      case .framing: .framing
      case .coding: .coding
      case .bodyTooLarge: .bodyTooLarge
      case .timedOut(let phase): phase == "head" ? .headTimeout : .bodyTimeout
      case .sharedMemory: .sharedMemory
      case .noMemoryBudget: .memory
      case .queueFull: .queue
      case .tooManyConnections: .connections
      }
  }
}

/// Cumulative buckets from 50 us to 10 s: a tiny request takes tens of microseconds, the largest some seconds.
struct Histogram: Sendable {
  static let bounds = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  ]
  private(set) var counts = [Int](repeating: 0, count: bounds.count + 1)
  private(set) var sum = 0.0
  /// Of each bucket the last value that belongs to a sampled trace.
  private(set) var exemplars = [Exemplar?](repeating: nil, count: bounds.count + 1)

  /// The id of a trace that the caller records.
  struct Trace: Sendable {
    let high: UInt64
    let low: UInt64

    init?(_ given: RequestIdentity.Given) {
      guard let context = given.traceparent, RequestIdentity.isSampled(context) else { return nil }
      let digits = context.dropFirst("00-".utf8.count)
      high = Hexadecimal.number(digits.prefix(16))
      low = Hexadecimal.number(digits.dropFirst(16).prefix(16))
    }
  }

  struct Exemplar: Sendable {
    let trace: Trace
    let value: Double
  }

  var isEmpty: Bool { counts.allSatisfy { $0 == 0 } }

  mutating func observe(_ value: Double, trace: Trace? = nil) {
    let bucket = Self.bounds.firstIndex { value <= $0 } ?? Self.bounds.count
    counts[bucket] += 1
    sum += value
    if let trace { exemplars[bucket] = Exemplar(trace: trace, value: value) }
  }
}
