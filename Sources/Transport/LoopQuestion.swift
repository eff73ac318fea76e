import Synchronization

/// Whether all event loops of a server take messages: what a watchdog wants to know.
public final class LoopQuestion: Sendable {
  private let missing: Atomic<Int>

  init(loops: Int) { missing = Atomic(loops) }

  func answer() { missing.subtract(1, ordering: .relaxed) }

  public var isAnswered: Bool { missing.load(ordering: .relaxed) <= 0 }
}
