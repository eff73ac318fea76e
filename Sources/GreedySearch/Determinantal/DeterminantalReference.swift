/// What ``DeterminantalSearch`` computes, in the symbols of its paper.
///
/// L is the kernel, Y what is selected; of row i, c_i is its row of the Cholesky factor and d2_i what is left of its
/// diagonal, by which det(L_Y) grows if it is selected next:
///
///     e_i = (L_ji - <c_j, c_i>) / d_j,    c_i = [c_i  e_i],    d2_i = d2_i - e_i^2        for the j selected last
///
/// (Chen, Zhang and Zhou, NeurIPS 2018, arXiv 1709.05135, algorithm 1.)
/// - Complexity: O(T N (T + cost of L)) for T selections.
enum DeterminantalReference {
  /// The next `count` rows in the order of choice: the largest gain, the lower position of equals.
  ///
  /// A row whose gain fell to ``DeterminantalSearch/exhaustedShare`` of its diagonal q^2 is not selected; if too few are
  /// left, those with the highest q come last, the lower row of equals.
  /// - Parameters:
  ///   - given: rows selected already.
  ///   - diagonal: of row i, zero where it has no direction.
  ///   - kernel: of a row and one that is selected.
  public static func select(
    _ count: Int, among candidates: [Int], given: [Int] = [], quality: [Double],
    diagonal: (Int) -> Double, kernel: (_ row: Int, _ selected: Int) -> Double
  ) -> [Int] {
    let rows = candidates + given
    var d2 = rows.map(diagonal)
    var c = rows.map { _ in [Double]() }
    func isExhausted(_ i: Int) -> Bool {
      DeterminantalSearch.isExhausted(d2[i], quality: quality[rows[i]])
    }
    func condition(on j: Int) {
      let inverse = 1 / d2[j].squareRoot()
      let cj = c[j]
      for i in rows.indices {
        let explained = zip(cj, c[i]).reduce(0.0) { $0 + $1.1 * $1.0 }
        let e = (kernel(rows[i], rows[j]) - explained) * inverse
        c[i].append(e)
        d2[i] -= e * e
      }
    }
    for j in candidates.count..<rows.count where !isExhausted(j) { condition(on: j) }
    var open = Array(candidates.indices)
    var (chosen, exhausted): ([Int], [Int]) = ([], [])
    while chosen.count < count, let j = open.max(by: { d2[$0] < d2[$1] || (d2[$0] == d2[$1] && $0 > $1) }) {
      open.removeAll { $0 == j }
      if isExhausted(j) {
        exhausted.append(rows[j])
      } else {
        chosen.append(rows[j])
        condition(on: j)
      }
    }
    let rest = exhausted.sorted { quality[$0] != quality[$1] ? quality[$0] > quality[$1] : $0 < $1 }
    return chosen + rest.prefix(count - chosen.count)
  }
}
