import Synchronization

/// A computation on an event loop that is given up after a while, for the compute pool to do it.
///
/// How long a search takes follows from what the features hold, which no head tells.
final class Attempt: Sendable {
  /// Several times what such searches usually take, and short enough for who connects meanwhile.
  static let patience = Duration.milliseconds(2).nanoseconds

  private let deadline: Int64
  private let wasGivenUp = Atomic(false)

  init(until deadline: Int64) { self.deadline = deadline }

  /// Whether to stop; having said so once is what ``isOver`` remembers.
  func mustStop() -> Bool {
    guard Clock.now >= deadline else { return false }
    wasGivenUp.store(true, ordering: .relaxed)
    return true
  }

  /// Whether what was computed is no answer, since its computation was told to stop.
  var isOver: Bool { wasGivenUp.load(ordering: .relaxed) }
}
