import Testing

@testable import Tensors

@Suite("Shapes")
struct ShapeTests {
  @Test(
    "the element count is the product of the extents",
    arguments: [
      ([], 1), ([3], 3), ([2, 3, 4], 24), ([0], 0), ([2, 0, 3], 0), ([1, 1, 1, 1, 1, 1, 1, 1], 1),
    ])
  func counts(dimensions: [Int], count: Int) throws {
    #expect(try Shape(dimensions).elementCount == count)
  }

  @Test("negative, too many and overflowing extents are refused, even behind a zero")
  func refused() throws {
    #expect(throws: TensorError.negativeDimension(-1)) { try Shape([2, -1]) }
    #expect(throws: TensorError.rankTooLarge(9)) { try Shape([Int](repeating: 1, count: 9)) }
    #expect(throws: TensorError.extentTooLarge(.max)) { try Shape([.max, 2]) }
    #expect(throws: TensorError.extentTooLarge(1 << 62)) { try Shape([0, 1 << 62]) }
    let longest = Shape.maximumExtent
    #expect(throws: TensorError.extentTooLarge(longest + 1)) { try Shape([longest + 1]) }
    #expect(try Shape([0, longest]).elementCount == 0)
    #expect(throws: TensorError.elementCountOverflow([longest, longest, longest])) {
      try Shape([longest, longest, longest])
    }
    #expect(throws: TensorError.elementCountOverflow([0, longest, longest, longest])) {
      try Shape([0, longest, longest, longest])
    }
  }
}

@Suite("Half precision")
struct HalfPrecisionTests {
  @Test("all 65,536 binary16 patterns widen as the standard library's Float16 does")
  func widenFloat16() {
    for bits in UInt16.min...UInt16.max {
      let expected = Float(Float16(bitPattern: bits))
      let value = HalfPrecision.widen(float16: bits)
      let isSame = expected.isNaN ? value.isNaN : value.bitPattern == expected.bitPattern
      if !isSame { Issue.record("pattern \(bits) widens to \(value), not \(expected)") }
    }
  }

  @Test("every binary16 value, both neighbours and both midpoints narrow as Float16 does")
  func narrowFloat16() {
    for bits in UInt16.min...UInt16.max {
      let value = Float(Float16(bitPattern: bits))
      let next = Float(Float16(bitPattern: bits &+ 1))
      let middle = value + (next - value) / 2
      for float in [value, value.nextUp, value.nextDown, middle, middle.nextUp, middle.nextDown] {
        let expected = Float16(float)
        let narrowed = Float16(bitPattern: HalfPrecision.narrowToFloat16(float))
        let isSame = expected.isNaN ? narrowed.isNaN : narrowed.bitPattern == expected.bitPattern
        if !isSame { Issue.record("\(float) narrows to \(narrowed), not \(expected)") }
      }
    }
  }

  @Test("every bfloat16 pattern survives widening and narrowing, and midpoints go to the even neighbour")
  func bfloat16() {
    for bits in UInt16.min...UInt16.max {
      let value = HalfPrecision.widen(bfloat16: bits)
      #expect(value.bitPattern == UInt32(bits) << 16)
      let narrowed = HalfPrecision.narrowToBFloat16(value)
      guard value.isFinite else {
        #expect(HalfPrecision.widen(bfloat16: narrowed).isNaN == value.isNaN)
        continue
      }
      let middle = Float(bitPattern: value.bitPattern | 0x8000)
      let even = bits & 1 == 0 ? bits : bits + 1
      let isRight =
        narrowed == bits && HalfPrecision.narrowToBFloat16(middle) == even
        && HalfPrecision.narrowToBFloat16(Float(bitPattern: middle.bitPattern - 1)) == bits
        && HalfPrecision.narrowToBFloat16(Float(bitPattern: middle.bitPattern + 1)) == bits + 1
      if !isRight { Issue.record("pattern \(bits) does not narrow right") }
    }
  }

  @Test("whole registers and the tail behind them widen alike, at any alignment", arguments: 0..<9)
  func blocks(misalignment: Int) throws {
    let values = (0..<21).map { Float($0) * 0.25 - 2 }
    for type in [ElementType.float16, .bfloat16, .float32, .float64] {
      let tensor = try Tensor.floatingPoint(values, shape: Shape([21]), as: type)
      let padded = [UInt8](repeating: 0xff, count: misalignment) + tensor.bytes
      let shifted = try Tensor(
        elementType: type, shape: tensor.shape, bytes: padded[misalignment...])
      #expect(shifted.floats() == values)
      #expect(shifted.doubles() == values.map(Double.init))
      let sum = shifted.withFloats { floats in floats.indices.reduce(Float(0)) { $0 + floats[$1] } }
      #expect(sum == values.reduce(0, +))
    }
  }
}

