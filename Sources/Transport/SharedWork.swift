import Dispatch
import Synchronization

/// One piece of work in independent parts, done by its owner and by whoever is idle.
///
/// Each part is claimed once, by a counter. The owner claims like everybody else and so does whatever nobody has
/// claimed; it waits only for parts that somebody has begun.
final class SharedWork: Sendable {
  private let count: Int
  private let part: @Sendable (Int) -> Void
  private let claimed = Atomic(0)
  private let finished = Atomic(0)
  private let allFinished = DispatchSemaphore(value: 0)

  init(_ count: Int, _ part: @escaping @Sendable (Int) -> Void) {
    self.count = count
    self.part = part
  }

  var hasUnclaimedParts: Bool { claimed.load(ordering: .relaxed) < count }

  /// Does one part that nobody has claimed.
  ///
  /// - Returns: false when there is none.
  func doOne() -> Bool {
    guard hasUnclaimedParts else { return false }
    let index = claimed.add(1, ordering: .relaxed).oldValue
    guard index < count else { return false }
    part(index)
    // What the parts wrote is seen by whoever saw the last one finished.
    if finished.add(1, ordering: .acquiringAndReleasing).newValue == count { allFinished.signal() }
    return true
  }

  /// Returns when every part is finished.
  func finish() {
    while doOne() {}
    allFinished.wait()
  }
}
