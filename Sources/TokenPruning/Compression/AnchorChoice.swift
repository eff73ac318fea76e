import GreedySearch
import PruningNumerics

/// Chooses anchors of one part.
struct AnchorChoice {
  let strategy: AnchorStrategy
  /// Attention per token [N], for the strategy that needs it.
  let scores: [Double]
  let stepLimit: StepLimit

  /// Density peaks need the distances between all tokens of a part: 128 MiB at this size.
  static let maximumDensityPeaksPart = 4096

  /// `count` of `part`, in no particular order.
  ///
  /// - Precondition: 0 <= count <= part.count.
  /// - Throws: when the choice is more work than the limit allows.
  func anchors(
    _ count: Int, of part: [Int], in space: CosineSpace
  ) throws(PruningError) -> [Int] {
    guard count < part.count else { return part }
    switch strategy {
    case .diversity:
      var search = FarthestPointSearch(space, among: part, stepLimit: stepLimit)
      return try search.next(count)
    case .strided:
      let step = max(1, part.count / max(count, 1))
      return (0..<count).map { part[$0 * step] }
    case .attention:
      return Ranking.highest(count, of: scores, among: part)
    case .densityPeaks:
      return try densityPeaks(count, of: part, in: space)
    }
  }

  /// Density-peaks centres (Rodriguez and Laio, Science 2014; in this form DPC-KNN, Du et al. 2016, and
  /// SparseVLM, arXiv 2410.04417): the highest products of density and distance to a denser token.
  ///
  /// Distance is 1 - cosine; density is exp(-mean of the squared distances to the `count` nearest, itself
  /// included); of equal densities the lower index counts as denser.
  ///
  /// *Deviations*: SparseVLM measures Euclidean distance and breaks ties by random noise.
  private func densityPeaks(
    _ count: Int, of part: [Int], in space: CosineSpace
  ) throws(PruningError) -> [Int] {
    // Not lazy: half of all pairs are compared, and every row is ranked.
    var steps = StepCounter(limit: stepLimit)
    try steps.spend(part.count * part.count * (20 + StepCounter.exactComparison(columns: space.columns) / 2))
    var distances: [[Double]] = []
    distances.reserveCapacity(part.count)
    // Rows of so many comparisons that the clock is asked every few milliseconds.
    for first in stride(from: 0, to: part.count, by: 64) {
      let block = first..<min(first + 64, part.count)
      try stepLimit.check()
      let similarities = space.exactSimilarities(of: Array(part[block]), to: part)
      for row in block {
        let start = (row - first) * part.count
        distances.append(part.indices.map { row == $0 ? 0 : max(0, 1 - similarities[start + $0]) })
      }
    }
    let density = try stepLimit.values(ofRows: part.count) { row in
      let nearest = Ranking.highest(count, of: distances[row].map(-), among: Array(part.indices))
      return exponential(
        -nearest.reduce(0) { $0 + distances[row][$1] * distances[row][$1] } / Double(max(count, 1)))
    }
    let farthest = distances.lazy.map { $0.max() ?? 0 }.max() ?? 0
    let peaks = try stepLimit.values(ofRows: part.count) { row in
      var separation = farthest
      for other in part.indices
      where density[other] > density[row] || (density[other] == density[row] && other < row) {
        separation = min(separation, distances[row][other])
      }
      return separation * density[row]
    }
    return Ranking.highest(count, of: peaks, among: Array(part.indices)).map { part[$0] }
  }
}