@Suite("Tensors")
struct TensorTests {
  @Test("the bytes must fill the shape exactly", arguments: [0, 23, 25])
  func byteCount(count: Int) throws {
    #expect(
      throws: TensorError.byteCountMismatch(
        shape: [2, 3], elementType: .float32, expected: 24, actual: count)
    ) {
      try Tensor(
        elementType: .float32, shape: Shape([2, 3]), bytes: [UInt8](repeating: 0, count: count)[...])
    }
    let elements = 1 << 62
    #expect(throws: TensorError.byteCountOverflow(elements: elements)) {
      try Tensor(elementType: .float32, shape: Shape([1 << 24, 1 << 24, 1 << 14]), bytes: [])
    }
  }

  @Test("integers of every width read as what their bytes say")
  func integers() throws {
    let bytes: [UInt8] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 0, 0, 0, 0, 0, 0, 0x80]
    func read(_ type: ElementType) throws -> [Int]? {
      try Tensor(elementType: type, shape: Shape([16 / type.byteWidth]), bytes: bytes[...]).integers()
    }
    #expect(try read(.int64) == [.max, .min + 1])
    #expect(try read(.uint64) == nil)
    #expect(try read(.int32) == [-1, 0x7fff_ffff, 1, -0x8000_0000])
    #expect(try read(.uint32) == [0xffff_ffff, 0x7fff_ffff, 1, 0x8000_0000])
    #expect(try read(.int16) == [-1, -1, -1, 0x7fff, 1, 0, 0, -0x8000])
    #expect(try read(.uint16) == [0xffff, 0xffff, 0xffff, 0x7fff, 1, 0, 0, 0x8000])
    #expect(try read(.int8)?.suffix(9) == [127, 1, 0, 0, 0, 0, 0, 0, -128])
    #expect(try read(.uint8)?.suffix(9) == [127, 1, 0, 0, 0, 0, 0, 0, 128])
    #expect(try read(.float32) == nil)
    #expect(try read(.bool) == nil)
    #expect(
      try Tensor(elementType: .uint64, shape: Shape([2]), bytes: bytes[...]).doubles() == [0x1p63, 0x1p63])
    #expect(try Tensor(elementType: .bool, shape: Shape([16]), bytes: bytes[...]).floats().reduce(0, +) == 10)
  }

  @Test(
    "the first non-finite element is found wherever it lies", arguments: [0, 7, 1023, 1024, 2999])
  func nonFinite(place: Int) throws {
    for type in ElementType.allCases where type.isFloatingPoint {
      for poison in [Float.nan, .infinity, -.infinity] {
        var values = [Float](repeating: 1, count: 3000)
        #expect(try Tensor.floatingPoint(values, shape: Shape([3000]), as: type).firstNonFiniteIndex() == nil)
        values[place] = poison
        values[2999] = poison
        #expect(
          try Tensor.floatingPoint(values, shape: Shape([3000]), as: type).firstNonFiniteIndex() == place)
      }
    }
  }

  @Test("an F64 element that no Float can hold counts as non-finite")
  func tooLarge() throws {
    func first(_ values: [Double]) throws -> Int? {
      let bytes = values.withUnsafeBytes { Array($0) }
      return try Tensor(elementType: .float64, shape: Shape([values.count]), bytes: bytes[...])
        .firstNonFiniteIndex()
    }
    #expect(try first([1, 0x1.ffffffp127]) == 1)
    #expect(try first([1, -1e300]) == 1)
    #expect(try first([1, (0x1.ffffffp127 as Double).nextDown]) == nil)
    #expect(Float((0x1.ffffffp127 as Double).nextDown).isFinite && !Float(0x1.ffffffp127 as Double).isFinite)
  }

  @Test("the first axis is indexed without copying")
  func indexing() throws {
    let tensor = try Tensor.int64([1, 2, 3, 4, 5, 6], shape: Shape([3, 2]))
    #expect(tensor[1].integers() == [3, 4])
    #expect(tensor[2].bytes.startIndex == 32)
    #expect(tensor[2][1].rank == 0)
    #expect(tensor[2][1].integers() == [6])
    let empty = try Tensor.float32([], shape: Shape([2, 0]))
    #expect(empty[1].elementCount == 0)
    #expect(empty.withFloats { $0.count } == 0)
  }

  @Test("a bundle lists its names in order")
  func bundle() throws {
    var bundle = TensorBundle()
    #expect(bundle.names.isEmpty)
    bundle["b"] = .one(try .float32([1], shape: Shape([1])))
    bundle["a"] = .many([])
    #expect(bundle.names == ["a", "b"])
    #expect(bundle["c"] == nil)
  }
}

@Suite("Means of rows")
struct MeanRowTests {
  @Test("are the sums in float64, one row after the other, over their number", arguments: [1, 2, 3, 8])
  func means(_ count: Int) throws {
    let width = 19
    let values = (0..<(2 * count * width)).map { Float(($0 * 37) % 101) / 16 - 3 }
    let floats = try Tensor(
      elementType: .float32, shape: Shape([2 * count, width]),
      bytes: values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }[...])
    let doubles = try Tensor(
      elementType: .float64, shape: Shape([2 * count, width]),
      bytes: values.flatMap { withUnsafeBytes(of: Double($0).bitPattern.littleEndian, Array.init) }[...])
    for (first, step) in [(0, 1), (1, 2), (0, 2)] {
      let expected = (0..<width).map { column in
        (0..<count).reduce(0.0) { $0 + Double(values[(first + $1 * step) * width + column]) } / Double(count)
      }
      #expect(floats.meanRow(first: first, step: step, count: count, width: width) == expected)
      #expect(doubles.meanRow(first: first, step: step, count: count, width: width) == expected)
    }
  }

  @Test(
    "of numbers up to float32 are finite exactly when all of them are",
    arguments: [Float.nan, .infinity, -.infinity])
  func notFinite(_ bad: Float) throws {
    for slot in 0..<6 {
      var values = [Float](repeating: .greatestFiniteMagnitude, count: 6)
      #expect(try tensor(values).meanRow(count: 3, width: 2).allSatisfy(\.isFinite))
      values[slot] = bad
      #expect(try !tensor(values).meanRow(count: 3, width: 2).allSatisfy(\.isFinite))
    }
  }

  private func tensor(_ values: [Float]) throws -> Tensor {
    try Tensor(
      elementType: .float32, shape: Shape([3, 2]),
      bytes: values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }[...])
  }
}
