import Kernels
import Tensors
import Testing

@testable import GreedySearch
@testable import PruningNumerics
@testable import TokenPruning
@testable import VisionLayouts

/// Lazy greedy coverage against the plain one, which evaluates every candidate for every pick in float64.
@Suite struct CoverageSearchTests {
  private struct Plain {
    /// [rows][candidates]
    let weights: [[Double]]
    let shares: [Double]
    var covered: [Double]
    var picks: [Int] = []

    init(_ weights: [[Double]], shares: [Double]? = nil) {
      self.weights = weights
      self.shares = shares ?? weights.map { _ in 1 }
      covered = weights.map { _ in 0 }
    }

    mutating func next(_ count: Int, factors: [Double], addends: [Double]) -> [Int] {
      for _ in 0..<count {
        var best: (index: Int, score: Double)?
        for candidate in factors.indices where !picks.contains(candidate) {
          let gain = weights.indices.reduce(0.0) {
            $0 + shares[$1] * max(weights[$1][candidate] - covered[$1], 0)
          }
          let score = gain * factors[candidate] + addends[candidate]
          if best.map({ score > $0.score }) ?? true { best = (candidate, score) }
        }
        guard let best else { break }
        picks.append(best.index)
        for row in covered.indices { covered[row] = max(covered[row], weights[row][best.index]) }
      }
      return picks
    }
  }

  /// Rows that vary slowly, as those of neighbouring tokens do.
  private func features(_ count: Int, _ columns: Int, seed: UInt64, copies: Int = 1, zeros: Int? = nil)
    -> Matrix
  {
    var numbers = TestNumbers(seed)
    var values: [Float] = []
    var row = numbers.floats(columns)
    for index in 0..<count {
      if index % copies == 0 { row = zip(row, numbers.floats(columns)).map { 0.8 * $0 + 0.5 * $1 } }
      values += zeros.map { index % $0 == 0 } == true ? row.map { _ in 0 } : row
    }
    return Matrix(rows: count, columns: columns, values: values)
  }

  private func search(
    _ features: Matrix, factors: [Double], addends: [Double]
  ) throws -> CoverageSearch {
    var steps = StepCounter(limit: .unlimited)
    let weights = try SimilarityCoverage(
      CosineSpace(features), candidates: Array(0..<features.rows), given: [], sharing: .none, &steps)
    return try CoverageSearch(
      weights, factors: factors, addends: addends, given: features.rows..<features.rows, steps: steps)
  }

  @Test(
    "The picks are those of the plain search, in order, to the last one",
    arguments: [(40, 12, 1, Int?.none), (64, 24, 2, nil), (50, 8, 5, nil), (45, 16, 1, 4), (30, 3, 30, nil)])
  func samePicks(_ count: Int, _ columns: Int, _ copies: Int, _ zeros: Int?) throws {
    for seed in 1...3 {
      let features = features(count, columns, seed: UInt64(seed), copies: copies, zeros: zeros)
      var numbers = TestNumbers(UInt64(seed) + 50)
      let saliency = (0..<count).map { _ in Double(abs(numbers.next())) }
      let ones = saliency.map { _ in 1.0 }
      let none = saliency.map { _ in 0.0 }
      let all = Array(0..<count)
      let similarities = CosineSpace(features).exactSimilarities(of: all, to: all)
      let rows = all.map { row in Array(similarities[(row * count)..<((row + 1) * count)]) }
      for (factors, addends) in [(saliency, none), (ones, none), (ones, saliency)] {
        var plain = Plain(rows)
        var lazy = try search(features, factors: factors, addends: addends)
        #expect(try lazy.next(count) == plain.next(count, factors: factors, addends: addends))
      }
    }
  }

  @Test("Picks go on where they stopped")
  func continued() throws {
    let features = features(40, 12, seed: 7)
    let ones = [Double](repeating: 1, count: 40)
    let none = [Double](repeating: 0, count: 40)
    var whole = try search(features, factors: ones, addends: none)
    var parts = try search(features, factors: ones, addends: none)
    #expect(try parts.next(5) + parts.next(1) + parts.next(14) == whole.next(20))
  }

