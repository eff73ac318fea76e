import KernelReferences
import Testing

@testable import Kernels

/// What is computed in float64 must have the same bits at every processor level, and float32 products must stay
/// within the tolerance that choices allow for: answers may not depend on the machine.
@Suite struct LevelTests {
  private static let lengths = Array(0...41) + [63, 64, 65, 127, 255, 1000, 1024]

  /// A linear congruential sequence in [-1, 1); reproducible and good enough to exercise rounding.
  private static func floats(_ count: Int, seed: UInt64) -> [Float] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(Int64(bitPattern: state) >> 32) * 0x1p-31
    }
  }

  @Test("the baseline is always there, and the active set is the last that is")
  func choice() {
    #expect(KernelSet.available.first?.name == "baseline")
    #expect(KernelSet.active.name == KernelSet.available.last?.name)
  }

  @Test(
    "every level gives the baseline's bits in float64, and its products within the tolerance",
    arguments: lengths)
  func sameBits(_ count: Int) {
    let rows = (0..<5).map { Self.floats(count, seed: UInt64($0) + 11) }
    func results(_ kernels: KernelSet) -> [UInt64] {
      rows[0].withUnsafeBufferPointer { a in
        rows[1].withUnsafeBufferPointer { b in
          rows[2].withUnsafeBufferPointer { c in
            rows[3].withUnsafeBufferPointer { d in
              rows[4].withUnsafeBufferPointer { e in
                guard let a = a.baseAddress, let b = b.baseAddress, let c = c.baseAddress,
                  let d = d.baseAddress,
                  let e = e.baseAddress
                else { return [] }
                let four = kernels.column(a, b, c, d, e, count)
                var scaled = [Float](repeating: 0, count: count)
                var sums = [Double](repeating: 0.1, count: count)
                scaled.withUnsafeMutableBufferPointer {
                  if let to = $0.baseAddress { kernels.scale(a, 0.3, to, count) }
                }
                sums.withUnsafeMutableBufferPointer {
                  if let to = $0.baseAddress { kernels.accumulate(a, to, count) }
                }
                for (product, other) in zip(
                  [kernels.dot(a, b, count)] + (0..<4).map { four[$0] }, [b, b, c, d, e])
                {
                  // The elements lie in [-1, 1), so the lengths' product is at most count.
                  let error = abs(Double(product) - ReferenceKernels.dot(a, other, count))
                  #expect(
                    error <= Double(count) * Double(KernelSet.tolerance(columns: count)), "\(kernels.name)")
                }
                let wide = rows[1...4].map { $0.map { Double($0) * 1.1 } }
                let products = wide.map { row in
                  row.withUnsafeBufferPointer { $0.baseAddress.map { kernels.widenedDot(a, $0, count) } ?? 0 }
                }
                for (product, row) in zip(products, wide) {
                  let exact = zip(rows[0], row).reduce(0) { $0 + Double($1.0) * $1.1 }
                  #expect(abs(product - exact) <= Double(count + 1) * 1e-14, "\(kernels.name)")
                }
                return [kernels.preciseDot(a, b, count).bitPattern] + products.map(\.bitPattern)
                  + scaled.map { UInt64($0.bitPattern) }
                  + sums.map(\.bitPattern)
              }
            }
          }
        }
      }
    }
    let expected = results(.portable)
    for kernels in KernelSet.available { #expect(results(kernels) == expected, "\(kernels.name)") }
  }

  @Test("every level widens all 65,536 half-precision patterns exactly")
  func widening() {
    let patterns = (0...UInt16.max).map { $0 }
    let expected = patterns.map { Float(Float16(bitPattern: $0)) }
    for kernels in KernelSet.available {
      var half = [Float](repeating: 0, count: patterns.count)
      var brain = half
      patterns.withUnsafeBytes { source in
        half.withUnsafeMutableBytes { target in
          guard let from = source.baseAddress, let to = target.baseAddress else { return }
          #expect(kernels.widenFloat16(from, to, patterns.count) == patterns.count)
        }
        brain.withUnsafeMutableBytes { target in
          guard let from = source.baseAddress, let to = target.baseAddress else { return }
          #expect(kernels.widenBFloat16(from, to, patterns.count) == patterns.count)
        }
      }
      let halfIsExact = zip(half, expected).allSatisfy { $0 == $1 || ($0.isNaN && $1.isNaN) }
      let brainIsExact = zip(brain, patterns).allSatisfy { $0.bitPattern == UInt32($1) << 16 }
      #expect(halfIsExact && brainIsExact, "\(kernels.name)")
    }
  }

  @Test("sums of magnitudes have the same bits at every level", arguments: lengths)
  func magnitudes(_ count: Int) {
    let rows = (0..<4).map { Self.floats(count, seed: UInt64($0) + 3) + [0] }
    let expected = KernelSet.reference.absoluteSums(rows[0], rows[1], rows[2], rows[3], count)
    for kernels in KernelSet.available {
      #expect(kernels.absoluteSums(rows[0], rows[1], rows[2], rows[3], count) == expected, "\(kernels.name)")
    }
    #expect((0..<4).allSatisfy { (expected[$0] > 0) == (count > 0) })
  }
}
