import KernelReferences
import Testing

@testable import Kernels

@Suite("Wide products") struct WideProductTests {
  private static func numbers(_ count: Int, seed: UInt64) -> [Double] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(Int64(bitPattern: state)) * 0x1p-63
    }
  }

  @Test(
    "every level adds the products in the order of k, to the bit, and writes nothing else",
    arguments: [0, 1, 3, 4, 5, 8, 9, 17], [0, 1, 2, 7, 8, 15, 16, 17, 33, 64])
  func bits(_ rows: Int, _ columns: Int) {
    for depth in [0, 1, 5, 64] {
      let (leftStride, panelStride, targetStride) = (depth + 2, columns + 1, columns + 3)
      let left = Self.numbers(rows * leftStride + 1, seed: 1)
      let panel = Self.numbers(depth * panelStride + 1, seed: 2).map { Float($0) }
      func sums(_ kernels: KernelSet) -> [Double] {
        var target = Self.numbers(rows * targetStride + 1, seed: 3)
        left.withUnsafeBufferPointer { left in
          panel.withUnsafeBufferPointer { panel in
            target.withUnsafeMutableBufferPointer { target in
              guard let a = left.baseAddress, let b = panel.baseAddress, let into = target.baseAddress else {
                return
              }
              kernels.addWideProducts(
                a, leftStride, rows, b, panelStride, depth, into, targetStride, columns)
            }
          }
        }
        return target
      }
      let expected = sums(.reference)
      for kernels in KernelSet.available { #expect(sums(kernels) == expected, "\(kernels.name), \(depth)") }
    }
  }

  @Test(
    "kernels of float64 rows have the same bits at every level, and the sums of the obvious loops",
    arguments: [0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 100])
  func rows(_ count: Int) {
    let narrow = Self.numbers(count + 1, seed: 4).map { Float($0) }
    let rows = (0..<5).map { Self.numbers(count + 1, seed: UInt64($0) + 5) }
    func results(_ kernels: WideRowKernelSet) -> [Double] {
      var sums = rows[0]
      kernels.addSquaredDifferences(narrow, rows[1], &sums, count)
      var added = rows[2]
      let product = kernels.multiplyAdding(rows[3], rows[4], 0.3, &added, count)
      var left = rows[3]
      kernels.subtractMultiples(&left, 0.7, rows[0], -1.1, rows[1], count)
      let four = kernels.productsOfFour(rows[0], rows[1], rows[2], rows[3], rows[4], count)
      return sums + added + left + [kernels.squaredDistance(narrow, rows[0], count), product]
        + (0..<4).map { four[$0] }
    }
    let expected = results(.reference)
    let portable = results(KernelSet.portable.wideRows)
    #expect(zip(portable, expected).allSatisfy { abs($0 - $1) < 1e-12 })
    // Elements have no order of sums.
    #expect(portable.prefix(3 * (count + 1)) == expected.prefix(3 * (count + 1)))
    for kernels in KernelSet.available { #expect(results(kernels.wideRows) == portable, "\(kernels.name)") }
  }
}
