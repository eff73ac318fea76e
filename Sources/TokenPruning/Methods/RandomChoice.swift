import PruningNumerics

/// Keeps tokens at random, the same ones for the same seed: the control every method must beat.
///
/// A partial Fisher-Yates shuffle driven by SplitMix64; the first K of a larger count are the same tokens.
struct RandomChoice: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "random",
    summary: "Keeps tokens at random; the request's seed (0 when absent) decides which.",
    properties: [.nested, .scaleInvariant], cost: .linear, readsValues: false, memory: .scores,
    facts: MethodFacts(.control, isQuestionAware: false, cost: "O(N)"))

  init(_ parameters: Parameters) {}

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    var generator = SeededGenerator(seed: input.seed)
    var pool = task.candidates
    for position in 0..<task.count {
      pool.swapAt(position, position + generator.next(below: pool.count - position))
    }
    return Array(pool.prefix(task.count))
  }
}
