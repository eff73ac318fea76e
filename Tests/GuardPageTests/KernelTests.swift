import KernelReferences
import Kernels
import Testing

/// Inner loops over whole registers, over rows that begin or end where memory does: no tail may be rounded up.
@Suite("Kernels stay within their rows")
struct KernelTests {
  private static let counts = Array(0...64) + [100, 127, 128, 129, 1000]

  private static func floats(_ count: Int, _ seed: Int) -> [Float] {
    (0..<count).map { Float(($0 &* 37 &+ seed &* 101) % 64 - 32) / 32 }
  }

  /// The same rows at the end of memory and at its beginning; small multiples of 2^-10 add up exactly in any order.
  @Test("products read their rows and nothing else", arguments: KernelSet.available.map(\.name), counts)
  func products(_ level: String, _ count: Int) throws {
    let kernels = try #require(KernelSet.available.first { $0.name == level })
    let rows = (0..<5).map { Self.floats(count, $0) }
    let memories = try (0..<5).map { _ in try GuardedMemory(8 * count + 1) }
    let wideMemory = try GuardedMemory(8 * count + 1)
    for end in 0..<2 {
      let places = try zip(rows, memories).map { row, memory in
        UnsafePointer(try #require(memory.bothEnds(row)[end].baseAddress))
      }
      let (a, b) = (places[0], places[1])
      let exact = ReferenceKernels.dot(a, b, count)
      let tolerance = Double(count + 1) * 0x1p-22
      #expect(abs(Double(kernels.dot(a, b, count)) - exact) <= tolerance)
      #expect(kernels.preciseDot(a, b, count) == exact)
      let four = kernels.column(a, b, places[2], places[3], places[4], count)
      for index in 0..<4 {
        #expect(abs(Double(four[index]) - ReferenceKernels.dot(a, places[index + 1], count)) <= tolerance)
      }
      let wide = try #require(wideMemory.bothEnds(rows[1].map(Double.init))[end].baseAddress)
      #expect(kernels.widenedDot(a, UnsafePointer(wide), count) == exact)
    }
  }

  @Test("what is written ends with its row", arguments: KernelSet.available.map(\.name), counts)
  func writes(_ level: String, _ count: Int) throws {
    let kernels = try #require(KernelSet.available.first { $0.name == level })
    let row = Self.floats(count, 3)
    let memory = try GuardedMemory(4 * count + 1)
    let target = try GuardedMemory(8 * count + 1)
    for end in 0..<2 {
      let source = UnsafePointer(try #require(memory.bothEnds(row)[end].baseAddress))
      let scaled = target.bothEnds([Float](repeating: 0, count: count))[end]
      kernels.scale(source, 0.5, try #require(scaled.baseAddress), count)
      #expect(Array(scaled) == row.map { $0 / 2 })
      let sums = target.bothEnds([Double](repeating: 1, count: count))[end]
      kernels.accumulate(source, try #require(sums.baseAddress), count)
      #expect(Array(sums) == row.map { 1 + Double($0) })
    }
  }

  @Test("half precision is widened within both buffers", arguments: KernelSet.available.map(\.name), counts)
  func widening(_ level: String, _ count: Int) throws {
    let kernels = try #require(KernelSet.available.first { $0.name == level })
    let patterns = (0..<count).map { UInt16(truncatingIfNeeded: $0 &* 257 &+ 0x3c00) }
    let memory = try GuardedMemory(2 * count + 1)
    let target = try GuardedMemory(4 * count + 1)
    for end in 0..<2 {
      let source = UnsafeRawPointer(try #require(memory.bothEnds(patterns)[end].baseAddress))
      for widen in [kernels.widenFloat16, kernels.widenBFloat16] {
        let floats = target.bothEnds([Float](repeating: -1, count: count))[end]
        let done = widen(source, try #require(UnsafeMutableRawPointer(floats.baseAddress)), count)
        #expect(done <= count && done > count - 16)
        #expect(floats[done...].allSatisfy { $0 == -1 })
      }
    }
  }

  @Test(
    "rows of a format are measured and added within their buffers",
    arguments: KernelSet.available.map(\.name), counts)
  func formats(_ level: String, _ count: Int) throws {
    let kernels = try #require(KernelSet.available.first { $0.name == level })
    let patterns = [UInt16](repeating: 0x3c00, count: 2 * count)
    let memory = try GuardedMemory(4 * count + 1)
    let target = try GuardedMemory(8 * count + 1)
    for end in 0..<2 {
      let source = UnsafeRawPointer(try #require(memory.bothEnds(patterns)[end].baseAddress))
      // As one row of float32, or as two rows of 16 bits: the last of them ends where memory does.
      for (format, rows, value) in [
        (kernels.float32, 1, Float(bitPattern: 0x3c00_3c00)), (kernels.float16, 2, 1),
        (kernels.bfloat16, 2, Float(bitPattern: 0x3c00_0000)),
      ] {
        let floats = target.bothEnds([Float](repeating: -1, count: count))[end]
        let row = end == 0 && rows == 2 ? source + 2 * count : source
        let square = format.measure(row, try #require(floats.baseAddress), count)
        #expect(floats.allSatisfy { $0 == value })
        #expect(abs(square - Double(count) * Double(value) * Double(value)) <= 1e-12 * square)
        let products = UnsafeMutablePointer<Float>.allocate(capacity: 16)
        defer { products.deallocate() }
        format.column(row, row, row, row, row, count, products)
        #expect((0..<4).allSatisfy { abs(Double(products[$0]) - square) <= 1e-5 * square })
        format.tile(row, row, row, row, row, row, row, row, count, products)
        #expect((0..<16).allSatisfy { abs(Double(products[$0]) - square) <= 1e-5 * square })
        let sums = target.bothEnds([Double](repeating: 0, count: count))[end]
        format.accumulate(source, rows, count, try #require(sums.baseAddress), count)
        #expect(sums.allSatisfy { $0 == Double(rows) * Double(value) })
      }
    }
  }
}

/// Blocked products over matrices, panels and results that begin or end where memory does.
@Suite("Blocked products stay within their matrices")
struct BlockedKernelTests {
  private static let shapes: [(rows: Int, columns: Int)] = [
    (1, 1), (3, 5), (7, 16), (8, 17), (17, 31), (47, 9), (49, 12), (61, 300),
  ]

  @Test("all pairs of rows and a general product", arguments: shapes)
  func products(rows count: Int, columns: Int) throws {
    let rows = (0..<(count * columns)).map { Float(($0 * 37) % 64 - 32) / 32 }
    for kernels in KernelSet.available {
      let packed = kernels.packedCount(rows: count, columns: columns)
      let source = try GuardedMemory(4 * rows.count)
      let between = try GuardedMemory(4 * packed)
      let target = try GuardedMemory(4 * count * count)
      for end in 0..<2 {
        let a = UnsafePointer(try #require(source.bothEnds(rows)[end].baseAddress))
        let panels = try #require(between.bothEnds([Float](repeating: 0, count: packed))[end].baseAddress)
        let results = target.bothEnds([Float](repeating: 0, count: count * count))[end]
        let into = try #require(results.baseAddress)
        kernels.pack(a, count, columns, 0..<kernels.panelCount(rows: count), panels)
        kernels.symmetricProducts(a, count, columns, panels, 0..<count, into, count, false, true)
        let symmetric = Array(results)
        kernels.multiply(a, count, columns, panels, count, into, count)
        #expect(Array(results) == symmetric)
        let last = a + (count - 1) * columns
        #expect(
          abs(Double(symmetric[count * count - 1]) - ReferenceKernels.dot(last, last, columns))
            <= Double(columns) * 0x1p-14)
      }
    }
  }

  @Test("wide products", arguments: shapes)
  func wideProducts(rows: Int, columns: Int) throws {
    let depth = 5
    let left = try GuardedMemory(8 * rows * depth)
    let panel = try GuardedMemory(4 * depth * columns)
    let target = try GuardedMemory(8 * rows * columns)
    for kernels in KernelSet.available {
      for end in 0..<2 {
        let a = try #require(left.bothEnds([Double](repeating: 0.5, count: rows * depth))[end].baseAddress)
        let b = try #require(panel.bothEnds([Float](repeating: 2, count: depth * columns))[end].baseAddress)
        let sums = target.bothEnds([Double](repeating: 1, count: rows * columns))[end]
        kernels.addWideProducts(
          a, depth, rows, b, columns, depth, try #require(sums.baseAddress), columns, columns)
        #expect(sums.allSatisfy { $0 == 6 })
      }
    }
  }
}
