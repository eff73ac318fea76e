import JSON
import Tensors
import Testing

@testable import TensorFormats

/// The single pass against the reader that takes one value after the other.
@Suite("Regular numbers")
struct RegularNumbersTests {
  static let pieces = [
    "0", "1", "-2.5", "0.12345678901", "3e2", "1.0", "127", "-128", "65504", "70000", "1e39", "0.1e1",
  ]

  static func text(_ dimensions: ArraySlice<Int>, _ generator: inout SystemRandomNumberGenerator) -> String {
    guard let count = dimensions.first else { return pieces.randomElement(using: &generator) ?? "0" }
    let extent = Int.random(in: 0..<100, using: &generator) == 0 ? count + 1 : count
    return "[" + (0..<extent).map { _ in text(dimensions.dropFirst(), &generator) }.joined(separator: ", ")
      + "]"
  }

  /// One byte replaced, removed or doubled.
  static func damaged(_ text: String, _ generator: inout SystemRandomNumberGenerator) -> [UInt8] {
    var bytes = Array(text.utf8)
    let place = Int.random(in: 0..<bytes.count, using: &generator)
    switch Int.random(in: 0..<8, using: &generator) {
    case 0: bytes.remove(at: place)
    case 1: bytes.insert(bytes[place], at: place)
    case 2: bytes[place] = Array("[],.-e0 9\"n".utf8).randomElement(using: &generator) ?? 0
    default: break
    }
    return bytes
  }

  @Test("both readers agree on every array, sound or damaged", arguments: ElementType.allCases)
  func agreement(type: ElementType) {
    var generator = SystemRandomNumberGenerator()
    var agreed = 0
    for _ in 0..<3000 {
      let rank = Int.random(in: 1...4, using: &generator)
      let dimensions = (0..<rank).map { _ in Int.random(in: 1...4, using: &generator) }
      let bytes = Self.damaged(Self.text(dimensions[...], &generator), &generator)
      var fast = JSONScanner(bytes[...])
      guard let regular = RegularNumbers(&fast, as: type) else {
        #expect(fast.offset == 0)
        continue
      }
      var slow = JSONScanner(bytes[...])
      var numbers = NestedNumbers(as: type)
      #expect(throws: Never.self) { try numbers.read(&slow) }
      #expect(regular.bytes == numbers.bytes && regular.dimensions == numbers.dimensions)
      #expect(slow.offset == fast.offset)
      agreed += 1
    }
    #expect(type == .bool ? agreed == 0 : agreed > 20)
  }

  @Test("ragged lists come out the same from both readers")
  func ragged() throws {
    let text = "[[[1,2]],[[3,4],[5,6]],[[7,8],[9,10],[11,12]]]"
    var fast = JSONScanner(Array(text.utf8)[...])
    let read = fast.readRegularNumbers(as: .float32, maximumRank: 8, allowsRagged: true)
    let array = try #require(read)
    var slow = JSONScanner(Array(text.utf8)[...])
    var numbers = NestedNumbers(allowsRagged: true)
    try numbers.read(&slow)
    #expect(array.bytes == numbers.bytes && array.dimensions == numbers.dimensions)
    #expect(array.innerLengths == [1, 2, 3] && numbers.raggedLengths == [1, 2, 3])
  }

  @Test("a type named behind the data is the one that is read")
  func lateType() throws {
    for (type, expected) in [("I64", 8), ("F16", 2), ("F64", 8), ("BOOL", 1)] {
      let text = "{\"a\":{\"data\":[1,0,1],\"dtype\":\"\(type)\"}}"
      guard case .one(let tensor)? = try JSONTensorTests.decode(text).tensors["a"] else {
        Issue.record("no tensor")
        return
      }
      #expect(tensor.bytes.count == 3 * expected && tensor.doubles() == [1, 0, 1])
    }
  }
}