  /// A 24 x 24 grid of features that lie between those of 5 x 5 points, with noise: what an encoder's look like.
  private func gridFeatures(_ columns: Int, seed: UInt64) -> Matrix {
    var numbers = TestNumbers(seed)
    // Sums of uniform numbers are about normal.
    func normal() -> Float { (0..<4).reduce(0) { sum, _ in sum + numbers.next() } * 0.87 }
    let points = (0..<25).map { _ in (0..<columns).map { _ in normal() } }
    var values: [Float] = []
    for row in 0..<24 {
      for column in 0..<24 {
        let (y, x) = (Float(row) * 4 / 23, Float(column) * 4 / 23)
        let (top, left) = (min(Int(y), 3), min(Int(x), 3))
        let (v, u) = (y - Float(top), x - Float(left))
        for channel in 0..<columns {
          let upper = points[5 * top + left][channel] * (1 - u) + points[5 * top + left + 1][channel] * u
          let lower = points[5 * top + left + 5][channel] * (1 - u) + points[5 * top + left + 6][channel] * u
          values.append(upper * (1 - v) + lower * v + 0.35 * normal())
        }
      }
    }
    return Matrix(rows: 576, columns: columns, values: values)
  }

  @Test(
    "Of 576 tokens of a smooth image a tenth of the plain search's gains is formed at most",
    arguments: [64, 192])
  func fewEvaluations(_ count: Int) throws {
    var numbers = TestNumbers(5)
    let saliency = (0..<576).map { _ in Double(abs(numbers.next())) + 0.1 }
    var lazy = try search(gridFeatures(64, seed: 3), factors: saliency, addends: saliency.map { _ in 0 })
    _ = try lazy.next(count)
    let plain = (0..<count).reduce(0) { $0 + 576 - $1 }
    #expect(lazy.evaluationCount >= 576 && lazy.evaluationCount * 10 <= plain, "\(lazy.evaluationCount)")
  }

  private func softmaxCoverage(
    _ features: Matrix, candidates: Int, words: [Double], wordCount: Int, _ temperature: Double
  ) throws -> SoftmaxCoverage {
    var steps = StepCounter(limit: .unlimited)
    return try SoftmaxCoverage(
      CosineSpace(features), candidates: Array(0..<candidates), given: Array(candidates..<features.rows),
      words: words, count: wordCount, temperatures: (words: 0.1, tokens: temperature), alpha: 0.5,
      sharing: .none, &steps)
  }

