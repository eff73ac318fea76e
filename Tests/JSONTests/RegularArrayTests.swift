import Foundation
import Testing

@testable import JSON

@Suite("Regular arrays of numbers")
struct RegularArrayTests {
  static func read(
    _ text: String, as kind: NestedArray.ElementKind = .float32, allowsRagged: Bool = true
  ) -> (array: NestedArray?, offset: Int) {
    // What follows the text must not be taken for a part of it, nor what stands before it.
    let bytes = Array(("[[9," + text + "1,2]]").utf8)
    var scanner = JSONScanner(bytes[4..<(4 + text.utf8.count)])
    let array = scanner.readRegularNumbers(as: kind, maximumRank: 8, allowsRagged: allowsRagged)
    return (array, scanner.offset)
  }

  static func floats(_ array: NestedArray?) -> [UInt32]? {
    array.map { array in
      array.bytes.withUnsafeBytes { raw in
        (0..<(raw.count / 4)).map { raw.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self) }
      }
    }
  }

  /// A decimal in a form, or with a value, that some shortcut might take wrongly.
  static func text(_ generator: inout SplitMix) -> String {
    func digits(_ range: ClosedRange<Int>) -> String {
      String(
        (0..<Int.random(in: range, using: &generator)).map { _ in
          "0123456789".randomElement(using: &generator) ?? "0"
        })
    }
    let sign = Bool.random(using: &generator) ? "-" : ""
    switch Int.random(in: 0..<6, using: &generator) {
    case 0: return JSONNumberTests.text(&generator)
    case 1:
      // Digits of any number on either side of the point.
      let whole =
        Bool.random(using: &generator) ? "0" : "\(Int.random(in: 1...9, using: &generator))\(digits(0...12))"
      return "\(sign)\(whole).\(digits(1...26))"
    case 2:
      // The exact middle between two floats, written out, and its neighbours.
      let float = Float(bitPattern: UInt32.random(in: 0x3000_0000...0x4f00_0000, using: &generator))
      let middle = (Double(float) + Double(float.nextUp)) / 2
      let exact = String(format: "%.\(Int.random(in: 8...60, using: &generator))f", middle)
      return sign + exact
    case 3:
      return
        "\(sign)\(Int.random(in: 1...9, using: &generator)).\(digits(1...20))e\(Int.random(in: -48...37, using: &generator))"
    case 4:
      let denormal = Float(bitPattern: UInt32.random(in: 0...0x00ff_ffff, using: &generator))
      return sign + String(format: "%.\(Int.random(in: 0...30, using: &generator))e", Double(denormal))
    default: return "\(sign)\(Int.random(in: 1...9, using: &generator))\(digits(0...25))"
    }
  }

  @Test("three hundred thousand numbers are bit for bit what strtof says")
  func againstStrtof() throws {
    var generator = SplitMix(state: 7)
    for round in 0..<300 {
      let texts = (0..<1000).map { _ in Self.text(&generator) }
      let separator = [",", ", ", " ,\n\t", " , "][round % 4]
      let (array, offset) = Self.read("[" + texts.joined(separator: separator) + "]")
      let values = try #require(Self.floats(array))
      #expect(array?.dimensions == [1000] && offset > 2000)
      for (value, text) in zip(values, texts) where value != strtof(text, nil).bitPattern {
        Issue.record("\(text) was read as \(Float(bitPattern: value))")
      }
    }
  }

  @Test("float64 numbers are bit for bit what strtod says")
  func againstStrtod() throws {
    var generator = SplitMix(state: 8)
    for _ in 0..<100 {
      let texts = (0..<1000).map { _ in
        Bool.random(using: &generator)
          ? Self.text(&generator) : Double.random(in: -2...2, using: &generator).description
      }
      let (array, _) = Self.read("[" + texts.joined(separator: ",") + "]", as: .float64)
      let bytes = try #require(array?.bytes)
      for (index, text) in texts.enumerated() {
        let bits = bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self) }
        if bits != strtod(text, nil).bitPattern { Issue.record("\(text) was read as \(bits)") }
        var scanner = JSONScanner(Array(text.utf8)[...])
        let single = try scanner.readDouble()
        if single.bitPattern != strtod(text, nil).bitPattern { Issue.record("\(text) alone: \(single)") }
      }
    }
  }

  @Test("integer arithmetic rounds the middle between two values to even")
  func exactTies() throws {
    var number = DecimalNumber()
    number.significand = 16_777_217
    #expect(number.exactlyRounded(to: Float.self) == 0x1p24)
    number.significand = 16_777_219
    #expect(number.exactlyRounded(to: Float.self) == 0x1.000004p24)
    number.significand = 5_960_464_832_810_451_2
    number.exponent = -17
    // Just above half of a unit of 1, beside 0.5 itself.
    #expect(number.exactlyRounded(to: Float.self) == Float("0.59604648328104512"))
    number.exponent = 20
    #expect(number.exactlyRounded(to: Float.self) == nil)
    number.significand = 0
    number.exponent = -3
    number.isNegative = true
    #expect(number.exactlyRounded(to: Double.self)?.bitPattern == (-0.0).bitPattern)
  }

  @Test("brackets say the shape, whatever the white space")
  func shapes() throws {
    let cases: [(String, [Int], [Int]?)] = [
      ("[1]", [1], nil), ("[[1,2],[3,4],[5,6]]", [3, 2], nil), (" [ [ 1 , 2 ]\n,\t[ 3 , 4 ] ]", [2, 2], nil),
      ("[[[1],[2]]]", [1, 2, 1], nil), ("[[[[[[[[1]]]]]]]]", [1, 1, 1, 1, 1, 1, 1, 1], nil),
      ("[[1],[2,3],[4]]", [3, 1], [1, 2, 1]), ("[[[1,2]],[[1,2],[3,4]]]", [2, 1, 2], [1, 2]),
      ("[[1],[1],[1],[1,1]]", [4, 1], [1, 1, 1, 2]),
    ]
    for (text, dimensions, lengths) in cases {
      let (array, offset) = Self.read(text)
      #expect(array?.dimensions == dimensions && array?.innerLengths == lengths, "\(text)")
      #expect(offset == text.utf8.count && array?.bytes.count == (array?.elementCount ?? 0) * 4)
      #expect((Self.read(text, allowsRagged: false).array == nil) == (lengths != nil))
    }
  }

  @Test(
    "whatever is not regular is left unread",
    arguments: [
      "", "[", "1", "[]", "[[]]", "[[1],[]]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[[1][2]]", "[1,[2]]",
      "[[1],2]", "[[[1]],[[2,3]]]", "[[[1]],[2]]", "[[1],[[2]]]", "[1}", "[null]", "[\"1\"]", "[{}]", "[NaN]",
      "[-]", "[01]", "[-01.5]", "[1.]", "[.5]", "[1e]", "[1e+]", "[1.5.5]", "[+1]", "[1e39]", "[-1e999999]",
      "[[[[[[[[[1]]]]]]]]]", "[0x10]", "[1_0]", "[1\u{a0}]", "[1,\u{0b}2]", "[0.5-1]", "[1.0f]",
    ])
  func doubtful(text: String) {
    for filler in ["", String(repeating: " ", count: 100)] {
      let (array, offset) = Self.read(text + filler)
      #expect(array == nil && offset == 0)
    }
  }

  @Test("integers must fit their type and be written as such")
  func integers() {
    #expect(Self.read("[-128,127,0,-0]", as: .int8).array?.bytes == [0x80, 0x7f, 0, 0])
    #expect(Self.read("[65535]", as: .uint16).array?.bytes == [0xff, 0xff])
    let large = Self.read("[9999999999999999999]", as: .uint64).array?.bytes
    #expect(large == withUnsafeBytes(of: UInt64(9_999_999_999_999_999_999).littleEndian) { Array($0) })
    let extremes = Self.read("[9223372036854775807,-9223372036854775808]", as: .int64).array
    #expect(
      extremes?.bytes == [UInt8](repeating: 0xff, count: 7) + [0x7f] + [UInt8](repeating: 0, count: 7) + [
        0x80
      ])
    for (text, kind) in [
      ("[128]", .int8), ("[-129]", .int8), ("[-1]", .uint8), ("[256]", .uint8), ("[1.0]", .int32),
      ("[1e2]", .int32), ("[9223372036854775808]", .int64), ("[-9223372036854775809]", .int64),
      ("[18446744073709551616]", .uint64),
    ] as [(String, NestedArray.ElementKind)] {
      #expect(Self.read(text, as: kind).array == nil, "\(text)")
    }
  }

  @Test("what one array does not use of its memory is given back")
  func memory() {
    let text = "[1,2,3]" + String(repeating: ",[1,2,3]", count: 20_000)
    let array = Self.read(text).array
    #expect(array?.bytes.count == 12 && (array?.bytes.capacity ?? 0) < 2000)
    let many = Self.read("[" + String(repeating: "0.25,", count: 100_000) + "1]" + text).array
    #expect(many?.elementCount == 100_001 && (many?.bytes.capacity ?? 0) < 700_000)
  }

  @Test("a number of a million digits is left to the careful reader, which refuses it")
  func endless() {
    #expect(Self.read("[0.\(String(repeating: "1", count: 1_000_000))]").array == nil)
    #expect(Self.read("[\(String(repeating: "1", count: 1_000_000))]").array == nil)
    #expect(Self.read("[1e\(String(repeating: "0", count: 1_000_000))1]").array == nil)
    #expect(Self.read(String(repeating: "[", count: 1_000_000)).array == nil)
  }
}
