import HTTP1
import JSON
import Locking
import Synchronization

/// Collects server spans for whoever exports them, and never makes a request wait.
///
/// A span continues the trace of a well-formed `traceparent` whose flag says that it is sampled. Of the requests without one, a
/// share begins a trace of its own. Beyond the bound of the queue spans are dropped and counted.
public final class Tracer: Sendable {
  public struct Configuration: Sendable {
    /// What is said of this process, `service.name` among it.
    public var resource: [(name: String, value: String)]
    /// The share of requests without a `traceparent` that begin a trace, 0...1.
    public var ratio: Double
    /// Spans that wait at most.
    public var capacity = 4096
    /// Spans in one export at most.
    public var batchSize = 512

    public init(resource: [(name: String, value: String)], ratio: Double = 1) {
      self.resource = resource
      self.ratio = ratio
    }
  }

  private struct State {
    var spans: [Span] = []
    var dropped = 0
  }

  private let configuration: Configuration
  private let state = Locked(State())
  private let exported = Atomic(0)
  private let identifiers = Atomic(UInt64.random(in: .min ... .max))
  private let threshold: UInt64
  private let now: @Sendable () -> Int64
  private let wake: @Sendable (_ isUrgent: Bool) -> Void

  /// - Parameters:
  ///   - now: nanoseconds since 1970.
  ///   - wake: told of the first span that waits, and urgently of a whole batch; called from every event loop.
  public init(
    _ configuration: Configuration, now: @escaping @Sendable () -> Int64,
    wake: @escaping @Sendable (_ isUrgent: Bool) -> Void
  ) {
    self.configuration = configuration
    self.now = now
    self.wake = wake
    let share = min(max(configuration.ratio, 0), 1)
    threshold = share >= 1 ? .max : UInt64(share * 0x1p64)
  }

  public var droppedCount: Int { state.withLock { $0.dropped } }
  public var exportedCount: Int { exported.load(ordering: .relaxed) }

  // MARK: Recording

  func record(_ exchange: Exchange, route: String?) {
    guard let head = exchange.head else { return }
    let given = RequestIdentity.Given(head)
    var trace: (high: UInt64, low: UInt64)
    var parent: UInt64?
    if let context = given.traceparent {
      guard RequestIdentity.isSampled(context) else { return }
      let start = context.startIndex
      trace = (
        Hexadecimal.number(context[(start + 3)..<(start + 19)]),
        Hexadecimal.number(context[(start + 19)..<(start + 35)])
      )
      parent = Hexadecimal.number(context[(start + 36)..<(start + 52)])
    } else {
      trace = (identifier(), identifier())
      guard threshold == .max || trace.low < threshold else { return }
    }
    let span = Span(
      trace: trace, id: identifier(), parent: parent,
      traceState: parent == nil ? "" : Self.traceState(of: head), end: now(), exchange: exchange, route: route
    )
    let waiting = state.withLock { state in
      guard state.spans.count < configuration.capacity else {
        state.dropped += 1
        return 0
      }
      state.spans.append(span)
      return state.spans.count
    }
    if waiting == 1 || waiting == configuration.batchSize { wake(waiting > 1) }
  }

  /// Never 0, the same for no two spans of this process, and spread over all numbers without a system call: steps of the golden
  /// ratio, mixed (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
  private func identifier() -> UInt64 {
    var number = identifiers.wrappingAdd(0x9e37_79b9_7f4a_7c15, ordering: .relaxed).newValue
    number = (number ^ (number >> 30)) &* 0xbf58_476d_1ce4_e5b9
    number = (number ^ (number >> 27)) &* 0x94d0_49bb_1331_11eb
    number ^= number >> 31
    return number == 0 ? 1 : number
  }

  /// What vendors wrote beside the `traceparent`; visible text of up to 512 bytes, else nothing.
  private static func traceState(of head: RequestHead) -> String {
    guard let state = head.fields.single("tracestate"), state.count <= 512,
      state.allSatisfy({ $0 >= 0x20 && $0 < 0x7f })
    else { return "" }
    return String(decoding: state, as: UTF8.self)
  }

  // MARK: Exporting

  /// The next spans as the body of an OTLP/HTTP request, oldest first; nil when none wait.
  public func takeBatch() -> (body: [UInt8], count: Int)? {
    let spans = state.withLock { state in
      let taken = Array(state.spans.prefix(configuration.batchSize))
      state.spans.removeFirst(taken.count)
      return taken
    }
    guard !spans.isEmpty else { return nil }
    let resource = configuration.resource.map { TelemetryAttribute($0.name, $0.value).json }
    let scope: JSONValue = ["name": "crop", "version": .string(Version.current)]
    let scopes: JSONValue = [["scope": scope, "spans": .array(spans.map(\.json))]]
    let document: JSONValue = [
      "resourceSpans": [["resource": ["attributes": .array(resource)], "scopeSpans": scopes]]
    ]
    return (document.serialized(), spans.count)
  }

  public func recordExported(_ count: Int) { exported.add(count, ordering: .relaxed) }

  /// Spans that no collector took.
  public func recordDropped(_ count: Int) { state.withLock { $0.dropped += count } }
}
