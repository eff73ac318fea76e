import Dispatch

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Signals as an asynchronous sequence, instead of handlers that may do next to nothing.
struct Signals: Sendable {
  let numbers: AsyncStream<Int32>
  private let continuation: AsyncStream<Int32>.Continuation

  init(_ numbers: [Int32]) {
    let (stream, continuation) = AsyncStream<Int32>.makeStream()
    for number in numbers {
      // Dispatch reports the signal; the default action would end the process first.
      signal(number, SIG_IGN)
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
