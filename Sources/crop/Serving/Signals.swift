import Dispatch
import LibC

/// Signals as an asynchronous sequence, instead of handlers that may do next to nothing.
struct Signals: Sendable {
  let numbers: AsyncStream<Int32>
  private let continuation: AsyncStream<Int32>.Continuation

  /// Keeps signals pending from now on, for ``init(_:)`` to find.
  ///
  /// The first process of a container loses signals without a handler (kill(2)), any other process ends at once.
  /// - Precondition: this is the process's only thread; those that it starts inherit the mask.
  static func hold(_ numbers: [Int32]) { mask(numbers, SIG_BLOCK) }

  /// Undoes ``hold(_:)``.
  static func release(_ numbers: [Int32]) { mask(numbers, SIG_UNBLOCK) }

  private static func mask(_ numbers: [Int32], _ change: Int32) {
    var set = sigset_t()
    sigemptyset(&set)
    for number in numbers { sigaddset(&set, number) }
    pthread_sigmask(change, &set, nil)
  }

  /// What the server acts upon.
  static let ofServer = [SIGTERM, SIGINT, SIGHUP]

  init(_ numbers: [Int32]) {
    let (stream, continuation) = AsyncStream<Int32>.makeStream()
    for number in numbers {
      let source = DispatchSource.makeSignalSource(
        signal: number, queue: DispatchQueue(label: "crop.signals"))
      // The handler holds the source, and the source the handler: it lives as long as the process.
      source.setEventHandler {
        _ = source
        continuation.yield(number)
      }
      let registered = DispatchSemaphore(value: 0)
      source.setRegistrationHandler { registered.signal() }
      source.resume()
      // Registration happens on another thread; until then the signal would be ignored, and lost.
      registered.wait()
    }
    self.numbers = stream
    self.continuation = continuation
  }

  /// Ends the sequence.
  func finish() { continuation.finish() }
}
