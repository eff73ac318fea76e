import KernelReferences
import Testing

@testable import Kernels

/// The obvious loops, the same bits at every level, and what must not go unnoticed.
@Suite("Kernels of learned networks") struct NetworkKernelTests {
  private static let lengths = Array(0...35) + [47, 48, 63, 64, 65, 255, 256, 257, 1000, 1024]

  private struct Numbers {
    var state: UInt64

    mutating func next() -> Float {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(Int64(bitPattern: state) >> 32) * 0x1p-31
    }

    mutating func floats(_ count: Int, scale: Float = 1) -> [Float] {
      (0..<count).map { _ in scale * next() }
    }
  }

  /// Runs `body` on a copy of `values` with one element after it, which nobody may write to.
  private static func changed(
    _ values: [Float], _ body: (UnsafeMutablePointer<Float>) -> Void
  ) -> [Float] {
    var copy = values + [-77]
    copy.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { body(base) } }
    #expect(copy.last == -77)
    return Array(copy.dropLast())
  }

  private static func product(
    _ kernels: KernelSet, _ left: [Float], _ rows: Int, _ right: [Float], _ count: Int, _ columns: Int
  ) -> [Float] {
    var panels = [Float](repeating: .nan, count: kernels.packedCount(rows: count, columns: columns) + 1)
    (right + [0]).withUnsafeBufferPointer { right in
      panels.withUnsafeMutableBufferPointer { panels in
        guard let from = right.baseAddress, let to = panels.baseAddress else { return }
        kernels.pack(from, count, columns, 0..<kernels.panelCount(rows: count), to)
      }
    }
    return changed(Array(repeating: 5, count: rows * count)) { target in
      (left + [0]).withUnsafeBufferPointer { left in
        panels.withUnsafeBufferPointer { panels in
          guard let a = left.baseAddress, let b = panels.baseAddress else { return }
          kernels.networks.multiply(a, rows, columns, b, count, target, count)
        }
      }
    }
  }

  @Test(
    "every level gives the bits of sums that round once a product",
    arguments: [
      (1, 1, 0), (1, 1, 1), (3, 5, 7), (4, 8, 16), (5, 9, 17), (8, 48, 64), (9, 49, 255), (7, 50, 256),
      (13, 17, 257), (6, 16, 513), (17, 97, 40), (2, 33, 1100),
    ])
  func products(rows: Int, count: Int, columns: Int) {
    var numbers = Numbers(state: UInt64(rows * 31 + count))
    let (left, right) = (numbers.floats(rows * columns), numbers.floats(count * columns))
    let expected = Self.product(.reference, left, rows, right, count, columns).map(\.bitPattern)
    for kernels in KernelSet.available {
      #expect(
        Self.product(kernels, left, rows, right, count, columns).map(\.bitPattern) == expected,
        "\(kernels.name)")
    }
  }

  /// Numbers whose sums end near the middle between two float32 numbers, where rounding twice goes wrong; subnormal ones,
  /// huge ones, zeros of both signs, infinities and NaN.
  private static func awkward(_ numbers: inout Numbers, _ count: Int) -> [Float] {
    (0..<count).map { _ in
      let pick = Int((numbers.next() + 1) * 12)
      let sign: Float = numbers.next() < 0 ? -1 : 1
      let ulps = Float(Int(numbers.next() * 4))
      switch pick {
      case 0: return sign * 0
      case 1: return sign * Float.leastNonzeroMagnitude * (1 + abs(ulps))
      case 2: return sign * Float.leastNormalMagnitude * numbers.next()
      case 3: return sign * Float.greatestFiniteMagnitude
      case 4: return numbers.next() > 0.9 ? sign * .infinity : sign * 0x1p100
      case 5: return numbers.next() > 0.9 ? .nan : sign * 0x1p-80
      case 6...10: return sign * (0x1p12 + ulps * 0x1p-11)
      case 11...15: return sign * (1 + ulps * 0x1p-23)
      case 16...18: return sign * 0x1p-24 * (1 + ulps * 0x1p-23)
      default: return sign * 0x1p24 + ulps
      }
    }
  }

  @Test("rounding once is what the C library's fma does, for awkward numbers too")
  func rounding() {
    var numbers = Numbers(state: 5)
    let columns = 3
    for _ in 0..<60 {
      let (left, right) = (Self.awkward(&numbers, 40 * columns), Self.awkward(&numbers, 56 * columns))
      let expected = Self.product(.reference, left, 40, right, 56, columns)
      for kernels in KernelSet.available {
        let found = Self.product(kernels, left, 40, right, 56, columns)
        let isSame = zip(found, expected).allSatisfy {
          $0.bitPattern == $1.bitPattern || ($0.isNaN && $1.isNaN)
        }
        #expect(isSame, "\(kernels.name)")
      }
    }
  }

  @Test("layer norm has the same bits at every level, within one rounding of the obvious", arguments: lengths)
  func norm(_ count: Int) {
    guard count > 0 else { return }
    for scale: Float in [1, 3e38, 1e-30] {
      var numbers = Numbers(state: UInt64(count))
      let row = numbers.floats(count, scale: scale).map { $0 + scale / 8 }
      let (gain, bias) = (numbers.floats(count), numbers.floats(count))
      func normalized(_ kernels: KernelSet) -> [Float] {
        Self.changed(Array(repeating: 9, count: count)) { target in
          kernels.networks.normalize(row, count, 1e-5, gain, bias, target)
        }
      }
      let expected = normalized(.reference)
      let bits = normalized(.portable).map(\.bitPattern)
      for kernels in KernelSet.available {
        let found = normalized(kernels)
        #expect(found.map(\.bitPattern) == bits, "\(kernels.name)")
        for (a, b) in zip(found, expected) { #expect(abs(a - b) <= 0x1p-23 * max(abs(b), 0x1p-20)) }
      }
    }
  }

  @Test("GELU has the same bits at every level, within 1e-6 of the obvious", arguments: lengths)
  func gelu(_ count: Int) {
    for scale: Float in [1, 8, 200, 1e13, 3e38] {
      var numbers = Numbers(state: UInt64(count) + 3)
      let (row, bias) = (numbers.floats(count, scale: scale), numbers.floats(count))
      func activated(_ kernels: KernelSet) -> [Float] {
        Self.changed(row) { kernels.networks.addGELU($0, bias, count) }
      }
      let expected = activated(.reference)
      let bits = activated(.portable).map(\.bitPattern)
      for kernels in KernelSet.available {
        let found = activated(kernels)
        #expect(found.map(\.bitPattern) == bits, "\(kernels.name)")
        for (a, b) in zip(found, expected) { #expect(abs(a - b) <= 1e-6 * max(abs(b), 1)) }
      }
    }
  }

  @Test("softmax has the same bits at every level, sums to 1 and agrees within 1e-6", arguments: lengths)
  func softmax(_ count: Int) {
    for scale: Float in [1, 0.125, 60, 1e30] {
      var numbers = Numbers(state: UInt64(count) + 7)
      let row = numbers.floats(count)
      func shares(_ kernels: KernelSet) -> [Float] {
        Self.changed(row) { kernels.networks.softmax($0, count, scale) }
      }
      let expected = shares(.reference)
      let bits = shares(.portable).map(\.bitPattern)
      for kernels in KernelSet.available {
        let found = shares(kernels)
        #expect(found.map(\.bitPattern) == bits, "\(kernels.name)")
        // A logit of 60 is rounded to some 4e-6, and its power with it.
        let limit: Float = scale > 1 ? 1e-4 : 1e-6
        for (a, b) in zip(found, expected) { #expect(abs(a - b) <= limit * max(b, 1e-3)) }
        let sum: Float = found.reduce(0, +)
        #expect(count == 0 || abs(sum - 1) < 1e-5)
      }
    }
  }

  @Test(
    "what is not finite makes the whole softmax NaN, wherever it stands", arguments: [1, 5, 16, 17, 33, 40])
  func poison(_ count: Int) {
    for kernels in KernelSet.available + [.reference] {
      for value: Float in [.infinity, -.infinity, .nan] {
        for slot in 0..<count {
          var row = [Float](repeating: 1, count: count)
          row[slot] = value
          let found = Self.changed(row) { kernels.networks.softmax($0, count, 1) }
          let isPoisoned = found.allSatisfy(\.isNaN)
          #expect(isPoisoned, "\(kernels.name) \(value) \(slot)")
        }
      }
      let infinite = Self.changed([-.infinity]) { kernels.networks.addGELU($0, [0], 1) }
      #expect(infinite[0].isNaN)
    }
  }
}
