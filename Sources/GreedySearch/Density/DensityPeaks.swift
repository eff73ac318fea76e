import Kernels
public import PruningNumerics

/// Clusters by density peaks (DPC-KNN, Du et al. 2016), as SparseVLM merges what it prunes.
///
/// Distance is Euclid's over sqrt(D); density is exp(-mean of the squared distances to the c nearest rows, itself
/// included), c the number of clusters; separation is the distance to the nearest denser row, or the largest of
/// all distances for a densest one. The c largest products of the two are centres, and every row joins the
/// nearest, the first of equals.
public struct DensityPeaks {
  /// The distances of all pairs take 128 MiB at this size.
  public static let maximumCount = 4096

  /// Best first.
  public let centres: [Int]
  /// The position in `centres` of each row's centre [n].
  public let assignments: [Int]

  /// - Precondition: 1 <= count <= rows.rows.
  /// - Throws: when there are too many rows, or it is more work than the limit allows.
  /// - Complexity: O(n^2 D).
  public init(_ rows: Matrix, count: Int, stepLimit: StepLimit, sharing: WorkSharing = .none)
    throws(PruningError)
  {
    let n = rows.rows
    guard n <= Self.maximumCount else {
      throw PruningError(
        at: "image_features",
        "clustering compares all \(n) tokens with each other and takes at most \(Self.maximumCount)")
    }
    var steps = StepCounter(limit: stepLimit)
    let distances = try Self.distances(rows, sharing, &steps)
    let density = try stepLimit.values(ofRows: n) { row in
      let nearest = Ranking.highest(count, of: distances[row].map(-), among: Array(0..<n))
      return exponential(
        -nearest.reduce(0) { $0 + distances[row][$1] * distances[row][$1] } / Double(count))
    }
    let farthest = distances.reduce(0) { max($0, $1.max() ?? 0) }
    let peaks = try stepLimit.values(ofRows: n) { row in
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

  /// How many blocks of four rows one part compares with all before them, and how many parts there are between
  /// two looks at the limit.
  private static let blocksPerPart = 4
  private static let partsPerTurn = 16

  /// |a - b| = sqrt(a a + b b - 2 a b), each product in float64, so that equal rows are at distance 0.
  private static func distances(
    _ rows: Matrix, _ sharing: WorkSharing, _ steps: inout StepCounter
  ) throws(PruningError) -> [[Double]] {
    let n = rows.rows
    let blocks = RowBlocks(Array(0..<n))
    let scale = 1 / Double(max(rows.columns, 1)).squareRoot()
    let squares = (0..<blocks.count).map { Self.products(of: rows, blocks[$0], with: blocks[$0]) }
    var distances = [[Double]](repeating: Array(repeating: 0, count: n), count: n)
    for first in stride(from: 0, to: blocks.count, by: blocksPerPart * partsPerTurn) {
      let end = min(first + blocksPerPart * partsPerTurn, blocks.count)
      // Half of all pairs are compared, and every row is ranked.
      try steps.spend(
        4 * (end - first) * n * (20 + StepCounter.exactComparison(columns: rows.columns) / 2))
      let parts = stride(from: first, to: end, by: blocksPerPart).map { $0..<min($0 + blocksPerPart, end) }
      let tiles = sharing.map(parts.count) { part in
        parts[part].map { a in (0...a).map { products(of: rows, blocks[a], with: blocks[$0]) } }
      }
      for (a, row) in zip(first..<end, tiles.joined()) {
        for (b, tile) in row.enumerated() {
          for column in blocks.lanes(of: b) {
            for lane in blocks.lanes(of: a) {
              let square =
                squares[a][5 * lane] + squares[b][5 * column] - 2 * tile[4 * column + lane]
              let distance = max(0, square).squareRoot() * scale
              distances[4 * a + lane][4 * b + column] = distance
              distances[4 * b + column][4 * a + lane] = distance
            }
          }
        }
      }
    }
    return distances
  }

  /// The inner products of four rows with four others: [4 j + i] that of row i with the other j.
  private static func products(
    of rows: Matrix, _ four: SIMD4<Int>, with others: SIMD4<Int>
  ) -> [Double] {
    [Double](unsafeUninitializedCapacity: 16) { sums, count in
      count = 16
      sums.initialize(repeating: 0)
      rows.values.withUnsafeBufferPointer { values in
        guard let base = values.baseAddress, let into = sums.baseAddress else { return }
        let (a, b) = (four &* rows.columns, others &* rows.columns)
        KernelSet.active.tiles.preciseTile(
          base + a[0], base + a[1], base + a[2], base + a[3], base + b[0], base + b[1], base + b[2],
          base + b[3], rows.columns, into)
      }
    }
  }
}
