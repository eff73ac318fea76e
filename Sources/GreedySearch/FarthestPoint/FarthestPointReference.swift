/// What ``FarthestPointSearch`` computes, as its definition says.
///
/// S is what is selected, cos(i, j) the cosine of two rows:
///
///     first:  argmin_i  max_{j != i} cos(i, j)
///     then:   argmin_i  max_{s in S} cos(i, s)          the lower index of equals
///
/// (Gonzalez 1985; DivPrune, arXiv 2503.02175, algorithm 1, with cosine distances 1 - cos.)
/// - Complexity: O(T^2 N) cosines for T selections after a first pick of O(N^2).
enum FarthestPointReference {
  /// The next `count` rows, in the order of choice.
  ///
  /// - Parameters:
  ///   - candidates: ascending, at least `count`; those without a direction come last, in this order.
  ///   - given: rows selected already.
  public static func select(
    _ count: Int, among candidates: [Int], given: [Int] = [], isZero: (Int) -> Bool,
    cosine: (Int, Int) -> Double
  ) -> [Int] {
    var open = candidates.filter { !isZero($0) }
    let directed = open
    var selected = given.filter { !isZero($0) }
    var chosen: [Int] = []
    while chosen.count < count, !open.isEmpty {
      let nearest = open.map { i in
        (selected.isEmpty ? directed.filter { $0 != i } : selected).map { cosine(i, $0) }.max() ?? -.infinity
      }
      let best = open.indices.min { nearest[$0] < nearest[$1] } ?? 0
      chosen.append(open[best])
      selected.append(open.remove(at: best))
    }
    return chosen + candidates.filter(isZero).prefix(count - chosen.count)
  }
}
