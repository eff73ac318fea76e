/// Spends the steps of one search, each roughly a nanosecond, out of the account of its request.
///
/// A few kilobytes can ask for hours of quadratic work. Steps are counted as they are done instead of being
/// estimated beforehand, because lazy searches nearly always do far less than their worst case; and they are
/// counted instead of timed, so that the same request ends the same way on every machine. What was miscounted
/// nevertheless ends by the clock (``StepLimit/check()``).
public struct StepCounter: Sendable {
  /// About half a millisecond: a client that went away is noticed soon, and asking costs nothing beside the work.
  private static let largestAdvance = 500_000
  /// What a search costs to set up.
  private static let smallestAdvance = 2_000

  private let limit: StepLimit
  /// Taken from the account, and not spent yet.
  private var left = 0
  private var advance = smallestAdvance
  private let work: String

  /// - Parameter work: what costs the steps, for the rejection.
  public init(limit: StepLimit, work: String = "comparing these tokens with each other") {
    self.limit = limit
    self.work = work
  }

  /// Whether the request is given up, for parts of work that cannot throw; whoever offers them checks afterwards.
  public var isStopped: @Sendable () -> Bool {
    { [limit] in
      do throws(PruningError) {
        try limit.check()
        return false
      } catch {
        return true
      }
    }
  }

  /// - Throws: `.abandoned`, `.overdue`.
  public func check() throws(PruningError) { try limit.check() }

  /// How many are left of the request's; others may be spending them.
  public var remaining: Int { left + limit.remaining }

  /// - Throws: `.workLimit` at `image_features` when that is more than what is left; `.abandoned`, `.overdue`.
  @inline(__always)
  public mutating func spend(_ steps: Int) throws(PruningError) {
    left -= steps
    if left < 0 { try refill() }
  }

  /// Takes what is missing and an advance, which grows with what the search spends: a short one takes little that it
  /// does not need, and a long one seldom asks.
  @inline(never)
  private mutating func refill() throws(PruningError) {
    let needed = -left
    guard let taken = limit.take(needed, spare: advance) else { throw StepLimit.tooMuch(work) }
    left = taken - needed
    advance = min(2 * advance, Self.largestAdvance)
    try limit.check()
  }

  /// Spends what comparing one row with `others` costs.
  public mutating func spend(
    comparingWith others: Int, of space: CosineSpace, exactly: Bool = false
  ) throws(PruningError) {
    // Rows that are there lie in memory, so their number times their width is far from overflow.
    try spend(
      others
        * (exactly
          ? Self.exactComparison(columns: space.columns) : Self.comparison(columns: space.columns)))
  }

  /// What comparing two rows costs, whatever kernels do it.
  public static func comparison(columns: Int) -> Int { 12 + columns / 8 }

  /// The same in float64, which is asked for of a few rows at a time, each looked up.
  public static func exactComparison(columns: Int) -> Int { 100 + columns / 2 }

  /// The same for two rows after two others, in a plain loop.
  public static func plainComparison(columns: Int) -> Int { 8 + columns / 2 }

  /// Finding the lowest in a ``BoundTable`` of that many slots, and raising what is found.
  public static func look(atSlots count: Int) -> Int { 100 + count / 64 }

  /// Looking at one number of each of that many candidates.
  public static func scan(of count: Int) -> Int { 50 + count / 4 }

  /// Bounds for all candidates by a ``RowSketch``, and a look at them.
  public static func bounds(count: Int, dimensions: Int) -> Int { 100 + count * (dimensions + 8) / 16 }

  /// Deciding in float64 about one row among several that float32 cannot tell apart, beside the comparisons.
  public static let exactDecision = 1_000

  /// Taking an entry out of a heap and putting it back.
  public static let heapTurn = 400
}
