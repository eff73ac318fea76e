import Foundation
import Kernels
import TensorFormats
import Tensors
import Testing

@testable import GreedySearch
@testable import PruningNumerics
@testable import TokenPruning

/// The fast searches against their references, on features as encoders give them and on awkward ones.
@Suite struct SearchReferenceTests {
  enum Features: String, CaseIterable {
    /// A few low frequencies over a grid, a strong common mean, and noise.
    case smooth
    /// Three by three tokens each that are alike.
    case patches
    /// Of a photograph, see Examples.
    case descriptors
    case noise, zeroRows, duplicates, collinear
  }

  static func matrix(_ kind: Features) throws -> Matrix {
    if kind == .descriptors { return try descriptors() }
    let (side, columns) = (11, 104)
    var numbers = TestNumbers(UInt64(kind.rawValue.count))
    let waves = (0..<16).map { _ in numbers.floats(columns) }
    let mean = numbers.floats(columns)
    let centres = (0..<16).map { _ in numbers.floats(columns) }
    var values: [Float] = []
    for slot in 0..<(side * side) {
      let (y, x) = (slot / side, slot % side)
      let noise = numbers.floats(columns)
      var row: [Float]
      switch kind {
      case .smooth, .zeroRows:
        row = columnsOf { 1.5 * mean[$0] + 0.6 * noise[$0] }
        for wave in waves.indices {
          let phase = Double((wave / 4) * y + (wave % 4) * x) * 2 * .pi / Double(side)
          for column in 0..<columns { row[column] += 0.6 * Float(cos(phase)) * waves[wave][column] }
        }
        if kind == .zeroRows, slot % 5 == 2 { row = columnsOf { _ in 0 } }
      case .patches: row = columnsOf { centres[y / 3 * 4 + x / 3][$0] + 0.5 * noise[$0] }
      case .duplicates: row = columnsOf { centres[slot * 7 % 16][$0] + mean[$0] }
      case .collinear:
        let size = Float(1 + slot % 6)
        row = columnsOf { (mean[$0] + 0.2 * centres[slot / 6 % 16][$0]) * size }
      default: row = noise
      }
      values += row
    }
    func columnsOf(_ value: (Int) -> Float) -> [Float] { (0..<columns).map(value) }
    return Matrix(rows: side * side, columns: columns, values: values)
  }

  /// Every fourth token of an example.
  private static func descriptors() throws -> Matrix {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
      "../../Examples/cat_eye.safetensors")
    let body = try [UInt8](Data(contentsOf: file))
    guard
      case .one(let tensor)? = try SafetensorsFormat.decode(body[...], DecodingHints()).tensors[
        "image_features"]
    else { throw PruningError(at: "image_features", "the example has none") }
    let all = Matrix(tensor, columns: tensor.shape[1])
    return all.gathered(Array(stride(from: 0, to: all.rows, by: 4)))
  }

  private static func counts(of rows: Int) -> [Int] { [1, 7, rows / 2, rows] }

  @Test("Farthest points, by every design and at every level", arguments: Features.allCases)
  func farthestPoints(_ kind: Features) throws {
    let features = try Self.matrix(kind)
    let all = Array(0..<features.rows)
    let exact = CosineSpace(features, kernels: .portable)
    let cosines = exact.exactSimilarities(of: all, to: all)
    for given in [[], [3, 50, 51, 90]] {
      let candidates = all.filter { !given.contains($0) }
      let expected = FarthestPointReference.select(
        candidates.count, among: candidates, given: given, isZero: exact.isZero
      ) { cosines[$0 * features.rows + $1] }
      for kernels in KernelSet.available {
        let space = CosineSpace(features, kernels: kernels)
        for design in [nil] + FarthestPointSearch.Design.allCases {
          var search = FarthestPointSearch(space, among: candidates, given: given, design: design)
          var found: [Int] = []
          for count in Self.counts(of: candidates.count) { found += try search.next(count - found.count) }
          #expect(found == expected, "\(kernels.name) \(String(describing: design)) \(given.count)")
        }
      }
    }
  }

  @Test("Determinants, eagerly and lazily, at every level", arguments: Features.allCases)
  func determinants(_ kind: Features) throws {
    let features = try Self.matrix(kind)
    let norms = features.norms(.portable)
    let quality = norms.indices.map { 0.3 + Double($0 * 37 % 71) / 101 }
    let scales = norms.indices.map { norms[$0] > 0 ? quality[$0] / norms[$0] : 0 }
    for given in [[], [3, 50, 51, 90]] {
      let candidates = norms.indices.filter { !given.contains($0) }
      let expected = DeterminantalReference.select(
        candidates.count, among: candidates, given: given, quality: quality,
        diagonal: { norms[$0] > 0 ? quality[$0] * quality[$0] : 0 },
        kernel: { features.exactProduct($0, $1) * scales[$0] * scales[$1] })
      for kernels in KernelSet.available {
        for isEager in [false, true] {
          var search = try DeterminantalSearch(
            MeasuredRows(features, kernels: kernels), quality: quality, among: candidates, given: given,
            capacity: features.rows, kernels: kernels, isEager: isEager)
          var found: [Int] = []
          for count in Self.counts(of: candidates.count) { found += try search.next(count - found.count) }
          #expect(found == expected, "\(kernels.name) \(isEager) \(given.count)")
        }
      }
    }
  }

  @Test("Bounds in few coordinates are never below the exact cosines", arguments: Features.allCases)
  func sketchBounds(_ kind: Features) throws {
    let features = try Self.matrix(kind)
    for kernels in KernelSet.available {
      let space = CosineSpace(features, kernels: kernels)
      let rows = (0..<features.rows).filter { !space.isZero($0) }
      var steps = StepCounter(limit: .unlimited)
      let sketch = try RowSketch(space, rows, sharing: .none, &steps)
      let bounds = FloatColumns(1, of: rows.count)
      for slot in stride(from: 0, to: rows.count, by: 13) {
        sketch.bounds(of: slot, into: bounds.base)
        let exact = space.exactSimilarities(of: rows, to: [rows[slot]])
        #expect(
          exact.indices.allSatisfy { exact[$0] <= Double(bounds[$0] + sketch.boundError) },
          "\(kernels.name)")
      }
      #expect(sketch.boundError < 0.01)
    }
  }

  @Test("Features that share a mean are sketched, others are not")
  func choice() throws {
    for (kind, expected) in [(Features.smooth, true), (.patches, false), (.noise, false)] {
      let space = CosineSpace(try Self.matrix(kind))
      var steps = StepCounter(limit: .unlimited)
      let all = Array(0..<space.rows)
      let isSketched = try space.withReader { reader in
        Result { try RowSketch.promisesMuch(space, all, reader, &steps) }
      }.get()
      #expect(isSketched == expected, "\(kind)")
    }
  }
}
