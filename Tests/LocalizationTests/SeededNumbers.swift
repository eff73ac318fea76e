import PruningNumerics

extension SeededGenerator: RandomNumberGenerator {
  /// Uniform in 0..<1.
  mutating func unit() -> Double { Double(next() >> 11) / Double(UInt64(1) << 53) }
}
