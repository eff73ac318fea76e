import JSON
import KernelReferences
import Kernels
import Tensors
import Testing

@testable import PruningNumerics
@testable import TokenPruning

/// Deterministic inputs for tests.
struct TestNumbers {
  private var generator: SeededGenerator

  init(_ seed: UInt64) { generator = SeededGenerator(seed: seed) }

  /// In -1..<1, a multiple of 2^-23.
  mutating func next() -> Float { Float(Int(generator.next() >> 40)) * 0x1p-23 - 1 }

  mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in next() } }

  mutating func below(_ bound: Int) -> Int { generator.next(below: bound) }
}

extension SeededGenerator {
  /// Uniform in 0..<1.
  mutating func unit() -> Double { Double(next() >> 11) / Double(UInt64(1) << 53) }
}

extension Matrix {
  subscript(row: Int, column: Int) -> Float { values[row * columns + column] }
}

func floatTensor(_ values: [Float], _ dimensions: [Int]) throws -> Tensor {
  try Tensor.float32(values, shape: Shape(dimensions))
}

/// Features, attention and text of N tokens, random but the same for the same seed.
func makeInput(
  _ count: Int, columns: Int = 24, seed: UInt64 = 1, change: (inout [String: [Float]]) -> Void = { _ in }
) throws -> PruningInput {
  var numbers = TestNumbers(seed)
  var values = [
    "image_features": numbers.floats(count * columns),
    "attention": numbers.floats(2 * count).map { abs($0) },
    "text_features": numbers.floats(columns),
    "pixel_values": numbers.floats(count * columns),
    // Five rows of text behind the image.
    "value_states": numbers.floats((count + 5) * columns),
  ]
  change(&values)
  return PruningInput(
    tokenCount: count,
    tensors: [
      "image_features": try floatTensor(values["image_features"] ?? [], [count, columns]),
      "attention": try floatTensor(values["attention"] ?? [], [2, count]),
      "text_features": try floatTensor(values["text_features"] ?? [], [columns]),
      "pixel_values": try floatTensor(values["pixel_values"] ?? [], [count, columns]),
      "value_states": try floatTensor(values["value_states"] ?? [], [count + 5, columns]),
    ], layout: nil, seed: seed)
}

/// Parameters without which a method rejects inputs that have no layout.
func neededParameters(_ method: String) -> JSONObject { method == "evs" ? ["frames": 1] : [:] }

/// The error that `body` throws, for tests of what it says.
func pruningError(_ body: () throws -> Void) -> PruningError? {
  do {
    try body()
    return nil
  } catch {
    return error as? PruningError
  }
}

extension Sequence where Element: Comparable {
  var isStrictlyAscending: Bool { zip(self, dropFirst()).allSatisfy { $0 < $1 } }
}

extension Matrix {
  /// The inner product of two rows in float64, in the order that all levels share.
  func exactProduct(_ a: Int, _ b: Int) -> Double {
    var sums = [0.0, 0, 0, 0]
    values.withUnsafeBufferPointer { values in
      guard let base = values.baseAddress else { return }
      let row = base + a * columns
      KernelSet.reference.tiles.preciseColumn(row, row, row, row, base + b * columns, columns, &sums)
    }
    return sums[0]
  }
}
