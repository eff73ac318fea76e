import HTTP1
import Synchronization

/// What a request that is computed on an event loop holds beside its body: a loop waits for nobody's memory.
final class InlineMemory: Sendable {
  private let capacity: Capacity
  private let held = Atomic(0)
  private let refused = Atomic(false)

  init(_ capacity: Capacity) { self.capacity = capacity }

  func use(_ bytes: Int) -> MemoryGrant {
    let before = held.load(ordering: .relaxed)
    guard bytes > max(before, WorkMemory.unasked) else { return .granted }
    guard capacity.takeWorkBytes(bytes - before) else {
      refused.store(true, ordering: .relaxed)
      return .notNow
    }
    held.store(bytes, ordering: .relaxed)
    return .granted
  }

  /// Whether the pool is to compute it, which can wait.
  var wasRefused: Bool { refused.load(ordering: .relaxed) }

  deinit {
    let bytes = held.load(ordering: .relaxed)
    if bytes > 0 { capacity.giveWorkBytes(bytes) }
  }
}
