import KernelReferences
import Kernels
import Tensors
import Testing

@testable import GreedySearch
@testable import PruningNumerics
@testable import TokenPruning

/// The lazy searches against eager ones in obvious loops.
@Suite struct GreedySearchTests {
  private func matrix(_ seed: UInt64, rows: Int, columns: Int) -> Matrix {
    var numbers = TestNumbers(seed)
    return Matrix(rows: rows, columns: columns, values: numbers.floats(rows * columns))
  }

  private func tensor(_ shape: [Int], _ values: [Float]) throws -> Tensor {
    try Tensor.float32(values, shape: Shape(shape))
  }

  private func cosine(_ m: Matrix, _ a: Int, _ b: Int) -> Double {
    let dot = zip(m.row(a), m.row(b)).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
    let norms = m.norms(.reference)
    return dot / (norms[a] * norms[b])
  }

  @Test("Farthest-point search equals the eager one, from given rows too", arguments: 0..<12)
  func farthestPoint(_ seed: Int) throws {
    let features = matrix(UInt64(seed), rows: 30, columns: 5 + seed)
    let given = seed % 3 == 0 ? [] : Array(stride(from: seed % 5, to: 30, by: 11))
    let candidates = (0..<30).filter { !given.contains($0) }
    var expected: [Int] = []
    while expected.count < 12 {
      let selected = given + expected
      func nearest(_ row: Int) -> Double {
        let others = selected.isEmpty ? candidates.filter { $0 != row } : selected
        return others.map { cosine(features, row, $0) }.max() ?? 0
      }
      let left = candidates.filter { !expected.contains($0) }
      guard let best = left.min(by: { nearest($0) < nearest($1) }) else { break }
      expected.append(best)
    }
    var search = FarthestPointSearch(CosineSpace(features), among: candidates, given: given)
    #expect(try search.next(5) + search.next(7) == expected)
  }

  @Test("Determinantal search takes the largest gain in determinant at every step", arguments: 0..<8)
  func determinantal(_ seed: Int) throws {
    let features = matrix(UInt64(100 + seed), rows: 20, columns: 12)
    var numbers = TestNumbers(UInt64(seed))
    let quality = (0..<20).map { _ in Double(abs(numbers.next())) + 0.05 }
    let given = seed % 2 == 0 ? [] : [3, 8]
    let candidates = (0..<20).filter { !given.contains($0) }
    var expected: [Int] = []
    while expected.count < 6 {
      let selected = given + expected
      func gain(_ row: Int) -> Double {
        determinant(
          (selected + [row]).map { i in
            (selected + [row]).map { quality[i] * cosine(features, i, $0) * quality[$0] }
          })
      }
      let left = candidates.filter { !expected.contains($0) }
      guard let best = left.max(by: { gain($0) < gain($1) }) else { break }
      expected.append(best)
    }
    var search = try DeterminantalSearch(
      MeasuredRows(features), quality: quality, among: candidates, given: given, capacity: 8)
    #expect(try search.next(2) + search.next(4) == expected)
  }

  @Test("When the rank is exhausted the rest comes by quality, then index")
  func exhaustedRank() throws {
    // Three directions only, ten rows.
    let values = (0..<10).flatMap { row in (0..<3).map { Float($0 == row % 3 ? 1 : 0) } }
    let quality = [0.5, 0.6, 0.7, 0.9, 0.8, 0.7, 0.1, 0.8, 0.2, 0.3]
    var search = try DeterminantalSearch(
      MeasuredRows(Matrix(rows: 10, columns: 3, values: values)), quality: quality, among: Array(0..<10),
      capacity: 10)
    #expect(try search.next(10) == [3, 4, 2, 7, 5, 1, 0, 9, 8, 6])
  }

  @Test("Padding does not lead CDPruner to the least relevant token")
  func cdprunerWithPadding() throws {
    let input = PruningInput(
      tokenCount: 7,
      tensors: [
        "image_features": try tensor(
          [7, 3], [0, 1, 0, 0, 0, 0, -1, -2, 1, -2, 2, -2, 0, 0, 0, -2, -2, -1, 0, 0, 0]),
        "relevance_features": try tensor([7, 2], [1, 2, 1, 5, 1, 0, 1, 3, 1, 1, 1, 6, 1, 4]),
        "text_features": try tensor([2], [0, -1]),
      ], layout: nil)
    let result = try prune(input, PruneRequest(method: "cdpruner", budget: .keepTokens(3)))
    #expect(result.kept == [0, 3, 5])
  }

  @Test(
    "Copies are equally far, whatever stands between them",
    arguments: [[0, 1, 0, 0, 1], [1, 0, 0, 1, 1, 0]])
  func copies(_ pattern: [Int]) throws {
    let (a, b): ([Float], [Float]) = ([-0.127615, 0.477806], [0.549130, -1.183143])
    let features = Matrix(rows: pattern.count, columns: 2, values: pattern.flatMap { $0 == 0 ? a : b })
    var search = FarthestPointSearch(CosineSpace(features), among: Array(pattern.indices))
    let order = try search.next(pattern.count)
    let second = pattern.firstIndex { $0 != pattern[0] } ?? 0
    #expect(order == [0, second] + pattern.indices.filter { $0 != 0 && $0 != second })
  }

  @Test("VisPruner thins copies by their place alone")
  func copiesThinned() throws {
    var numbers = TestNumbers(3)
    let rows = (0..<4).map { _ in numbers.floats(7) }
    // Every row at an even place has copies at odd ones, so all are equally duplicated, and the first go.
    let slots = [0, 1, 2, 3, 1, 0, 3, 2, 0, 1, 2, 3, 1, 0, 3, 2]
    let features = Matrix(rows: 16, columns: 7, values: slots.flatMap { rows[$0] })
    var thinning = try DuplicateThinning(
      Array(0..<16), in: CosineSpace(features), stepLimit: .unlimited, sharing: .none)
    #expect(
      try thinning.thinned(to: 13, removedPerRound: 8) == [6, 8, 10, 12, 14] + stride(from: 1, to: 16, by: 2))
  }

  @Test("A zero row is chosen last by both searches")
  func zeroRows() throws {
    var values = matrix(5, rows: 6, columns: 4).values
    for column in 0..<4 { values[4 + column] = 0 }
    let features = Matrix(rows: 6, columns: 4, values: values)
    var farthest = FarthestPointSearch(CosineSpace(features), among: Array(0..<6))
    #expect(try farthest.next(6).last == 1)
    var determinantal = try DeterminantalSearch(
      MeasuredRows(features), quality: [1, 1, 1, 1, 0.9, 0.9], among: Array(0..<6), capacity: 6)
    #expect(try !determinantal.next(4).contains(1))
  }

  /// By elimination with row exchange.
  private func determinant(_ rows: [[Double]]) -> Double {
    var m = rows
    var result = 1.0
    for step in m.indices {
      guard let pivot = m.indices[step...].max(by: { abs(m[$0][step]) < abs(m[$1][step]) }),
        m[pivot][step] != 0
      else { return 0 }
      if pivot != step {
        m.swapAt(pivot, step)
        result = -result
      }
      result *= m[step][step]
      for row in (step + 1)..<max(m.count, step + 1) {
        let factor = m[row][step] / m[step][step]
        for column in step..<m.count { m[row][column] -= factor * m[step][column] }
      }
    }
    return result
  }
}
