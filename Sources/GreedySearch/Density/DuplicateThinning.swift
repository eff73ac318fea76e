public import PruningNumerics

/// Thins a list of rows out by VisPruner's rounds: each row at an even place is compared with all at odd slots, the
/// few with the largest best cosine go, and the next list is the remaining even ones, most duplicated first, then the
/// odd ones.
///
/// A row's largest cosine to the odd ones is nearly always one of its few largest to any. Each row therefore remembers
/// those, largest first, and a round walks down to the first that stands at an odd place; where none does, those of
/// the rows that are left are remembered instead, and only copies of one another make it look at all. Float32 similarities find them, and float64 ones decide among those nearer than the error bound
/// and order the rows.
/// - Complexity: O(N^2 D / 2) to compare, then O(N) for each of (N - K) / 8 rounds; 4 N^2 bytes of memory.
public struct DuplicateThinning {
  /// How many of a row's most similar ones are remembered.
  private static let remembered = 16

  private let rows: [Int]
  private let space: CosineSpace
  private let matrix: SimilarityMatrix
  private var steps: StepCounter
  /// Per row, by slot in `rows`: the remembered ones, most similar first, and the fast similarity of the last.
  private var neighbours: [[Neighbour]]
  /// Whether a row is in the present list, and at an odd place of it.
  private var isLeft: [Bool]
  private var isOdd: [Bool]

  /// How often all had to be looked at. Rows of which there are many copies need that in every round, and then it
  /// is cheaper to know all exact similarities [N, N].
  private var fallbacks = 0
  private var exactly: [Double] = []

  private struct Neighbour {
    public let slot: Int
    public let fast: Float
    /// NaN until it is needed.
    public var exact = Double.nan
  }

  /// - Throws: when it is more work than the limit allows.
  public init(
    _ rows: [Int], in space: CosineSpace, stepLimit: StepLimit, sharing: WorkSharing
  ) throws(PruningError) {
    self.rows = rows
    self.space = space
    var steps = StepCounter(limit: stepLimit)
    try steps.spend(rows.count * rows.count * 4)
    let matrix = try SimilarityMatrix(space, rows, sharing: sharing, &steps)
    self.matrix = matrix
    let perPart = 64
    let everything = [Bool](repeating: true, count: rows.count)
    let parts = sharing.map((rows.count + perPart - 1) / perPart) { part in
      (part * perPart..<min((part + 1) * perPart, rows.count)).map {
        Self.mostSimilar(to: $0, matrix, everything)
      }
    }
    neighbours = Array(parts.joined())
    isLeft = everything
    isOdd = Array(repeating: false, count: rows.count)
    self.steps = steps
  }

  private static func mostSimilar(to row: Int, _ matrix: SimilarityMatrix, _ isLeft: [Bool]) -> [Neighbour] {
    var nearest: [Neighbour] = []
    nearest.reserveCapacity(remembered + 1)
    var least = -Float.infinity
    matrix.forEachSimilarity(of: row, in: isLeft.indices) { other, similarity in
      guard similarity > least || nearest.count < remembered, other != row, isLeft[other] else { return }
      var slot = nearest.count
      while slot > 0, nearest[slot - 1].fast < similarity { slot -= 1 }
      nearest.insert(Neighbour(slot: other, fast: similarity), at: slot)
      if nearest.count > remembered { nearest.removeLast() }
      if nearest.count == remembered { least = nearest[remembered - 1].fast }
    }
    return nearest
  }

  /// What is left of the rows once there are no more than `wanted`, in the order of the last list.
  public mutating func thinned(to wanted: Int, removedPerRound: Int) throws(PruningError) -> [Int] {
    var list = Array(rows.indices)
    while list.count > wanted {
      let even = stride(from: 0, to: list.count, by: 2).map { list[$0] }
      let odd = stride(from: 1, to: list.count, by: 2).map { list[$0] }
      try steps.spend(40 * list.count)
      for slot in odd { isOdd[slot] = true }
      var duplication: [Double] = []
      duplication.reserveCapacity(even.count)
      for slot in even { duplication.append(try largestToOdd(of: slot, odd)) }
      for slot in odd { isOdd[slot] = false }
      let order = Ranking.highest(even.count, of: duplication, among: Array(even.indices))
      let removed = min(removedPerRound, list.count - wanted, even.count)
      for slot in order.prefix(removed) { isLeft[even[slot]] = false }
      list = order.dropFirst(removed).map { even[$0] } + odd
    }
    return list.map { rows[$0] }
  }

  /// The largest exact similarity to a row at an odd place; minus infinity where there is none.
  private mutating func largestToOdd(of slot: Int, _ odd: [Int]) throws(PruningError) -> Double {
    if let largest = try largestRemembered(of: slot) { return largest }
    if exactly.isEmpty {
      // Most of those remembered are gone by now.
      try steps.spend(2 * rows.count)
      neighbours[slot] = Self.mostSimilar(to: slot, matrix, isLeft)
      if let largest = try largestRemembered(of: slot) { return largest }
    }
    return try largestOfAll(of: slot, odd)
  }

  /// The same, where the remembered rows tell it: the last of them is farther than the largest by more than the
  /// error bound. nil where they do not.
  private mutating func largestRemembered(of slot: Int) throws(PruningError) -> Double? {
    var largest = -Double.infinity
    var limit = -Float.infinity
    for index in neighbours[slot].indices {
      let neighbour = neighbours[slot][index]
      if neighbour.fast < limit { return largest }
      guard isOdd[neighbour.slot] else { continue }
      if limit == -.infinity { limit = neighbour.fast - matrix.slack }
      var exact = neighbour.exact
      if exact.isNaN {
        try steps.spend(StepCounter.exactComparison(columns: space.columns))
        exact = space.exactSimilarity(rows[slot], rows[neighbour.slot])
        neighbours[slot][index].exact = exact
      }
      largest = max(largest, exact)
    }
    return nil
  }

  private mutating func largestOfAll(of slot: Int, _ odd: [Int]) throws(PruningError) -> Double {
    if exactly.isEmpty {
      fallbacks += 1
      if fallbacks > rows.count { try compareAllExactly() }
    }
    try steps.spend(2 * rows.count)
    var best = -Float.infinity
    matrix.forEachSimilarity(of: slot, in: rows.indices) { other, similarity in
      if isOdd[other], other != slot { best = max(best, similarity) }
    }
    var near: [Int] = []
    matrix.forEachSimilarity(of: slot, in: rows.indices) { other, similarity in
      if isOdd[other], other != slot, similarity >= best - matrix.slack { near.append(other) }
    }
    if !exactly.isEmpty {
      return near.reduce(-Double.infinity) { max($0, exactly[slot * rows.count + $1]) }
    }
    try steps.spend(comparingWith: near.count, of: space, exactly: true)
    let row = rows[slot]
    return space.exactSimilarities(
      of: near.map { rows[$0] }, to: space.features.row(row), norm: space.norm(of: row)
    ).max() ?? -.infinity
  }

  private mutating func compareAllExactly() throws(PruningError) {
    try steps.spend(comparingWith: rows.count * rows.count, of: space, exactly: true)
    exactly = space.exactSimilarities(of: rows, to: rows)
  }
}
