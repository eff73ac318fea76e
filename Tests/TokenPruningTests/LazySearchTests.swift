import KernelReferences
import Kernels
import Tensors
import Testing

@testable import GreedySearch
@testable import PruningNumerics
@testable import TokenPruning

/// The searches by pairs against eager ones in obvious float64 loops, over shapes, ties and copies.
@Suite struct LazySearchTests {
  /// Rows that are smooth over the sequence, random, of few values (ties), copies of few rows, or of low rank.
  enum Kind: Int, CaseIterable { case smooth, random, fewValues, copies, lowRank }

  static func matrix(_ kind: Kind, _ seed: Int) -> Matrix {
    var numbers = TestNumbers(UInt64(seed * 31 + kind.rawValue))
    let rows = 2 + numbers.below(70)
    let columns = 1 + numbers.below(40)
    let basis = (0..<5).map { _ in numbers.floats(columns) }
    var values: [Float] = []
    for row in 0..<rows {
      switch kind {
      case .smooth:
        let slot = Float(row) * 4 / Float(rows)
        let (low, share) = (Int(slot), slot - Float(Int(slot)))
        let noise = numbers.floats(columns)
        for column in 0..<columns {
          let blend = basis[low][column] * (1 - share) + basis[min(low + 1, 4)][column] * share
          values.append(blend + 0.05 * noise[column])
        }
      case .random: values += numbers.floats(columns)
      case .fewValues: values += (0..<columns).map { _ in Float(numbers.below(2)) }
      case .copies: values += basis[numbers.below(5)].map { $0 * Float(1 << numbers.below(3)) }
      case .lowRank:
        values += basis[0].indices.map { basis[0][$0] * Float(row) + basis[1][$0] * Float(row % 3) }
      }
    }
    // A zero row now and then.
    if numbers.below(2) == 0 {
      let row = numbers.below(rows)
      for column in 0..<columns { values[row * columns + column] = 0 }
    }
    return Matrix(rows: rows, columns: columns, values: values)
  }

  @Test(
    "Farthest-point search chooses as the eager one does, at every level", arguments: Kind.allCases, 0..<8)
  func farthestPoint(_ kind: Kind, _ seed: Int) throws {
    let features = Self.matrix(kind, seed)
    let count = max(1, features.rows * 2 / 3)
    // Norms of the same bits as at every level: rows on one line differ by rounding alone.
    let exact = CosineSpace(features, kernels: .portable)
    let expected = FarthestPointReference.select(
      count, among: Array(0..<features.rows), isZero: exact.isZero, cosine: exact.exactSimilarity)
    for kernels in KernelSet.available {
      for design in [nil] + FarthestPointSearch.Design.allCases {
        var search = FarthestPointSearch(
          CosineSpace(features, kernels: kernels), among: Array(0..<features.rows), design: design)
        #expect(try search.next(count) == expected, "\(kernels.name) \(String(describing: design))")
      }
    }
  }

  /// Rows of half precision, in patches that resemble each other or without any structure.
  private static func halves(_ rows: Int, _ columns: Int, structure: Float, _ seed: UInt64) -> [Float16] {
    var numbers = TestNumbers(seed)
    let centres = (0..<(rows / 9 + 1)).map { _ in numbers.floats(columns) }
    return (0..<rows).flatMap { row in
      let noise = numbers.floats(columns)
      return (0..<columns).map { Float16(structure * centres[row / 9][$0] + noise[$0]) }
    }
  }

