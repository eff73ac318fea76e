import Locking

/// What one request may still cost: one account for all its images, stages and budgets, however many threads draw on it.
///
/// Work is counted in steps of roughly a nanosecond (``StepCounter``), answers in bytes, both charged before the work is
/// done or the answer is built. The sum over a request does not depend on who computes what, so neither does whether it is
/// too large.
public final class StepLimit: Sendable {
  private struct Account {
    public var steps: Int
    var answerBytes: Int
  }

  /// The most memory that what is answered to one request may take, lists, texts and features together.
  public static let maximumAnswerBytes = 256 << 20

  private let left: Locked<Account>
  private let isAbandoned: @Sendable () -> Bool
  private let isOverdue: @Sendable () -> Bool

  /// - Parameters:
  ///   - isAbandoned: asked between steps, every few milliseconds: once true, the work is given up.
  ///   - isOverdue: asked as often: once true, the request has had all the time there is.
  public init(
    _ steps: Int, isAbandoned: @escaping @Sendable () -> Bool = { false },
    isOverdue: @escaping @Sendable () -> Bool = { false }
  ) {
    left = Locked(Account(steps: steps, answerBytes: Self.maximumAnswerBytes))
    self.isAbandoned = isAbandoned
    self.isOverdue = isOverdue
  }

  /// For searches that are no part of a request.
  public static let unlimited = StepLimit(.max)

  /// Takes `needed` steps, and of those that are left up to `spare` more, for the work that follows.
  ///
  /// - Returns: how many steps were taken, or nil when fewer than `needed` are left; then none are left.
  public func take(_ needed: Int, spare: Int) -> Int? {
    left.withLock { account in
      guard needed <= account.steps else {
        account.steps = 0
        return nil
      }
      let taken = needed + min(spare, account.steps - needed)
      account.steps -= taken
      return taken
    }
  }

  /// How many steps are left.
  public var remaining: Int { left.withLock { $0.steps } }

  /// Spends what some work costs, before it is done.
  ///
  /// - Throws: `.workLimit` when that is more than what is left; `.abandoned` and `.overdue`.
  public func spend(_ steps: Int, on work: String) throws(PruningError) {
    guard take(steps, spare: 0) != nil else { throw Self.tooMuch(work) }
    try check()
  }

  /// Sets memory for a part of the answer aside, before it is built.
  ///
  /// - Throws: `.workLimit` when there is not enough of it for all parts together.
  public func reserveAnswer(bytes: Int) throws(PruningError) {
    let fits = left.withLock { account in
      guard bytes <= account.answerBytes else {
        account.answerBytes = 0
        return false
      }
      account.answerBytes -= bytes
      return true
    }
    guard fits else {
      throw PruningError(
        .workLimit, at: "",
        "the response about all images and stages together would take more than "
          + "\(Self.maximumAnswerBytes >> 20) MiB; send fewer images or stages in one request, or explain less"
      )
    }
  }

  /// - Throws: `.abandoned` when the caller is gone, `.overdue` when there is no time left.
  public func check() throws(PruningError) {
    if isAbandoned() {
      throw PruningError(.abandoned, at: "", "the client disconnected; the computation was abandoned")
    }
    if isOverdue() {
      throw PruningError(
        .overdue, at: "",
        "the computation took longer than --compute-timeout allows; send fewer tokens or images, or choose by "
          + "scores instead of similarity (GET /methods)")
    }
  }

  /// One value of each row, where finding it looks at all rows: ``check()`` is asked every 64 of them, a few milliseconds.
  public func values<Value>(
    ofRows count: Int, _ value: (Int) -> Value
  ) throws(PruningError) -> [Value] {
    var values: [Value] = []
    values.reserveCapacity(count)
    for row in 0..<count {
      if row % 64 == 0 { try check() }
      values.append(value(row))
    }
    return values
  }

  static func tooMuch(_ work: String) -> PruningError {
    PruningError(
      .workLimit, at: "image_features",
      "\(work) is more work than one request may do; send fewer tokens or "
        + "images, keep fewer, or choose by scores instead of similarity (GET /methods)")
  }
}
