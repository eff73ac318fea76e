import Dispatch
import HTTP1
import Locking
import Synchronization

/// Memory for what requests are computed with, beside their bodies: conversions, matrices, answers.
///
/// A request says how much it will take before it takes it. What does not fit now waits for those that are being
/// computed; what waits computes nothing, so there is always one that goes on, or the last one is rejected.
final class WorkMemory: Sendable {
  private struct State {
    /// Requests that hold memory and do not wait for more.
    var computing = 0
    var waiting: [DispatchSemaphore] = []
  }

  let capacity: Capacity
  private let state = Locked(State())

  /// What a request may take without asking: its objects, lists and small arrays.
  static let unasked = 256 << 10
  /// How long a request waits for others.
  private static let patience = Duration.seconds(10).nanoseconds
  /// How often it looks whether its client still waits, and whether bodies have gone.
  private static let lookMilliseconds = 20

  init(_ capacity: Capacity) { self.capacity = capacity }

  /// Requests that wait for memory.
  var waitingCount: Int { state.withLock { $0.waiting.count } }

  /// Has a job hold `bytes` in all; less than before gives some back.
  func hold(_ bytes: Int, for job: ComputePool.Job) -> MemoryGrant {
    let held = job.workBytes.load(ordering: .relaxed)
    let wanted = bytes <= Self.unasked ? 0 : bytes
    guard wanted > held else {
      set(wanted, for: job, from: held)
      return .granted
    }
    let limit = capacity.maximumBytes - job.reservation.bytes
    guard wanted <= limit else { return .exceeds(limit: limit) }
    ProcessMemory.makeRoom(for: wanted, limit: capacity.residentLimit)
    let end = Clock.now &+ Self.patience
    while true {
      let sleeper = DispatchSemaphore(value: 0)
      let outcome = state.withLock { state -> MemoryGrant? in
        if capacity.takeWorkBytes(wanted - held) {
          if held == 0 { state.computing += 1 }
          return .granted
        }
        let others = state.computing - (held > 0 ? 1 : 0)
        guard others > 0, Clock.now < end, !job.isAbandoned else { return .notNow }
        if held > 0 { state.computing -= 1 }
        state.waiting.append(sleeper)
        return nil
      }
      if let outcome {
        if outcome == .granted { job.workBytes.store(wanted, ordering: .relaxed) }
        return outcome
      }
      _ = sleeper.wait(timeout: .now() + .milliseconds(Self.lookMilliseconds))
      state.withLock { state in
        state.waiting.removeAll { $0 === sleeper }
        if held > 0 { state.computing += 1 }
      }
    }
  }

  /// Gives back whatever the job holds.
  func release(_ job: ComputePool.Job) {
    let held = job.workBytes.load(ordering: .relaxed)
    if held > 0 { set(0, for: job, from: held) }
  }

  private func set(_ bytes: Int, for job: ComputePool.Job, from held: Int) {
    guard bytes < held else { return }
    job.workBytes.store(bytes, ordering: .relaxed)
    capacity.giveWorkBytes(held - bytes)
    let sleepers = state.withLock { state in
      if bytes == 0 { state.computing -= 1 }
      return state.waiting
    }
    for sleeper in sleepers { sleeper.signal() }
  }
}
