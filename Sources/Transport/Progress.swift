import Locking

/// How far a server's end has come, for whoever waits for it.
final class Progress: Sendable {
  private struct State {
    var runningLoops = 0
    var isIdle = false
    var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    var lastTicket = 0

    /// Nothing is left to wait for.
    var isOver: Bool { isIdle || runningLoops == 0 }

    mutating func takeWaiters() -> [CheckedContinuation<Void, Never>] {
      defer { waiters = [:] }
      return Array(waiters.values)
    }
  }

  private let state = Locked(State())

  func loopStarted() { state.withLock { $0.runningLoops += 1 } }

  func loopStopped() {
    let waiters = state.withLock { state in
      state.runningLoops -= 1
      return state.runningLoops == 0 ? state.takeWaiters() : []
    }
    for waiter in waiters { waiter.resume() }
  }

  /// Nothing is listened to and no connection is left.
  func becameIdle() {
    let waiters = state.withLock { state in
      state.isIdle = true
      return state.takeWaiters()
    }
    for waiter in waiters { waiter.resume() }
  }

  /// Returns when the server is idle or its loops have ended, at the latest after `duration`.
  func wait(atMost duration: Duration) async { await wait(atMost: duration) { $0.isOver } }

  /// Returns when every loop has ended, at the latest after `duration`.
  func waitForLoops(atMost duration: Duration) async { await wait(atMost: duration) { $0.runningLoops == 0 } }

  private func wait(atMost duration: Duration, until isReached: @Sendable (State) -> Bool) async {
    await withCheckedContinuation { continuation in
      let ticket = state.withLock { state -> Int? in
        guard !isReached(state) else { return nil }
        state.lastTicket += 1
        state.waiters[state.lastTicket] = continuation
        return state.lastTicket
      }
      guard let ticket else { return continuation.resume() }
      Task { [self] in
        try? await Task.sleep(for: duration)
        state.withLock { $0.waiters.removeValue(forKey: ticket) }?.resume()
      }
    }
  }
}
