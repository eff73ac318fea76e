import KernelReferences
import Kernels
import Tensors
import Testing

@testable import GreedySearch
@testable import PruningNumerics
@testable import TokenPruning

/// The lazy determinantal search against algorithm 1 in obvious float64 loops.
@Suite struct DeterminantalSearchTests {
  @Test(
    "It chooses as the eager algorithm does, at every level", arguments: LazySearchTests.Kind.allCases, 0..<8)
  func eagerly(_ kind: LazySearchTests.Kind, _ seed: Int) throws {
    let features = LazySearchTests.matrix(kind, seed)
    var numbers = TestNumbers(UInt64(seed) + 999)
    let quality = (0..<features.rows).map { _ in
      kind == .fewValues ? Double(1 + numbers.below(2)) : Double(abs(numbers.next())) + 0.05
    }
    try expectEager(features, quality, max(1, features.rows * 2 / 3))
  }

  /// What bounds and rounding could stumble over.
  enum Hazard: Int, CaseIterable {
    /// Runs of rows that differ by a twentieth: bounds by neighbours rule most of them out.
    case clusters
    /// Rows that others nearly make up: residuals of all magnitudes down to rounding.
    case nearlyDependent
    /// Lengths from 2^-60 to 2^60, whose products float32 does not hold.
    case lengths
    /// Copies beside each other and far apart, of equal and of unequal quality.
    case copies
    /// Qualities of zero, and of all magnitudes.
    case qualities
    /// Padding: seven rows of ten, or nearly all of them, are zero.
    case zeros
  }

  @Test("Nor is it misled by awkward rows and qualities", arguments: Hazard.allCases, 0..<6)
  func hazards(_ hazard: Hazard, _ seed: Int) throws {
    var numbers = TestNumbers(UInt64(seed * 17 + hazard.rawValue))
    let rows = 40 + numbers.below(90)
    let columns = 3 + numbers.below(60)
    let basis = (0..<12).map { _ in numbers.floats(columns) }
    var values: [Float] = []
    for row in 0..<rows {
      let noise = numbers.floats(columns)
      let centre = basis[row / 12 % 12]
      switch hazard {
      case .clusters, .qualities: values += zip(centre, noise).map { $0 + 0.05 * $1 }
      case .nearlyDependent:
        let size = Float(sign: .plus, exponent: -4 * numbers.below(6), significand: 1)
        values += centre.indices.map { centre[$0] + basis[row % 5][$0] + size * noise[$0] }
      case .lengths:
        let length = Float(sign: .plus, exponent: numbers.below(121) - 60, significand: 1)
        values += zip(centre, noise).map { ($0 + 0.2 * $1) * length }
      case .copies: values += numbers.below(3) == 0 ? noise : basis[numbers.below(12)]
      case .zeros:
        let share = seed.isMultiple(of: 2) ? 70 : 97
        values += numbers.below(100) < share ? centre.map { _ in 0 } : zip(centre, noise).map { $0 + $1 }
      }
    }
    let quality = (0..<rows).map { row -> Double in
      switch hazard {
      case .qualities where row % 7 == 0: return 0
      case .qualities: return Double(sign: .plus, exponent: -numbers.below(40), significand: 1)
      case .copies: return row % 2 == 0 ? 1 : 0.5
      default: return Double(abs(numbers.next())) + 0.05
      }
    }
    try expectEager(Matrix(rows: rows, columns: columns, values: values), quality, rows * 3 / 4)
  }

  private func expectEager(_ features: Matrix, _ quality: [Double], _ count: Int) throws {
    let expected = eager(features, quality, count)
    for kernels in KernelSet.available {
      for isEager in [false, true] {
        var search = try DeterminantalSearch(
          MeasuredRows(features, kernels: kernels), quality: quality, among: Array(0..<features.rows),
          capacity: count, kernels: kernels,
          isEager: isEager)
        #expect(try search.next(count) == expected, "\(kernels.name) \(isEager)")
      }
    }
  }

  private func eager(_ features: Matrix, _ quality: [Double], _ count: Int) -> [Int] {
    let norms = features.norms(.portable)
    let scales = norms.indices.map { norms[$0] > 0 ? quality[$0] / norms[$0] : 0 }
    return DeterminantalReference.select(
      count, among: Array(norms.indices), quality: quality,
      diagonal: { norms[$0] > 0 ? quality[$0] * quality[$0] : 0 },
      kernel: { features.exactProduct($0, $1) * scales[$0] * scales[$1] })
  }

  @Test(
    "Rows are read where they lie, whatever their format and address",
    arguments: [ElementType.float32, .float16, .bfloat16, .float64], [0, 1, 2])
  func formats(_ type: ElementType, _ offset: Int) throws {
    let (rows, columns) = (50, 19)
    var numbers = TestNumbers(UInt64(offset))
    // Few bits, so that every format holds them.
    let values = (0..<(rows * columns)).map { _ in Float(numbers.below(200) - 100) / 64 }
    let bytes = [UInt8](repeating: 0, count: offset) + encoded(values, type)
    let tensor = try Tensor(elementType: type, shape: Shape([rows, columns]), bytes: bytes[offset...])
    let direction = (0..<columns).map { Double($0) - 7 }
    let (read, products) = MeasuredRows.reading(tensor, columns: columns, comparedWith: direction)
    let matrix = Matrix(rows: rows, columns: columns, values: values)
    #expect(read.norms == matrix.norms())
    for row in 0..<rows {
      let expected = zip(matrix.row(row), direction).reduce(0.0) { $0 + Double($1.0) * $1.1 }
      #expect(abs(products[row] - expected) < 1e-9)
    }
    let quality = (0..<rows).map { 0.2 + Double($0 * 7 % 11) / 11 }
    var search = try DeterminantalSearch(read, quality: quality, among: Array(0..<rows), capacity: 30)
    #expect(try search.next(30) == eager(matrix, quality, 30))
  }

