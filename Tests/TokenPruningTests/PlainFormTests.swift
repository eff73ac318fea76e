import JSON
import Kernels
import Testing

@testable import PruningNumerics
@testable import TokenPruning

/// HoloV, VidCom2, ApET and PruneSID beside the plain form of what they compute, in float64 one row after the other.
@Suite struct PlainFormTests {
  /// Random rows around a common mean, and among them a zero row, a copy, a multiple and one nearly alike.
  private static func features(_ count: Int, _ columns: Int, seed: UInt64) -> Matrix {
    var numbers = TestNumbers(seed)
    let mean = numbers.floats(columns)
    var rows = (0..<count).map { _ in zip(mean, numbers.floats(columns)).map { 2 * $0 + $1 } }
    if count > 8 {
      rows[3] = rows[1]
      rows[5] = rows[4].map { 3 * $0 }
      rows[6] = Array(repeating: 0, count: columns)
      rows[8] = rows[7].map { $0 * (1 + 0x1p-20) }
    }
    return Matrix(rows: count, columns: columns, values: Array(rows.joined()))
  }

  /// Each row divided by its length, raised by `raise`.
  private static func unitRows(_ features: Matrix, raise: Double = 0) -> [[Double]] {
    (0..<features.rows).map { row in
      let wide = features.row(row).map { Double($0) }
      let length = wide.reduce(0) { $0 + $1 * $1 }.squareRoot() + raise
      return length > 0 ? wide.map { $0 / length } : wide
    }
  }

  private static func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

