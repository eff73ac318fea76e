import Kernels

/// Clusters by density peaks (DPC-KNN, Du et al. 2016), as SparseVLM merges what it prunes.
///
/// Distance is Euclid's over sqrt(D); density is exp(-mean of the squared distances to the c nearest rows, itself
/// included), c the number of clusters; separation is the distance to the nearest denser row, or the largest of
/// all distances for a densest one. The c largest products of the two are centres, and every row joins the
/// nearest, the first of equals.
struct DensityPeaks {
  /// The distances of all pairs take 128 MiB at this size.
  static let maximumCount = 4096

  /// Best first.
  let centres: [Int]
  /// The position in `centres` of each row's centre [n].
  let assignments: [Int]

  /// - Precondition: 1 <= count <= rows.rows.
  /// - Throws: when there are too many rows, or it is more work than the limit allows.
  /// - Complexity: O(n^2 D).
  init(_ rows: Matrix, count: Int, stepLimit: StepLimit) throws(PruningError) {
    let n = rows.rows
    guard n <= Self.maximumCount else {
      throw PruningError(
        at: "image_features",
        "clustering compares all \(n) tokens with each other and takes at most \(Self.maximumCount)")
    }
    var steps = StepCounter(limit: stepLimit)
    let distances = try Self.distances(rows, &steps)
    let density = (0..<n).map { row in
      let nearest = Ranking.highest(count, of: distances[row].map(-), among: Array(0..<n))
      return exponential(
        -nearest.reduce(0) { $0 + distances[row][$1] * distances[row][$1] } / Double(count))
    }
    let farthest = distances.reduce(0) { max($0, $1.max() ?? 0) }
    let peaks = (0..<n).map { row in
      var separation = farthest
      for other in 0..<n where density[other] > density[row] {
        separation = min(separation, distances[row][other])
      }
      return separation * density[row]
    }
    let centres = Ranking.highest(count, of: peaks, among: Array(0..<n))
    var assignments = (0..<n).map { row in
      centres.indices.reduce(0) { distances[row][centres[$1]] < distances[row][centres[$0]] ? $1 : $0 }
    }
    for (cluster, centre) in centres.enumerated() { assignments[centre] = cluster }
    self.centres = centres
    self.assignments = assignments
  }

  private static func distances(
    _ rows: Matrix, _ steps: inout StepCounter
  ) throws(PruningError) -> [[Double]] {
    let n = rows.rows
    let scale = 1 / Double(max(rows.columns, 1)).squareRoot()
    var distances = [[Double]](repeating: Array(repeating: 0, count: n), count: n)
    for a in 0..<n {
      // Half of all pairs are compared, and every row is ranked.
      try steps.spend(n * (20 + StepCounter.exactComparison(columns: rows.columns) / 2))
      for b in 0..<a {
        var sum = 0.0
        let (first, second) = (a * rows.columns, b * rows.columns)
        for column in 0..<rows.columns {
          let difference = Double(rows.values[first + column]) - Double(rows.values[second + column])
          sum += difference * difference
        }
        let distance = sum.squareRoot() * scale
        distances[a][b] = distance
        distances[b][a] = distance
      }
    }
    return distances
  }
}
