/// How much work one request may be, and whether anybody still waits for it.
public struct StepLimit: Sendable {
  /// In steps of roughly a nanosecond, see ``StepCounter``.
  public let steps: Int
  /// Asked between steps, every few milliseconds: once true, the work is given up.
  public let isAbandoned: @Sendable () -> Bool

  public init(_ steps: Int, isAbandoned: @escaping @Sendable () -> Bool = { false }) {
    self.steps = steps
    self.isAbandoned = isAbandoned
  }

  static let unlimited = StepLimit(.max)

  /// One of `count` equal parts.
  func divided(by count: Int) -> StepLimit { StepLimit(steps / max(count, 1), isAbandoned: isAbandoned) }

  /// - Throws: `.abandoned` when nobody waits for the result any more.
  public func checkAbandonment() throws(PruningError) {
    guard isAbandoned() else { return }
    throw PruningError(.abandoned, at: "", "the client went away; the computation was given up")
  }
}
