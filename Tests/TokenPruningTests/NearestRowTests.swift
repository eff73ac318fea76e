import Kernels
import Testing

@testable import PruningNumerics
@testable import TokenPruning

/// The most similar of many rows, by tiles and by one blocked product, against float64 loops.
@Suite struct NearestRowTests {
  enum Kind: Int, CaseIterable { case random, fewValues, copies, extremes, onALine }

  private static func matrix(_ kind: Kind, rows: Int, columns: Int, seed: Int) -> Matrix {
    var numbers = TestNumbers(UInt64(1000 * seed + kind.rawValue))
    let basis = (0..<3).map { _ in numbers.floats(columns) }
    var values: [Float] = []
    for row in 0..<rows {
      switch kind {
      case .random: values += numbers.floats(columns)
      case .fewValues: values += (0..<columns).map { _ in Float(numbers.below(2)) }
      case .copies: values += basis[numbers.below(3)].map { $0 * Float(1 << numbers.below(3)) }
      case .extremes:
        let scale: [Float] = [0x1p-120, 1, 0x1p100, 0]
        let factor = scale[numbers.below(4)]
        values += numbers.floats(columns).map { $0 * factor }
      case .onALine: values += basis[0].map { $0 * Float(row - rows / 2) }
      }
    }
    return Matrix(rows: rows, columns: columns, values: values)
  }

  @Test("Both ways find what float64 finds, at every level", arguments: Kind.allCases, 0..<6)
  func bothWays(_ kind: Kind, _ seed: Int) throws {
    var numbers = TestNumbers(UInt64(seed) + 77)
    let count = 40 + numbers.below(150)
    let features = Self.matrix(kind, rows: count, columns: 1 + numbers.below(70), seed: seed)
    // Every third row among the others, in no order; or all that lie together.
    let isScattered = seed % 2 == 0
    let others = (0..<count).filter { isScattered ? $0 % 3 == 1 : $0 >= count / 2 }
    let rows = (0..<count).filter { !others.contains($0) }.reversed().map { $0 }
    let exact = CosineSpace(features, kernels: .portable)
    let expected = rows.map { row in
      let similarities = others.map { exact.exactSimilarity(row, $0) }
      return similarities.indices.max { similarities[$0] < similarities[$1] } ?? 0
    }
    for kernels in KernelSet.available {
      let space = CosineSpace(features, kernels: kernels)
      var steps = StepCounter(limit: .unlimited)
      let byTiles = try space.mostSimilarByTiles(to: rows, among: others, sharing: .none, &steps)
      let byProducts = try space.mostSimilarByProducts(to: rows, among: others, sharing: .none, &steps)
      let chosen = try space.mostSimilar(to: rows, among: others, sharing: .none, &steps)
      #expect(byTiles == expected, "\(kernels.name)")
      #expect(byProducts == expected && chosen == expected, "\(kernels.name)")
    }
  }

  @Test("A limit ends the search of either way")
  func limited() throws {
    let space = CosineSpace(Self.matrix(.random, rows: 300, columns: 8, seed: 1))
    let limit = StepLimit(1000)
    #expect(throws: PruningError.self) {
      var steps = StepCounter(limit: limit)
      _ = try space.mostSimilarByProducts(
        to: Array(0..<150), among: Array(150..<300), sharing: .none, &steps)
    }
    #expect(throws: PruningError.self) {
      var steps = StepCounter(limit: limit)
      _ = try space.mostSimilarByTiles(to: Array(0..<150), among: Array(150..<300), sharing: .none, &steps)
    }
  }
}