  @Test(
    "Farthest-point search of half-precision rows where they lie chooses as the eager one does",
    arguments: [(40, 7), (177, 33), (260, 20), (300, 16)], [Float(0), 0.5, 3])
  func farthestPointOfHalves(_ shape: (rows: Int, columns: Int), _ structure: Float) throws {
    let values = Self.halves(shape.rows, shape.columns, structure: structure, UInt64(shape.rows))
    let bytes = values.flatMap { [UInt8(truncatingIfNeeded: $0.bitPattern), UInt8($0.bitPattern >> 8)] }
    // One byte further, so that no element is aligned.
    let tensor = try Tensor(
      elementType: .float16, shape: Shape([shape.rows, shape.columns]), bytes: ([0] + bytes)[1...])
    let matrix = Matrix(rows: shape.rows, columns: shape.columns, values: values.map(Float.init))
    let count = shape.rows / 2
    let exact = CosineSpace(matrix, kernels: .portable)
    let all = Array(0..<shape.rows)
    let cosines = exact.exactSimilarities(of: all, to: all)
    let expected = FarthestPointReference.select(count, among: all, isZero: exact.isZero) {
      cosines[$0 * shape.rows + $1]
    }
    for kernels in KernelSet.available {
      var search = FarthestPointSearch(
        CosineSpace(matrix, kernels: kernels), among: Array(0..<shape.rows))
      #expect(try search.next(count) == expected, "\(kernels.name)")
    }
    let norms = tensor.squares(columns: shape.columns).map { $0.squareRoot() }
    #expect(norms == matrix.norms(.portable))
    let rows = try #require(FeatureRows(tensor, columns: shape.columns))
    for design in FarthestPointSearch.Design.allCases {
      var search = FarthestPointSearch(
        CosineSpace(rows, norms: norms), among: Array(0..<shape.rows), design: design)
      #expect(try search.next(count) == expected)
    }
    #expect(rows.matrix() == matrix)
    #expect(rows.row(shape.rows - 1) == matrix.row(shape.rows - 1)[...])
  }

  @Test("A bound table finds the lowest, whatever was raised", arguments: [1, 15, 16, 17, 300, 700])
  func boundTable(_ count: Int) {
    var numbers = TestNumbers(UInt64(count))
    let table = BoundTable(count: count)
    var plain = [Float](repeating: -.infinity, count: count)
    for turn in 0..<(4 * count + 20) {
      let value = Float(numbers.below(20))
      if turn % 3 == 0 {
        let first = numbers.below(count) / 4 * 4
        let four = SIMD4(value, value + 1, value - 1, value)
        table.raise(fourFrom: first, to: four)
        for lane in 0..<4 where first + lane < count {
          plain[first + lane] = max(plain[first + lane], four[lane])
        }
      } else if turn % 5 == 1 {
        let first = numbers.below(count) / 16 * 16
        var sixteen = SIMD16<Float>(repeating: value)
        for lane in 0..<16 { sixteen[lane] -= Float(lane % 5) }
        table.raise(sixteenFrom: first, to: sixteen)
        for lane in 0..<16 where first + lane < count {
          plain[first + lane] = max(plain[first + lane], sixteen[lane])
        }
      } else {
        let slot = table.lowestSlot() ?? 0
        if turn % 7 == 0 { table.close(slot) } else { table.raise(slot, to: value) }
        plain[slot] = max(plain[slot], turn % 7 == 0 ? .infinity : value)
      }
      let lowest = plain.min() ?? .infinity
      #expect(table.lowestSlot().map { table[$0] } == (lowest < .infinity ? lowest : nil))
      #expect(table.slots(upTo: value) == plain.indices.filter { plain[$0] <= value })
      guard let slot = table.lowestSlot() else { break }
      let (mates, present) = table.mates(of: slot, but: 1)
      let segments = (0..<present).map { mates[$0] / BoundTable.segment }
      #expect(mates[0] == slot && Set(segments).count == present && !segments.dropFirst().contains(1))
      #expect((0..<present).allSatisfy { plain[mates[$0]] < .infinity })
    }
  }

  @Test(
    "Tiles have the bits of the reference at every level, whatever the tail",
    arguments: Array(0...19) + [64, 257])
  func tiles(_ count: Int) {
    var numbers = TestNumbers(UInt64(count))
    let rows = Matrix(rows: 8, columns: max(count, 1), values: numbers.floats(8 * max(count, 1)))
    func products(_ kernels: KernelSet) -> [Double] {
      var sums = [Double](repeating: 0, count: 20)
      rows.values.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return }
        func row(_ index: Int) -> UnsafePointer<Float> { base + index * rows.columns }
        sums.withUnsafeMutableBufferPointer { sums in
          guard let into = sums.baseAddress else { return }
          kernels.tiles.preciseTile(
            row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7), count, into)
          kernels.tiles.preciseColumn(row(0), row(1), row(2), row(3), row(6), count, into + 16)
        }
      }
      return sums
    }
    let expected = products(.reference)
    #expect(Array(expected[16...]) == Array(expected[8..<12]))
    for kernels in KernelSet.available { #expect(products(kernels) == expected, "\(kernels.name)") }
  }
}
