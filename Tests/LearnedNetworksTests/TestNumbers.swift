import PruningNumerics

@testable import LearnedNetworks

/// Deterministic inputs for tests.
struct TestNumbers {
  private var generator: SeededGenerator

  init(_ seed: UInt64) { generator = SeededGenerator(seed: seed) }

  /// In -1..<1, multiples of 2^-23.
  mutating func floats(_ count: Int) -> [Float] {
    (0..<count).map { _ in Float(Int(generator.next() >> 40)) * 0x1p-23 - 1 }
  }
}

extension FloatRows {
  func row(_ index: Int) -> ArraySlice<Float> { values[(index * columns)..<((index + 1) * columns)] }
}
