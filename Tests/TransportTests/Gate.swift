import Dispatch

/// Closed until opened, then open for ever.
final class Gate: Sendable {
  private let semaphore = DispatchSemaphore(value: 0)

  func open() { semaphore.signal() }

  /// Blocks the calling thread.
  func wait() {
    semaphore.wait()
    semaphore.signal()
  }

  /// Waits on a thread of its own.
  func opened() async {
    await withCheckedContinuation { continuation in
      DispatchQueue(label: "gate").async {
        self.wait()
        continuation.resume()
      }
    }
  }
}
