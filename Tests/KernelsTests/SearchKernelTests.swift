import Testing

@testable import Kernels

/// What searches do to all candidates at once, against the obvious loops.
@Suite struct SearchKernelTests {
  private static func floats(_ count: Int, seed: UInt64) -> [Float] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(Int64(bitPattern: state) >> 32) * 0x1p-31
    }
  }

  @Test(
    "Columns are combined, compared and raised as the reference does", arguments: [64, 128, 576],
    [0, 1, 7, 49])
  func columns(_ count: Int, _ depth: Int) {
    let rows = Self.floats((depth + 1) * count, seed: 3)
    let weights = Self.floats(depth + 1, seed: 5)
    // Few values, so that there are ties.
    let values = Self.floats(count, seed: 7).map { ($0 * 8).rounded() / 8 }
    let factors = Self.floats(count, seed: 9)
    func results(_ kernels: SearchKernelSet) -> (
      combined: [Float], found: [Int32], ends: [Int], raised: [Float]
    ) {
      var combined = [Float](repeating: .nan, count: count)
      kernels.combine(weights, depth, rows, count, &combined, count)
      var indices = [Int32](repeating: -1, count: count)
      let found = kernels.above(values, factors, 0.125, &indices, count)
      var raised = factors
      raised[count / 2] = .infinity
      kernels.raise(values, factors, 0.5, &raised, count - 3)
      return (
        combined, Array(indices[..<found]), [kernels.lowest(values, count), kernels.highest(values, count)],
        raised
      )
    }
    let expected = results(.reference)
    for kernels in KernelSet.available {
      let actual = results(kernels.search)
      #expect(
        zip(actual.combined, expected.combined).allSatisfy { abs($0 - $1) <= Float(depth + 1) * 0x1p-22 })
      #expect(actual.found == expected.found, "\(kernels.name)")
      #expect(actual.ends == expected.ends, "\(kernels.name)")
      #expect(actual.raised == expected.raised, "\(kernels.name)")
    }
  }

  @Test(
    "A step of the factor has the bits of the reference at every level", arguments: [1, 7, 8, 19, 64],
    [0, 1, 9])
  func condition(_ columns: Int, _ step: Int) {
    let stride = 64
    let panel = Self.floats(columns * stride, seed: 11)
    let x = Self.floats(columns, seed: 13).map { Double($0) }
    let weights = Self.floats(step + 1, seed: 15).map { Double($0) / 3 }
    let scales = Self.floats(stride, seed: 17).map { Double($0) / 7 }
    let rows = Self.floats((step + 1) * stride, seed: 19).map { Double($0) / 11 }
    func results(_ kernels: FactorKernelSet) -> [Double] {
      var factor = rows
      var gains = scales
      gains[5] = -.infinity
      kernels.condition(x, panel, columns, stride, &factor, step, weights, scales, 0.7, 1.3, &gains)
      return factor + gains + [Double(kernels.highest(gains, stride))]
    }
    let expected = results(.reference)
    for kernels in KernelSet.available { #expect(results(kernels.factors) == expected, "\(kernels.name)") }
  }
}
