import Dispatch
import Locking
import Logging
import PruningService
import Transport

/// Posts spans to a collector over OTLP/HTTP, as JSON, on a queue of its own.
///
/// A batch that the collector cannot take now is sent again after 1, 2, 4 and 8 seconds and then dropped; meanwhile spans wait in
/// the tracer, which drops what exceeds its bound. Nothing here makes a request wait, and a collector that is absent costs a
/// line of the log when that begins and when it ends.
final class SpanExporter: Sendable {
  private struct State {
    var isScheduled = false
    /// What failed last, to be sent again.
    var batch: (body: [UInt8], count: Int)?
    var attempts = 0
    var isFailing = false
  }

  /// How long a span may wait for company.
  private static let gatheringTime = DispatchTimeInterval.milliseconds(1000)
  private static let timeout = Duration.seconds(10)
  private static let maximumAttempts = 5
  /// A collector that does not answer must not keep the program from ending.
  static let longestFlush = Duration.seconds(3)

  private let url: EndpointURL
  private let logger: Logger
  private let queue = DispatchQueue(label: "crop.spans")
  private let state = Locked(State())
  private let source = Locked<Tracer?>(nil)

  init(_ url: EndpointURL, logger: Logger) {
    self.url = url
    self.logger = logger
  }

  /// The tracer whose spans this exports.
  func tracer(_ configuration: Tracer.Configuration) -> Tracer {
    let tracer = Tracer(configuration, now: { Timestamp.nanosecondsSince1970 }) { [self] in schedule($0) }
    source.withLock { $0 = tracer }
    return tracer
  }

  private func schedule(_ isUrgent: Bool) {
    guard !isUrgent else { return queue.async { self.exportAll() } }
    let isFirst = state.withLock { state in
      defer { state.isScheduled = true }
      return !state.isScheduled
    }
    if isFirst { queue.asyncAfter(deadline: .now() + Self.gatheringTime) { self.exportAll() } }
  }

  /// Sends what waits, once, and returns when that is done or the time is over.
  func flush(within time: Duration) {
    let deadline = ContinuousClock.now + time
    let isDone = DispatchSemaphore(value: 0)
    queue.async {
      self.exportAll(before: deadline)
      isDone.signal()
    }
    if isDone.wait(timeout: .now() + .nanoseconds(Int(time.nanoseconds))) == .timedOut {
      logger.warning(
        "spans lost: no response from the collector", metadata: ["collector": "\(url.authority)"])
    }
  }

  // MARK: On the queue

  /// - Parameters:
  ///   - end: of the program, after which nothing is tried again.
  ///   - isRetry: whether it is the turn of a batch that failed; until then new spans wait behind it.
  private func exportAll(before end: ContinuousClock.Instant? = nil, isRetry: Bool = false) {
    guard let tracer = source.withLock({ $0 }) else { return }
    let mustWait = state.withLock { state in
      state.isScheduled = false
      return state.batch != nil && end == nil && !isRetry
    }
    if mustWait { return }
    while true {
      guard let batch = state.withLock({ $0.batch }) ?? tracer.takeBatch() else { return }
      let deadline = min(ContinuousClock.now + Self.timeout, end ?? .now + Self.timeout)
      switch send(batch.body, before: deadline) {
      case .taken:
        tracer.recordExported(batch.count)
        succeeded()
      case .rejected(let reason):
        tracer.recordDropped(batch.count)
        state.withLock { state in
          state.batch = nil
          state.attempts = 0
        }
        failed(reason)
      case .unavailable(let reason):
        failed(reason)
        guard keep(batch, ending: end != nil) else {
          tracer.recordDropped(batch.count)
          continue
        }
        return
      }
    }
  }

  private func succeeded() {
    let hasRecovered = state.withLock { state in
      defer { state = State(isScheduled: state.isScheduled) }
      return state.isFailing
    }
    if hasRecovered {
      logger.notice("spans reach the collector again", metadata: ["collector": "\(url.authority)"])
    }
  }

  private func failed(_ reason: String) {
    let isNew = state.withLock { state in
      defer { state.isFailing = true }
      return !state.isFailing
    }
    guard isNew else { return }
    logger.warning(
      "spans do not reach the collector", metadata: ["collector": "\(url.authority)", "reason": "\(reason)"])
  }

  /// Keeps a batch for later.
  ///
  /// - Returns: false when it had its attempts; the next may have its own.
  private func keep(_ batch: (body: [UInt8], count: Int), ending: Bool) -> Bool {
    let pause = state.withLock { state -> Int? in
      state.attempts += 1
      guard state.attempts < Self.maximumAttempts, !ending else {
        state.batch = nil
        state.attempts = 0
        return nil
      }
      state.batch = batch
      state.isScheduled = true
      return 1 << (state.attempts - 1)
    }
    guard let pause else { return false }
    queue.asyncAfter(deadline: .now() + .seconds(pause)) { self.exportAll(isRetry: true) }
    return true
  }

  // MARK: HTTP

  private enum Outcome {
    case taken
    /// Not to be sent again.
    case rejected(String)
    case unavailable(String)
  }

  /// One POST (OTLP/HTTP, opentelemetry.io/docs/specs/otlp, "OTLP/HTTP Request").
  private func send(_ body: [UInt8], before deadline: ContinuousClock.Instant) -> Outcome {
    let head =
      "POST \(url.target) HTTP/1.1\r\nHost: \(url.authority)\r\nUser-Agent: crop/\(Version.current)\r\n"
      + "Content-Type: application/json\r\nContent-Length: \(body.count)\r\nConnection: close\r\n\r\n"
    do throws(OutgoingConnection.Failure) {
      let status = try post(Array(head.utf8) + body, before: deadline)
      switch status {
      case 200...299: return .taken
      case 429, 502, 503, 504: return .unavailable("status \(status)")
      default: return .rejected("status \(status)")
      }
    } catch {
      return .unavailable(error.description)
    }
  }

  private func post(_ request: [UInt8], before deadline: ContinuousClock.Instant)
    throws(OutgoingConnection.Failure) -> Int
  {
    try OutgoingConnection.first(of: url, before: deadline) {
      connection throws(OutgoingConnection.Failure) in
      let status = try HealthProbe.exchange(request, on: connection, before: deadline)
      connection.discardInput(atMost: 64 << 10, before: deadline)
      return status
    }
  }
}
