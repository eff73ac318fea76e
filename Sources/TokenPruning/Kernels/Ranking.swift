import Kernels

/// The one order in which scores are ranked: higher first, equal scores by the lower index.
enum Ranking {
  /// The `count` highest-scoring of `candidates`, best first.
  ///
  /// - Precondition: scores are not NaN; candidates are unique; count <= candidates.count.
  /// - Complexity: O(n).
  static func highest(_ count: Int, of scores: [Double], among candidates: [Int]) -> [Int] {
    RankedKeys.highest(count, of: scores, among: candidates)
  }

  /// The same candidates in ascending order, for callers who do not ask which of them is better.
  static func highestAscending(_ count: Int, of scores: [Double], among candidates: [Int]) -> [Int] {
    RankedKeys.highestAscending(count, of: scores, among: candidates)
  }
}
