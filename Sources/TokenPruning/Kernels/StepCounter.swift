/// The work that one search may still do, in steps of roughly a nanosecond.
///
/// A few kilobytes can ask for hours of quadratic work. Steps are counted as they are done instead of being
/// estimated beforehand, because lazy searches nearly always do far less than their worst case; and they are
/// counted instead of timed, so that the same request ends the same way on every machine.
struct StepCounter: Sendable {
  /// About half a millisecond: a client that went away is noticed soon, and asking costs nothing beside the work.
  private static let stepsBetweenChecks = 500_000

  private let limit: StepLimit
  private var left: Int

  /// How many are left.
  var remaining: Int { max(left, 0) }

  private var sinceCheck = 0
  private let work: String

  /// - Parameter work: what costs the steps, for the refusal.
  init(limit: StepLimit, work: String = "comparing these tokens with each other") {
    self.limit = limit
    self.work = work
    left = limit.steps
  }

  /// - Throws: at `image_features` when that is more than what is left; `.abandoned` when nobody waits any more.
  @inline(__always)
  mutating func spend(_ steps: Int) throws(PruningError) {
    sinceCheck += steps
    left -= steps
    if left < 0 || sinceCheck >= Self.stepsBetweenChecks { try check() }
  }

  @inline(never)
  private mutating func check() throws(PruningError) {
    if sinceCheck >= Self.stepsBetweenChecks {
      sinceCheck = 0
      try limit.checkAbandonment()
    }
    guard left < 0 else { return }
    throw PruningError(
      at: "image_features",
      "\(work) is more work than one request may ask for; send fewer tokens or "
        + "images, keep fewer, or choose by scores instead of similarity (GET /methods)")
  }

  /// Spends what comparing one row with `others` costs.
  mutating func spend(
    comparingWith others: Int, of space: CosineSpace, exactly: Bool = false
  ) throws(PruningError) {
    // Rows that are there lie in memory, so their number times their width is far from overflow.
    try spend(
      others
        * (exactly
          ? Self.exactComparison(columns: space.columns) : Self.comparison(columns: space.columns)))
  }

  /// What comparing two rows costs, whatever kernels do it.
  static func comparison(columns: Int) -> Int { 12 + columns / 8 }

  /// The same in binary64, which is asked for of a few rows at a time, each looked up.
  static func exactComparison(columns: Int) -> Int { 100 + columns / 2 }

  /// Finding the lowest in a ``BoundTable`` of so many places, and raising what is found.
  static func look(atPlaces count: Int) -> Int { 100 + count / 64 }

  /// Looking at one number of each of so many candidates.
  static func scan(of count: Int) -> Int { 50 + count / 4 }

  /// Bounds for all candidates by a ``RowSketch``, and a look at them.
  static func bounds(count: Int, dimensions: Int) -> Int { 100 + count * (dimensions + 8) / 16 }

  /// Taking an entry out of a heap and putting it back.
  static let heapTurn = 400
}
