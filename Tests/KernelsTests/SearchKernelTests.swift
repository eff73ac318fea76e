import KernelReferences
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

  @Test(
    "What a search for coverage does has the same bits at every level, near those of the reference",
    arguments: [0, 1, 7, 16, 31, 64, 577])
  func coverage(_ count: Int) {
    let room = count + 1
    let weights = Self.floats(room, seed: 21).map(abs)
    // Some are covered well, some just so, some not.
    let covered = zip(weights, Self.floats(room, seed: 23)).map { abs($1) < 0.2 ? $0 : abs($1) }
    let shares = Self.floats(room, seed: 25).map(abs)
    let products = Self.floats(room, seed: 27).map { $0 * 40 }
    struct Results: Equatable {
      var gain: SIMD2<Float>
      var covered: [Float]
      var scaled: [Float]
      var powers: [Float]
      var sum: Double
      var wide: [Double]
    }
    func results(_ kernels: CoverageKernelSet) -> Results {
      var results = Results(
        gain: kernels.gain(weights, covered, shares, count, 1e-3, 1e-4), covered: covered, scaled: products,
        powers: [Float](repeating: -1, count: room), sum: 0, wide: products.map { Double($0) * 20 })
      kernels.cover(&results.covered, weights, count)
      kernels.scale(&results.scaled, shares, 0.5, count)
      results.sum = kernels.powers(products, shares, 0.025, 5, &results.powers, count)
      kernels.widePowers(&results.wide, count, 801, 1.5)
      return results
    }
    let expected = results(.reference)
    let first = results(KernelSet.portable.coverage)
    for kernels in KernelSet.available { #expect(results(kernels.coverage) == first, "\(kernels.name)") }
    #expect(first.covered == expected.covered && first.scaled == expected.scaled)
    for lane in 0..<2 { #expect(abs(first.gain[lane] - expected.gain[lane]) <= 1e-5 * expected.gain[lane]) }
    #expect(first.powers.last == -1 && first.wide.last == Double(products[count]) * 20)
    for index in 0..<count {
      #expect(abs(first.powers[index] - expected.powers[index]) <= 2e-6 * expected.powers[index])
      // The reference squares its way up, which costs it digits.
      #expect(abs(first.wide[index] - expected.wide[index]) <= 1e-12 * expected.wide[index])
    }
    #expect(abs(first.sum - expected.sum) <= 2e-6 * expected.sum)
  }
}
