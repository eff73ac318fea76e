import KernelReferences
import Testing

@testable import Kernels

/// Rows of tensors against the obvious loops: the same floats, and the same bits of every sum at every level.
@Suite("Formats of floats") struct FormatTests {
  private static func halves(_ count: Int, seed: UInt64) -> [UInt16] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      // Finite as binary16 and as bfloat16: no exponent of all ones.
      let bits = UInt16(truncatingIfNeeded: state >> 40)
      return bits & 0x7c00 == 0x7c00 || bits & 0x7f80 == 0x7f80 ? bits & 0x83ff : bits
    }
  }

  private static func formats(_ kernels: KernelSet) -> [(format: FormatKernels, byteWidth: Int)] {
    [(kernels.float32, 4), (kernels.float16, 2), (kernels.bfloat16, 2)]
  }

  @Test(
    "measuring widens exactly and gives the bits of the precise product", arguments: Array(0...70) + [1024])
  func measure(_ count: Int) {
    let halves = Self.halves(2 * count + 1, seed: UInt64(count))
    for kind in 0..<3 {
      var results: [[UInt64]] = []
      for kernels in KernelSet.available {
        var floats = [Float](repeating: .nan, count: count + 1)
        var expected = floats
        let square = halves.withUnsafeBytes { source in
          floats.withUnsafeMutableBufferPointer { target in
            guard let from = source.baseAddress, let into = target.baseAddress else { return Double.nan }
            return Self.formats(kernels)[kind].format.measure(from, into, count)
          }
        }
        _ = halves.withUnsafeBytes { source in
          expected.withUnsafeMutableBufferPointer { target in
            guard let from = source.baseAddress, let into = target.baseAddress else { return Double.nan }
            return Self.formats(.reference)[kind].format.measure(from, into, count)
          }
        }
        #expect(floats.dropLast() == expected.dropLast() && floats[count].isNaN, "\(kernels.name) \(kind)")
        let precise = floats.withUnsafeBufferPointer { floats in
          floats.baseAddress.map { KernelSet.portable.preciseDot($0, $0, count) } ?? .nan
        }
        #expect(square == precise, "\(kernels.name) \(kind)")
        let rows = Self.halves(8 * count + 1, seed: UInt64(count) + 5)
        let squares = rows.withUnsafeBytes { source -> [Double] in
          guard let from = source.baseAddress else { return [] }
          let (format, width) = Self.formats(kernels)[kind]
          var four = [Float](repeating: 0, count: 4 * count + 1)
          var one = [Float](repeating: 0, count: count + 1)
          let together = format.measureFour(from, &four, count)
          let apart = (0..<4).map { format.measure(from + $0 * count * width, &one, count) }
          #expect(apart == (0..<4).map { together[$0] }, "\(kernels.name) \(kind)")
          return apart
        }
        #expect(squares.count == 4)
        results.append(floats.dropLast().map { UInt64($0.bitPattern) } + [square.bitPattern])
      }
      #expect(results.allSatisfy { $0 == results[0] })
    }
  }

  @Test(
    "products of rows lie within the tolerance at every level and alignment",
    arguments: Array(0...70) + [1024])
  func products(_ count: Int) {
    for (kind, width) in [4, 2, 2].enumerated() {
      // Small numbers of few digits, so that the tolerance of rows of length 1 bounds the error.
      let floats = (0..<8 * count).map { (index: Int) -> Float in
        let digit = (index * 37 + index / 7) % 31 - 15
        return Float(digit) / 16
      }
      let patterns = floats.flatMap { number -> [UInt8] in
        let bits = number.bitPattern
        switch kind {
        case 0: return (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) }
        case 1: return (0..<2).map { UInt8(truncatingIfNeeded: Self.half(number) >> (8 * $0)) }
        default: return (0..<2).map { UInt8(truncatingIfNeeded: bits >> (16 + 8 * $0)) }
        }
      }
      let bound = Float(count + 1) * KernelSet.tolerance(columns: count)
      for shift in [0, 1] {
        let bytes = [UInt8](repeating: 0, count: shift) + patterns
        func products(_ kernels: KernelSet) -> [Float] {
          let format = Self.formats(kernels)[kind].format
          var sums = [Float](repeating: .nan, count: 21)
          bytes.withUnsafeBytes { source in
            sums.withUnsafeMutableBufferPointer { sums in
              guard let base = source.baseAddress, let into = sums.baseAddress else { return }
              func row(_ index: Int) -> UnsafeRawPointer { base + shift + index * count * width }
              format.column(row(0), row(4), row(5), row(6), row(7), count, into)
              format.tile(
                row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7), count, into + 4)
              into[20] = format.product(row(0), row(4), count)
            }
          }
          return sums
        }
        guard count > 0 || shift > 0 else { continue }
        let expected = products(.reference)
        for kernels in KernelSet.available {
          let found = products(kernels)
          #expect(
            zip(found, expected).allSatisfy { abs($0 - $1) <= bound }, "\(kernels.name) \(kind) \(shift)")
        }
      }
    }
  }

  @Test(
    "rows measured with a direction have the bits of one by one at every level and alignment",
    arguments: Array(0...70) + [1024])
  func measureWithDirection(_ count: Int) {
    let direction = (0..<max(count, 1)).map { Double(($0 * 13) % 29 - 14) / 7 }
    for (kind, width) in [4, 2, 2].enumerated() {
      let halves = Self.halves(8 * count + 2, seed: UInt64(count) + 9)
      for (shift, kernels) in [0, 1].flatMap({ shift in KernelSet.available.map { (shift, $0) } }) {
        let format = Self.formats(kernels)[kind].format
        var room = [Float](repeating: 0, count: 4 * count + 1)
        var sums = [Double](repeating: .nan, count: 8)
        var expected = sums
        halves.withUnsafeBytes { source in
          guard let base = source.baseAddress else { return }
          format.measureWith(direction, base + shift, &room, count, &sums)
          for row in 0..<4 {
            var one = [Float](repeating: 0, count: count + 1)
            expected[row] = format.measure(base + shift + row * count * width, &one, count)
            expected[row + 4] = KernelSet.portable.measuredDot(one, direction, count)[1]
          }
        }
        #expect(
          sums.map(\.bitPattern) == expected.map(\.bitPattern) || sums.contains(where: \.isNaN),
          "\(kernels.name) \(kind) \(shift)")
        #expect(sums.map(\.isNaN) == expected.map(\.isNaN))
      }
    }
  }

  /// The binary16 pattern of a number that is a small multiple of 1/16.
  private static func half(_ number: Float) -> UInt16 {
    guard number != 0 else { return 0 }
    let exponent = UInt16(truncatingIfNeeded: Int(number.exponent) + 15)
    let fraction = UInt16(truncatingIfNeeded: number.significandBitPattern >> 13)
    return (number < 0 ? 0x8000 : 0) | exponent << 10 | fraction
  }

  @Test("one element that is not finite makes the square so", arguments: [0, 5, 15, 16, 31, 36])
  func notFinite(_ slot: Int) {
    for bits: UInt16 in [0x7c00, 0xfc00, 0x7e01] {
      for kernels in KernelSet.available {
        var halves = [UInt16](repeating: 0x3c00, count: 37)
        halves[slot] = bits
        var floats = [Float](repeating: 0, count: 37)
        let square = halves.withUnsafeBytes { source in
          floats.withUnsafeMutableBufferPointer { target in
            guard let from = source.baseAddress, let into = target.baseAddress else { return 0.0 }
            return kernels.float16.measure(from, into, 37)
          }
        }
        #expect(!square.isFinite, "\(kernels.name)")
      }
    }
  }

  @Test(
    "rows are added in order, whatever lies between them", arguments: [0, 1, 3, 4, 5, 11],
    [0, 1, 15, 16, 47, 64])
  func accumulate(rows: Int, count: Int) {
    let stride = count + 3
    let halves = Self.halves(2 * (rows * stride + 1), seed: UInt64(rows * 100 + count))
    for kind in 0..<3 {
      func sums(_ kernels: KernelSet) -> [Double] {
        var sums = (0...count).map { Double($0) / 3 }
        halves.withUnsafeBytes { source in
          sums.withUnsafeMutableBufferPointer { target in
            guard let from = source.baseAddress, let into = target.baseAddress else { return }
            Self.formats(kernels)[kind].format.accumulate(from, rows, stride, into, count)
          }
        }
        return sums
      }
      let expected = sums(.reference)
      for kernels in KernelSet.available { #expect(sums(kernels) == expected, "\(kernels.name) \(kind)") }
    }
  }
}
