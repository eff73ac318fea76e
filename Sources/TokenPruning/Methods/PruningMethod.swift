/// One way to choose which visual tokens to keep.
///
/// A method only decides; gathering or merging features is done elsewhere, the same way for all of them.
/// To add one: a file in `Methods/` and a line in `MethodRegistry.standard`.
protocol PruningMethod: Sendable {
  static var descriptor: MethodDescriptor { get }

  init(_ parameters: Parameters) throws(PruningError)

  /// Chooses exactly `task.count` of `task.candidates`.
  ///
  /// - Returns: the chosen token indices, in the order of choice (best first where the method has an order).
  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int]

  /// The method that will decide for this input: itself, unless it chooses among others by what is given.
  func resolved(for input: PruningInput) throws(PruningError) -> any PruningMethod
}

extension PruningMethod {
  func resolved(for input: PruningInput) throws(PruningError) -> any PruningMethod { self }

  static var name: String { descriptor.name }
}

/// A method that gives every token a number and keeps the highest.
protocol ScoringMethod: PruningMethod {
  /// One finite score per token, [N]; higher is kept first.
  func scores(of input: PruningInput) throws(PruningError) -> [Double]
}

extension ScoringMethod {
  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    Ranking.highest(task.count, of: try scores(of: input), among: task.candidates)
  }
}

/// What to choose from. Region policies split one request into such tasks.
struct SelectionTask: Sendable {
  let count: Int
  /// Token indices to choose from, ascending and unique.
  let candidates: [Int]
  /// Tokens kept already, ascending: diversity methods keep their distance from these too.
  let given: [Int]

  /// - Precondition: 0 <= count <= candidates.count.
  init(count: Int, candidates: [Int], given: [Int] = []) {
    precondition(count >= 0 && count <= candidates.count)
    self.count = count
    self.candidates = candidates
    self.given = given
  }
}
