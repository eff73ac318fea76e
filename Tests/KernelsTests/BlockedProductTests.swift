import KernelReferences
import Testing

@testable import Kernels

/// Blocked products against the obvious loops, over shapes with every kind of tail, at every level.
@Suite("Blocked products") struct BlockedProductTests {
  private static let shapes: [(rows: Int, columns: Int)] = [
    (0, 5), (1, 0), (1, 1), (3, 7), (4, 8), (5, 9), (6, 16), (7, 255), (8, 256), (9, 257), (15, 3), (16, 40),
    (17, 513), (47, 31), (48, 64), (49, 33), (56, 12), (65, 20), (97, 11), (150, 29), (8, 2048), (9, 2049),
    (50, 4100),
  ]

  private static func floats(_ count: Int, seed: UInt64) -> [Float] {
    var state = seed
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(Int64(bitPattern: state) >> 32) * 0x1p-31
    }
  }

  private static func product(_ a: [Float], _ i: Int, _ b: [Float], _ j: Int, _ columns: Int) -> Double {
    var sum = 0.0
    for column in 0..<columns { sum += Double(a[i * columns + column]) * Double(b[j * columns + column]) }
    return sum
  }

  /// What one level makes of rows times their own transpose, split into parts.
  private static func gram(_ kernels: KernelSet, _ rows: [Float], _ count: Int, _ columns: Int, parts: Int)
    -> [Float]
  {
    var panels = [Float](repeating: .nan, count: kernels.packedCount(rows: count, columns: columns) + 1)
    var target = [Float](repeating: .nan, count: count * count + 1)
    (rows + [0]).withUnsafeBufferPointer { rows in
      panels.withUnsafeMutableBufferPointer { panels in
        target.withUnsafeMutableBufferPointer { target in
          guard let from = rows.baseAddress, let between = panels.baseAddress, let into = target.baseAddress
          else { return }
          for panel in 0..<kernels.panelCount(rows: count) {
            kernels.pack(from, count, columns, panel..<(panel + 1), between)
          }
          for range in kernels.symmetricParts(rows: count, parts: parts) {
            kernels.symmetricProducts(
              from, count, columns, UnsafePointer(between), range, into, count, false, true)
          }
        }
      }
    }
    #expect(target.last?.isNaN == true)
    return Array(target.dropLast())
  }

  @Test("all pairs of rows, within the tolerance and independent of the split", arguments: shapes)
  func symmetric(rows count: Int, columns: Int) {
    let rows = Self.floats(count * columns, seed: UInt64(count * 7 + columns))
    for kernels in KernelSet.available + [.reference] {
      let products = Self.gram(kernels, rows, count, columns, parts: 1)
      for parts in [2, 3, 7] {
        #expect(Self.gram(kernels, rows, count, columns, parts: parts) == products, "\(kernels.name)")
      }
      let limit = Double(columns) * Double(KernelSet.symmetricTolerance(columns: columns))
      for i in 0..<count {
        for j in 0..<count {
          let exact = Self.product(rows, i, rows, j, columns)
          let product = products[i * count + j]
          if abs(Double(product) - exact) > limit || product != products[j * count + i] {
            Issue.record("\(kernels.name): (\(i), \(j)) is \(product), not \(exact)")
            return
          }
        }
      }
    }
  }

  @Test("a row range of any beginning and end writes its own products and no other")
  func ranges() {
    let (count, columns) = (61, 37)
    let rows = Self.floats(count * columns, seed: 5)
    for kernels in KernelSet.available {
      let whole = Self.gram(kernels, rows, count, columns, parts: 1)
      for range in [0..<1, 3..<20, 7..<8, 9..<61, 47..<50, 60..<61] {
        var target = [Float](repeating: -9, count: count * count)
        var panels = [Float](repeating: 0, count: kernels.packedCount(rows: count, columns: columns))
        rows.withUnsafeBufferPointer { rows in
          panels.withUnsafeMutableBufferPointer { panels in
            target.withUnsafeMutableBufferPointer { target in
              guard let from = rows.baseAddress, let between = panels.baseAddress,
                let into = target.baseAddress
              else { return }
              kernels.pack(from, count, columns, 0..<kernels.panelCount(rows: count), between)
              kernels.symmetricProducts(
                from, count, columns, UnsafePointer(between), range, into, count, false, true)
            }
          }
        }
        let isRight = (0..<count * count).allSatisfy { slot in
          let last = max(slot / count, slot % count)
          return target[slot] == (range.contains(last) ? whole[slot] : -9)
        }
        #expect(isRight, "\(kernels.name) \(range)")
      }
    }
  }

  @Test("columns in strips add up to the same bits as all at once", arguments: [1, 2, 8])
  func strips(_ runs: Int) {
    let (count, columns, width) = (61, 600, 64 * runs)
    let rows = Self.floats(count * columns, seed: 6)
    for kernels in KernelSet.available {
      var target = [Float](repeating: .nan, count: count * count)
      for start in stride(from: 0, to: columns, by: width) {
        let depth = min(width, columns - start)
        let strip = (0..<count).flatMap { rows[($0 * columns + start)..<($0 * columns + start + depth)] }
        var panels = [Float](repeating: 0, count: kernels.packedCount(rows: count, columns: depth))
        kernels.pack(strip, count, depth, 0..<kernels.panelCount(rows: count), &panels)
        for range in kernels.symmetricParts(rows: count, parts: 2) {
          kernels.symmetricProducts(
            strip, count, depth, panels, range, &target, count, start > 0, start + depth == columns)
        }
      }
      #expect(target == Self.gram(kernels, rows, count, columns, parts: 1), "\(kernels.name)")
    }
  }

  @Test("two different matrices, into wider rows", arguments: shapes)
  func general(rows count: Int, columns: Int) {
    let right = Self.floats(count * columns, seed: 3)
    for height in [0, 1, 5, 8, 13, 24] {
      let left = Self.floats(height * columns, seed: 4)
      for kernels in KernelSet.available {
        let stride = count + 3
        var panels = [Float](repeating: .nan, count: kernels.packedCount(rows: count, columns: columns) + 1)
        var target = [Float](repeating: -7, count: height * stride + 1)
        (left + [0]).withUnsafeBufferPointer { left in
          (right + [0]).withUnsafeBufferPointer { right in
            panels.withUnsafeMutableBufferPointer { panels in
              target.withUnsafeMutableBufferPointer { target in
                guard let a = left.baseAddress, let b = right.baseAddress, let between = panels.baseAddress,
                  let into = target.baseAddress
                else { return }
                kernels.pack(b, count, columns, 0..<kernels.panelCount(rows: count), between)
                kernels.multiply(a, height, columns, UnsafePointer(between), count, into, stride)
              }
            }
          }
        }
        let limit = Double(columns) * Double(KernelSet.blockedTolerance(columns: columns))
        let isRight = (0..<height * stride).allSatisfy { slot in
          let (i, j) = (slot / stride, slot % stride)
          guard j < count else { return target[slot] == -7 }
          let exact = Self.product(left, i, right, j, columns)
          return abs(Double(target[slot]) - exact) <= limit
        }
        #expect(isRight && target.last == -7, "\(kernels.name) \(height) rows")
      }
    }
  }

  @Test("a row of zeros times huge rows is zero, and huge products are exact")
  func extremes() {
    let columns = 40
    let scales: [Float] = [0, 0x1p60, 0x1p-70]
    let rows: [Float] = scales.flatMap { Array(repeating: $0, count: columns) }
    for kernels in KernelSet.available {
      let products = Self.gram(kernels, rows, 3, columns, parts: 1)
      #expect(products[0...2] == [0, 0, 0])
      let (square, small): (Float, Float) = (0x28p120, 0x28p-10)
      #expect(products[4] == square && products[5] == small, "\(kernels.name)")
    }
  }

  @Test("parts cover all rows once, in order", arguments: [0, 1, 7, 48, 100, 576, 2880], [1, 2, 3, 16])
  func parts(_ rows: Int, _ parts: Int) {
    for kernels in KernelSet.available {
      let ranges = kernels.symmetricParts(rows: rows, parts: parts)
      #expect(ranges.flatMap(Array.init) == Array(0..<rows))
      #expect(ranges.count <= parts)
    }
  }
}