  private func encoded(_ values: [Float], _ type: ElementType) -> [UInt8] {
    func bytes(_ bits: some FixedWidthInteger) -> [UInt8] {
      withUnsafeBytes(of: bits.littleEndian, Array.init)
    }
    return values.flatMap { value in
      switch type {
      case .float16: bytes(halfBits(value))
      case .bfloat16: bytes(UInt16(value.bitPattern >> 16))
      case .float64: bytes(Double(value).bitPattern)
      default: bytes(value.bitPattern)
      }
    }
  }

  /// Of a number that binary16 holds as a normal one or zero.
  private func halfBits(_ value: Float) -> UInt16 {
    guard value != 0 else { return 0 }
    let sign: UInt16 = value < 0 ? 0x8000 : 0
    return sign | UInt16(Int(value.exponent) + 15) << 10 | UInt16((value.bitPattern >> 13) & 0x3ff)
  }

  @Test("A bound by neighbours is never below what all selections leave", arguments: 0..<20)
  func nearBounds(_ seed: Int) {
    var numbers = TestNumbers(UInt64(seed))
    let columns = 12
    let centre = numbers.floats(columns)
    let size: Float = [1, 0.3, 0.01, 1e-5][seed % 4]
    let rows = (0..<9).map { _ in zip(centre, numbers.floats(columns)).map { Double($0 + size * $1) } }
    func cosine(_ a: Int, _ b: Int) -> Double {
      func product(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
      return product(rows[a], rows[b])
        / (product(rows[a], rows[a]).squareRoot() * product(rows[b], rows[b]).squareRoot())
    }
    let near = NearSelections(slots: 1, rows: 9, columns: columns, capacity: 8)
    var left = 1.0
    for selection in 0..<8 {
      near.append(row: selection + 1)
      #expect(near.next(for: 0, at: 0) == (near.members(of: 0).count < 4 ? selection : nil))
      guard near.members(of: 0).count < 4 else { break }
      let (members, count) = near.members(of: 0)
      for index in 0..<count {
        near.learn(cosine(Int(members[index]) + 1, selection + 1), of: Int(members[index]), selection)
      }
      // An error of that size, of either sign.
      let error = 1e-6
      let bound = near.shareLeft(
        of: 0, with: selection, cosine: cosine(0, selection + 1) + (selection % 2 == 0 ? error : -error),
        error: error)
      left = min(left, bound)
      let exact = shareLeft(rows, of: 0, by: Array(1...(selection + 1)))
      #expect(bound >= exact)
    }
    // Rows that have nothing in common but chance leave some, copies nearly nothing: the bound is of use.
    if size <= 0.01 { #expect(left < 0.01) }
  }

  /// By orthogonalisation, done twice.
  private func shareLeft(_ rows: [[Double]], of row: Int, by others: [Int]) -> Double {
    var basis: [[Double]] = []
    func reduced(_ vector: [Double]) -> [Double] {
      var rest = vector
      for direction in basis + basis {
        let product = zip(rest, direction).reduce(0) { $0 + $1.0 * $1.1 }
        for index in rest.indices { rest[index] -= product * direction[index] }
      }
      return rest
    }
    func square(_ vector: [Double]) -> Double { vector.reduce(0) { $0 + $1 * $1 } }
    for other in others {
      let rest = reduced(rows[other])
      let length = square(rest).squareRoot()
      if length > 1e-9 { basis.append(rest.map { $0 / length }) }
    }
    return square(reduced(rows[row])) / square(rows[row])
  }

  @Test(
    "Panels and the factor have the bits of the reference at every level, whatever the tail",
    arguments: Array(0...19) + [64, 257])
  func kernels(_ columns: Int) {
    var numbers = TestNumbers(UInt64(columns))
    let panel = numbers.floats(8 * max(columns, 1))
    let rows = numbers.floats(2 * max(columns, 1))
    let block = (0..<(8 * 24)).map { _ in Double(numbers.next()) }
    let kernel = (0..<16).map { _ in Double(numbers.next()) }
    func results(_ kernels: KernelSet) -> [Double] {
      var sums = [Double](repeating: 0, count: 24)
      var factor = kernel + Array(repeating: 0.0, count: 8)
      var left = 5.0
      rows.withUnsafeBufferPointer { rows in
        panel.withUnsafeBufferPointer { panel in
          guard let a = rows.baseAddress, let panel = panel.baseAddress else { return }
          kernels.factors.panelProducts(a, panel, columns, &sums)
          sums.withUnsafeMutableBufferPointer { sums in
            guard let into = sums.baseAddress else { return }
            kernels.factors.panelPairs(a, a + columns, panel, columns, into + 8)
          }
        }
      }
      for (start, first, end) in [(0, 0, 8), (8, 2, 5), (8, 5, 8), (16, 0, 3)] {
        left = kernels.factors.advance(&factor, block, start, first, end, kernel, sums, left)
      }
      return sums + factor + [left]
    }
    let expected = results(.reference)
    #expect(Array(expected[0..<8]) == Array(expected[8..<16]))
    for kernels in KernelSet.available { #expect(results(kernels) == expected, "\(kernels.name)") }
  }
}