  @Test("MMTok's weights, fast or exact, are the softmaxes they are named by", arguments: [0.2, 0.002])
  func softmaxWeights(_ temperature: Double) throws {
    let features = features(20, 8, seed: 11)
    let all = Array(0..<20)
    var steps = StepCounter(limit: .unlimited)
    let words = all.flatMap { [Double($0 % 5) / 5, Double($0 % 3) / 3] }
    var weights = try softmaxCoverage(features, candidates: 16, words: words, wordCount: 2, temperature)
    #expect(weights.rowCount == 22 && weights.candidateCount == 16)
    let rows = Array(0..<22)
    var exactShares: [Double] = []
    for row in rows {
      let share = try weights.exactShares(of: [row], &steps)[0]
      let fast = weights.shares[row]
      #expect(abs(Double(fast) - share) <= Double(weights.shareError * fast))
      #expect(row >= 2 || weights.knownShares[row] == share)
      exactShares.append(share)
    }
    for candidate in all {
      let exact = try weights.exact(candidate, for: rows, &steps)
      for row in rows {
        let source =
          row < 2
          ? all.map { words[2 * $0 + row] }
          : CosineSpace(features).exactSimilarities(of: all, to: [row - 2])
        let powers = source.map { exponential($0 / (row < 2 ? 0.1 : temperature)) }
        let wanted = powers[candidate] / powers.reduce(0, +) / (row < 2 ? 2 : 40)
        #expect(abs(exact[row] * exactShares[row] - wanted) <= 1e-12 * max(wanted, 1e-3))
        let fast = Double(weights.fast[candidate * 22 + row])
        #expect(
          abs(fast - exact[row]) <= Double(weights.absoluteError) + Double(weights.relativeError) * fast)
      }
    }
  }

  @Test(
    "MMTok's picks are those of the plain search, whether pairs are compared one by one or all at once",
    arguments: [(60, 12, 1, Int?.none), (48, 24, 2, nil), (50, 8, 5, nil), (45, 16, 1, 4), (30, 3, 30, nil)],
    [0.2, 0.01])
  func softmaxPicks(_ shape: (Int, Int, Int, Int?), _ temperature: Double) throws {
    let (count, columns, copies, zeros) = shape
    for seed in 1...3 {
      let features = features(count, columns, seed: UInt64(seed), copies: copies, zeros: zeros)
      // Few values, and the same for copies, so that many gains are equal.
      let words = (0..<count).flatMap { [Double($0 / copies % 3) / 4, 0.3] }
      let all = Array(0..<count)
      let cosines = CosineSpace(features).exactSimilarities(of: all, to: all)
      let ones = all.map { _ in 1.0 }
      let none = all.map { _ in 0.0 }
      let rows =
        (0..<2).map { word in
          let row = all.map { words[2 * $0 + word] }
          return row.map { exponential(($0 - (row.max() ?? 0)) / 0.1) }
        }
        + all.map { row in
          CosineSpace(features).isZero(row)
            ? ones : all.map { exponential((cosines[row * count + $0] - 1) / temperature) }
        }
      let shares = rows.enumerated().map { row, powers in
        row < 2 ? 1 / (powers.reduce(0, +) * 2) : 0.5 / Double(count) / powers.reduce(0, +)
      }
      var plain = Plain(rows, shares: shares)
      var steps = StepCounter(limit: .unlimited)
      let weights = try softmaxCoverage(
        features, candidates: count, words: words, wordCount: 2, temperature)
      // All powers are formed before the search begins, by asking for many of them.
      var formed = weights
      for candidate in all { _ = try formed.exact(candidate, for: all.map { $0 + 2 }, &steps) }
      let wanted = plain.next(count, factors: ones, addends: none)
      for weights in [weights, formed] {
        var lazy = try CoverageSearch(
          weights, factors: ones, addends: none, given: count..<count, steps: steps)
        #expect(try lazy.next(count) == wanted)
      }
    }
  }

  @Test("Powers in float64 have the bits of the exponential function")
  func widePowers() {
    var numbers = TestNumbers(17)
    let values =
      (0..<400).map { _ in Double(numbers.next()) * 3 - 2 } + [
        1, 1 + 1e-9, -743, -744, -745, -746, -1e4, -707.9,
      ]
    for temperature in [0.001, 0.2, 1, 100] {
      for kernels in KernelSet.available {
        var powers = values
        kernels.coverage.widePowers(&powers, powers.count, 1, temperature)
        #expect(powers == values.map { exponential(($0 - 1) / temperature) }, "\(kernels.name)")
      }
    }
  }

  @Test(
    "Leading eigenvectors satisfy their equation, are orthogonal, and come largest first",
    arguments: [1, 2, 7, 24])
  func eigenvectors(_ size: Int) throws {
    var numbers = TestNumbers(UInt64(size))
    let half = (0..<size).map { _ in numbers.floats(size).map { Double($0) } }
    var matrix = [Double](repeating: 0, count: size * size)
    for row in 0..<size {
      for column in 0..<size { matrix[row * size + column] = innerProduct(half[row], half[column]) }
    }
    // Two equal eigenvalues, where there is room: the vectors of their plane are any, but orthogonal.
    if size == 7 { matrix = (0..<49).map { $0 % 8 == 0 ? [9, 4, 4, 4, 2, 1, 0][$0 / 8] : 0 } }
    var steps = StepCounter(limit: .unlimited)
    let found = try LeadingEigenvectors(size, of: matrix, size: size, &steps)
    let sorted = zip(found.values, found.values.dropFirst()).allSatisfy { $0 >= $1 }
    #expect(sorted && found.values.count == size)
    for (index, vector) in found.vectors.enumerated() {
      for row in 0..<size {
        let product = innerProduct(Array(matrix[(row * size)..<((row + 1) * size)]), vector)
        #expect(abs(product - found.values[index] * vector[row]) < 1e-12 * (1 + found.values[0]))
      }
      for (other, second) in found.vectors.enumerated() {
        #expect(abs(innerProduct(vector, second) - (index == other ? 1 : 0)) < 1e-12)
      }
    }
  }

  @Test("Cells of a grid hold every token once, whatever their number, and each holds its middle")
  func gridCells() {
    for (rows, columns) in [(1, 1), (1, 20), (6, 6), (7, 5), (24, 24), (5, 13)] {
      let view = TokenView(firstToken: 0, rows: rows, columns: columns)
      for count in 1...(rows * columns) {
        let grid = GridCells(count, of: [view])
        #expect(grid.cells.count == count)
        let cells = grid.assignments(tokenCount: rows * columns).compactMap { $0 }
        #expect(cells.count == rows * columns && Set(cells).count == count)
        for (index, cell) in grid.cells.enumerated() { #expect(cells[cell.centre] == index) }
      }
    }
  }
}