  @Test(
    "The range of a run's mean variance holds that of float64, and is narrow", arguments: [2, 3, 9, 40],
    [1, 7, 64, 300])
  func variances(_ count: Int, _ columns: Int) throws {
    let features = Self.features(count, columns, seed: UInt64(count * columns))
    let rows = Self.unitRows(features, raise: 1e-6)
    let variances = rows.indices.map { row in
      let cosines = rows.indices.map { $0 == row ? 0 : Self.dot(rows[row], rows[$0]) }
      let mean = cosines.reduce(0, +) / Double(count - 1)
      return cosines.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count - 1)
    }
    let wanted = variances.reduce(0, +) / Double(count)
    let norms = features.norms().map { $0 + 1e-6 }
    var ownSteps = StepCounter(limit: .unlimited)
    let own = try HoloV.variances(of: Array(0..<count), features, norms, &ownSteps)
    #expect(zip(own, variances).allSatisfy { abs($0 - $1) < 1e-12 })
    for kernels in KernelSet.available {
      var steps = StepCounter(limit: .unlimited)
      let space = CosineSpace(features, norms: norms, kernels: kernels)
      let matrix = try SimilarityMatrix(space, Array(0..<count), sharing: .none, &steps)
      let range = HoloV.meanVariances(matrix)
      #expect(range.contains(wanted) && range.upperBound - range.lowerBound < 1e-4, "\(kernels.name)")
    }
  }

  @Test("Quotas of ranges are those of every score in them, or none")
  func quotasOfRanges() {
    var numbers = TestNumbers(5)
    var decided = 0
    for turn in 0..<300 {
      let scores = (0..<(1 + turn % 20)).map { _ in Double(numbers.next()) * 0.5 + 1 }
      let width = [1e-9, 1e-4, 1e-2][turn % 3]
      let count = 1 + numbers.below(100)
      guard let quotas = HoloV.quotas(within: scores.map { ($0 - width)...($0 + width) }, of: count) else {
        continue
      }
      decided += 1
      for _ in 0..<5 {
        let moved = scores.map { $0 + Double(numbers.next()) * width }
        #expect(quotas == HoloV.quotas(moved, of: count))
      }
    }
    #expect(decided > 80)
    // Equal scores: which is first, only exact ones tell.
    #expect(HoloV.quotas(within: [1 - 1e-9...1 + 1e-9, 1 - 1e-9...1 + 1e-9], of: 3) == nil)
    #expect(HoloV.quotas(within: [1...1, 2...2, .infinity ... .infinity], of: 3) == nil)
    #expect(HoloV.quotas(within: [-1...1, 2...3], of: 3) == nil)
  }

  @Test(
    "HoloV keeps what scores in float64 keep", arguments: [1, 2, 9, 40, 100], [1, 3, 16, 100])
  func holov(_ count: Int, _ crops: Int) throws {
    for seed in 1...3 as ClosedRange<UInt64> {
      let features = Self.features(count, 24, seed: seed)
      let input = try makeInput(count, seed: seed) { $0["image_features"] = features.values }
      let attention = try input.attentionScores()
      let runs = HoloV.runs(of: Array(0..<count), crops)
      let rows = Self.unitRows(features, raise: 1e-6)
      let scores = runs.map { run -> Double in
        guard run.count > 1 else { return attention[run[0]] }
        let variances = run.map { row in
          let cosines = run.map { $0 == row ? 0 : Self.dot(rows[row], rows[$0]) }
          let mean = cosines.reduce(0, +) / Double(run.count - 1)
          return cosines.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(run.count - 1)
        }
        let scaled = run.map { 1000 * attention[$0] }
        let scale = scaled.reduce(0, +) / (variances.reduce(0, +) + 1e-6 * Double(run.count))
        return zip(scaled, variances).reduce(0) { $0 + $1.0 + 0.09 * scale * $1.1 } / Double(run.count)
      }
      for keep in Set([1, count / 2, count - 1, count]) where keep > 0 {
        var kept: Set<Int> = []
        for (run, quota) in zip(runs, HoloV.quotas(scores, of: keep)) {
          kept.formUnion(Ranking.highest(min(quota, run.count), of: attention, among: run))
        }
        let rest = (0..<count).filter { !kept.contains($0) }
        kept.formUnion(Ranking.highest(keep - kept.count, of: attention, among: rest))
        let parameters: JSONObject = ["crops": .integer(crops)]
        let request = try PruneRequest([
          "method": "holov", "keep_tokens": .integer(keep), "method_parameters": .object(parameters),
        ])
        #expect(try prune(input, request).kept == kept.sorted(), "\(keep)")
      }
    }
  }

  @Test(
    "Rows of VidCom2 lie as far from means as rows that are divided by their lengths", arguments: [1, 5, 64])
  func unitDistances(_ columns: Int) {
    let features = Self.features(12, columns, seed: 9)
    let rows = UnitRows(features)
    let plain = Self.unitRows(features)
    let mean = rows.mean(of: 2..<11)
    for column in 0..<columns {
      #expect(abs(mean[column] - (2..<11).reduce(0) { $0 + plain[$1][column] } / 9) < 1e-15)
    }
    let point = UnitRows.Point(mean)
    for row in 0..<12 {
      let distance = zip(plain[row], mean).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
      #expect(abs(rows.squaredDistance(of: row, to: point) - distance) < 4e-15)
      for other in 0..<12 {
        #expect(abs(rows.product(row, other) - Self.dot(plain[row], plain[other])) < 4e-15)
      }
    }
    #expect(rows.directionCount == 11)
    #expect(rows.squaredDistance(of: 3, to: point) == rows.squaredDistance(of: 1, to: point))
  }

  @Test("Variances of columns are those of two passes in float64, to the bit", arguments: [1, 2, 11, 30])
  func columnVariances(_ count: Int) {
    let features = Self.features(count, 21, seed: 4)
    var means = [Double](repeating: 0, count: 21)
    var squares = means
    for row in 0..<count { for column in 0..<21 { means[column] += Double(features[row, column]) } }
    for column in 0..<21 { means[column] /= Double(count) }
    for row in 0..<count {
      for column in 0..<21 {
        let difference = Double(features[row, column]) - means[column]
        squares[column] += difference * difference
      }
    }
    #expect(features.columnVariances() == squares.map { $0 / Double(count) })
    let some = [20, 0, 7]
    let gathered = features.gatheredColumns(some)
    for row in 0..<count { #expect(Array(gathered.row(row)) == some.map { features[row, $0] }) }
  }

  @Test("ApET's errors are distances from the reconstruction", arguments: [9, 14], [1, 3, 6])
  func reconstructionErrors(_ count: Int, _ size: Int) throws {
    let features = Self.features(count, 40, seed: 6)
    let basis = Array([2, 7, 0, 4, 1, 5].prefix(size))
    var steps = StepCounter(limit: .unlimited)
    let errors = try ApET.errors(of: Array(0..<count), basis, features, &steps)
    let rows = (0..<count).map { features.row($0).map { Double($0) } }
    var gram = [Double](repeating: 0, count: size * size)
    for a in 0..<size {
      for b in 0..<size {
        gram[a * size + b] = Self.dot(rows[basis[a]], rows[basis[b]]) + (a == b ? 1e-5 : 0)
      }
    }
    let factor = CholeskyFactor(gram, size: size)
    for token in 0..<count {
      let weights = factor.solving(basis.map { Self.dot(rows[token], rows[$0]) })
      let left = (0..<40).map { column in
        rows[token][column] - zip(basis, weights).reduce(0) { $0 + $1.1 * rows[$1.0][column] }
      }
      #expect(abs(errors[token] - Self.dot(left, left).squareRoot()) < 1e-9)
    }
  }

  @Test("Sigmoids' principal components satisfy their equation", arguments: [(30, 50), (50, 20)])
  func components(_ count: Int, _ columns: Int) throws {
    let features = Self.features(count, columns, seed: 8)
    var steps = StepCounter(limit: .unlimited)
    let found = try PrincipalComponents(features, count: 4, sharing: .none, &steps)
    let rows = (0..<count).map { row in
      let powers = features.row(row).map { 1 / (1 + exponential(-Double($0))) }
      let mean = powers.reduce(0, +) / Double(columns)
      return powers.map { $0 - mean }
    }
    let products = rows.flatMap { row in rows.map { Self.dot(row, $0) } }
    let plain = try LeadingEigenvectors(4, of: products, size: count, &steps)
    for row in 0..<count {
      let strengths = plain.vectors.map { $0[row].magnitude }
      #expect(abs(found.strongest[row] - (strengths.max() ?? 0)) < 1e-9)
      #expect(abs(strengths[found.groups[row]] - found.strongest[row]) < 1e-9)
    }
  }
}
