import Testing

@testable import JSON

@Suite("Numbers in JSON")
struct JSONNumberTests {
  static func floats(_ text: String) throws(JSONError) -> [Float] {
    var scanner = JSONScanner(Array(text.utf8)[...])
    var values: [Float] = []
    var index = 0
    try scanner.openArray()
    while try scanner.nextPlace(&index) {
      do throws(JSONError) {
        values.append(try scanner.readFloat())
      } catch {
        throw error.inside(index - 1)
      }
    }
    try scanner.finish()
    return values
  }

  /// A number as text, in one of many forms.
  static func text(_ generator: inout SplitMix) -> String {
    let bits = UInt32.random(in: 0...UInt32.max, using: &generator)
    let any = Float(bitPattern: bits)
    let float = any.isFinite ? any : 0.5
    switch Int.random(in: 0..<8, using: &generator) {
    case 0: return float.description
    case 1: return Double(float).description
    case 2: return Float.random(in: -1...1, using: &generator).description
    case 3: return Double(Float.random(in: -8...8, using: &generator)).description
    case 4: return Double.random(in: -1...1, using: &generator).description
    case 5:
      // The middle between two floats, and a little beside it.
      let half = Double(float) + Double(float.ulp) / 2
      let beside = Int.random(in: -1...1, using: &generator)
      let value = beside == 0 ? half : (beside < 0 ? half.nextDown : half.nextUp)
      return abs(value) < 3e38 ? value.description : "1"
    case 6:
      let digits = (0..<Int.random(in: 1...24, using: &generator)).map { _ in
        String(Int.random(in: 0...9, using: &generator))
      }
      let sign = Bool.random(using: &generator) ? "-" : ""
      return "\(sign)0.\(digits.joined())e\(Int.random(in: -50...38, using: &generator))"
    default:
      let whole = Int.random(in: -(1 << 40)...(1 << 40), using: &generator)
      return
        "\(whole).\(UInt16.random(in: 0...999, using: &generator))E+\(Int.random(in: 0...20, using: &generator))"
    }
  }

  @Test("a hundred thousand numbers of many forms read as the standard library reads them")
  func againstStandardLibrary() throws {
    var generator = SplitMix(state: 42)
    for _ in 0..<100 {
      let texts = (0..<1000).map { _ in Self.text(&generator) }
      let values = try Self.floats("[" + texts.joined(separator: ",") + "]")
      #expect(values.count == texts.count)
      for (value, text) in zip(values, texts) where value.bitPattern != Float(text)?.bitPattern {
        Issue.record("\(text) was read as \(value)")
      }
      for text in texts {
        var scanner = JSONScanner(Array(text.utf8)[...])
        let value = try scanner.readDouble()
        if value.bitPattern != Double(text)?.bitPattern { Issue.record("\(text) was read as \(value)") }
      }
    }
  }

  @Test(
    "ties and edges round as IEEE 754 says",
    arguments: [
      ("16777217", 0x1p24), ("16777219", 0x1.000004p24), ("16777217.00000000000000000001", 0x1.000002p24),
      ("3.4028235e38", .greatestFiniteMagnitude), ("3.4028235677973367e38", nil), ("1e39", nil),
      ("-1e39", nil), ("3.4028235677973365e38", .greatestFiniteMagnitude),
      ("1e-45", .leastNonzeroMagnitude), ("7e-46", 0), ("7.1e-46", .leastNonzeroMagnitude),
      ("1.1754943508222875e-38", .leastNormalMagnitude), ("0e999999999999", 0), ("-0.0", -0.0),
      ("0.000000000000000000000000000001", 1e-30), ("9007199254740993", 0x1p53),
    ] as [(String, Float?)])
  func edges(text: String, expected: Float?) throws {
    if let expected {
      #expect(try Self.floats("[\(text)]").map(\.bitPattern) == [expected.bitPattern])
    } else {
      #expect { try Self.floats("[1, \(text)]") } throws: {
        let error = $0 as? JSONError
        return error?.pointer == "/1" && error?.kind == .content && error?.offset == 4
      }
    }
  }

  @Test(
    "what is no number is refused with its index",
    arguments: [
      ("[1,null]", "/1", JSONError.Kind.content), ("[[1]]", "/0", .content), ("[1,\"2\"]", "/1", .content),
      ("[1,NaN]", "/1", .syntax), ("[1,]", "/1", .syntax), ("[1,01]", "/1", .syntax),
      ("[1,-]", "/1", .syntax),
      ("[1 2]", "", .syntax), ("[1", "", .syntax), ("[", "/0", .syntax), ("[1,2,", "/2", .syntax),
    ])
  func refused(text: String, pointer: String, kind: JSONError.Kind) {
    #expect { try Self.floats(text) } throws: {
      let error = $0 as? JSONError
      return error?.pointer == pointer && error?.kind == kind
    }
  }

  @Test("a number of endless digits is refused, not computed")
  func length() throws {
    let digits = String(repeating: "1", count: 3000)
    #expect(throws: JSONError.self) { try Self.floats("[0.\(digits)]") }
    #expect(throws: JSONError.self) { try parsed(digits) }
    #expect(try Self.floats("[0.\(digits.prefix(2000))]") == [0.11111111])
  }
}
