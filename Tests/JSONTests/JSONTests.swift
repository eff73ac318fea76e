import Testing

@testable import JSON

func parsed(_ text: String) throws(JSONError) -> JSONValue { try JSONValue.parse(Array(text.utf8)[...]) }

@Suite("JSON reading")
struct JSONScannerTests {
  @Test(
    "valid texts are read",
    arguments: [
      ("0", .integer(0)), ("-0", .integer(0)), (" [ ] ", []), ("{}", [:]), ("\t\r\n null \n", nil),
      ("[true,false]", [true, false]), ("1.5e1", 15.0), ("-2E-2", -0.02), ("1e5", .number(1e5)),
      ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
      ("9223372036854775808", .unsigned(1 << 63)), ("18446744073709551615", .unsigned(.max)),
      ("18446744073709551616", .number(0x1p64)), ("9223372036854775808.0", .number(0x1p63)),
      ("123456789012345678901", .number(0x1.ac53a7e04bcdap+66)),
      ("5e-324", .number(.leastNonzeroMagnitude)),
      ("1.7976931348623157e308", .number(.greatestFiniteMagnitude)),
      ("1e-400", .number(0)), (#""\u00e9\n\/\"\\\b\f\r\t""#, "\u{e9}\n/\"\\\u{8}\u{c}\r\t"),
      (#""\uD83D\uDE00x""#, "😀x"), (#""😀é""#, "😀é"), (#""\u0000""#, "\0"),
      (#"{"a":{"b":[1,{"c":null}]},"":2}"#, ["a": ["b": [1, ["c": nil]]], "": 2]),
      ("\"\u{7f}\u{2028}\"", "\u{7f}\u{2028}"),
    ] as [(String, JSONValue)])
  func valid(text: String, value: JSONValue) throws { #expect(try parsed(text) == value) }

  @Test(
    "invalid texts are refused at the offending byte",
    arguments: [
      ("", 0), (" ", 1), ("01", 0), ("-01", 1), ("-", 1), ("+1", 0), (".5", 0), ("1.", 2), ("1.e5", 2),
      ("1e", 2),
      ("1e+", 3), ("0x1", 1), ("1 2", 2), ("NaN", 0), ("Infinity", 0), ("-Infinity", 0), ("nul", 3),
      ("True", 0),
      ("[1,]", 3), ("[,1]", 1), ("[1 2]", 3), ("[1", 2), ("[", 1), ("]", 0), ("{\"a\"}", 4), ("{\"a\":}", 5),
      ("{\"a\":1,}", 7), ("{,}", 1), ("{a:1}", 1), ("{\"a\":1 \"b\":2}", 7), ("{\"a\":1", 6), ("{1:2}", 1),
      ("{\"a\":1,\"a\":2}", 7), ("\"", 1), ("\"\\x\"", 2), ("\"\\u12g4\"", 5), ("\"\\ud800\"", 3),
      ("\"\\ud800\\u0041\"", 3), ("\"\\udc00\"", 3), ("\"a\nb\"", 2), ("'a'", 0), ("[1]]", 3), ("// c", 0),
      ("[1e400]", 1), ("\u{feff}1", 0), ("\u{a0}1", 0), ("{\"\\u0061\":1,\"a\":2}", 12),
    ])
  func invalid(text: String, offset: Int) {
    #expect { try parsed(text) } throws: { ($0 as? JSONError)?.offset == offset }
  }

  @Test(
    "invalid UTF-8 is refused",
    arguments: [[0x80], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe2, 0x82], [0xff]])
  func invalidUTF8(content: [UInt8]) {
    let quote = [UInt8(ascii: "\"")]
    #expect(throws: JSONError.self) { try JSONValue.parse((quote + content + quote)[...]) }
    #expect(throws: JSONError.self) {
      try JSONValue.parse((quote + Array("\\n".utf8) + content + quote)[...])
    }
  }

  @Test("nesting ends at 64 levels")
  func depth() throws {
    let deepest = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
    #expect(throws: Never.self) { try parsed(deepest) }
    #expect(throws: JSONError.self) { try parsed("[" + deepest + "]") }
    #expect(throws: JSONError.self) { try parsed(String(repeating: "{\"a\":", count: 100_000)) }
  }

  @Test("a text of too many values is refused")
  func valueCount() {
    let text = Array("[1,2,3]".utf8)
    #expect(throws: Never.self) { try JSONValue.parse(text[...], maximumValueCount: 4) }
    #expect(throws: JSONError.self) { try JSONValue.parse(text[...], maximumValueCount: 3) }
  }

  @Test(
    "reading is given up within any value", arguments: ["[%]", "[[%]]", "{\"a\":[%]}", "{\"a\":{\"b\":[%]}}"])
  func interruption(form: String) throws {
    let halves = form.split(separator: "%")
    let text = Array("\(halves[0])\(String(repeating: "1,", count: 3000))1\(halves[1])".utf8)
    #expect(throws: Never.self) { try JSONValue.parse(text[...], isInterrupted: { false }) }
    #expect { try JSONValue.parse(text[...], isInterrupted: { true }) } throws: {
      ($0 as? JSONError)?.kind == .interrupted
    }
  }

  @Test("an error says where in the document it lies")
  func pointer() {
    #expect { try parsed(#"{"a/b":[1,{"~":tru}]}"#) } throws: {
      ($0 as? JSONError)?.pointer == "/a~1b/1/~0"
    }
  }

  @Test("duplicates are found among many members")
  func manyMembers() {
    let members = (0..<1000).map { "\"m\($0)\":0" }
    #expect(throws: Never.self) { try parsed("{" + members.joined(separator: ",") + "}") }
    #expect(throws: JSONError.self) {
      try parsed("{" + (members + ["\"m3\":0"]).joined(separator: ",") + "}")
    }
    #expect(throws: JSONError.self) {
      try parsed("{" + (members + ["\"m900\":0"]).joined(separator: ",") + "}")
    }
  }

  @Test("every prefix of a valid text is refused")
  func truncation() {
    let text = Array(#"{"a":[1,-2.5e3,"x\u00e9\ud83d\ude00",{"b":null}],"c":true} "#.utf8)
    for length in 0..<(text.count - 1) {
      #expect(throws: JSONError.self) { try JSONValue.parse(text[..<length]) }
    }
  }

  @Test("offsets count from the start of a slice")
  func slices() {
    let text = Array("xx[1,?]".utf8)
    #expect { try JSONValue.parse(text[2...]) } throws: { ($0 as? JSONError)?.offset == 3 }
  }

  @Test("twenty thousand mutations return or throw, and what is read survives a round trip")
  func mutations() throws {
    let seedText = Array(
      #"{"a":[1,-2.5e3,"x\u00e9\ud83d\ude00",{"b":null}],"c":[[0.1,2],[3e-7]],"d":true}"#.utf8)
    var generator = SplitMix(state: 7)
    for _ in 0..<20_000 {
      let text = generator.mutate(seedText, with: Array("[]{}\",:\\u0189.-+e \n".utf8))
      guard let value = try? JSONValue.parse(text[...]) else { continue }
      #expect(try JSONValue.parse(value.serialized()[...]) == value)
    }
  }
}

@Suite("JSON writing")
struct JSONWriterTests {
  @Test("values are written on one line or indented")
  func layouts() {
    let value: JSONValue = ["a": [1, 2.5, "x\"\\\n\u{1}é"], "b": [:], "c": [], "d": [true, nil]]
    #expect(value.description == #"{"a":[1,2.5,"x\"\\\n\u0001é"],"b":{},"c":[],"d":[true,null]}"#)
    let pretty = String(decoding: value.serialized(prettyPrinted: true), as: UTF8.self)
    #expect(
      pretty == """
        {
          "a": [
            1,
            2.5,
            "x\\"\\\\\\n\\u0001é"
          ],
          "b": {},
          "c": [],
          "d": [
            true,
            null
          ]
        }
        """)
  }

  @Test("arrays of numbers are the shortest that read back as the same numbers")
  func numbers() throws {
    var writer = JSONWriter()
    writer.beginObject()
    writer.name("f")
    writer.beginArray()
    for value: Float in [0.1, 3, -1e-8, 1e20, .leastNonzeroMagnitude] { writer.write(value) }
    writer.endArray()
    writer.name("d")
    writer.beginArray()
    for value in [0.1, 3, 1e300, -0.0] { writer.write(value) }
    writer.endArray()
    writer.name("i")
    writer.write([1, -2])
    writer.endObject()
    #expect(
      String(decoding: writer.bytes, as: UTF8.self)
        == #"{"f":[0.1,3.0,-1e-08,1e+20,1e-45],"d":[0.1,3.0,1e+300,-0.0],"i":[1,-2]}"#)
    #expect(throws: Never.self) { try JSONValue.parse(writer.bytes[...]) }
  }

  @Test("integers of every length and type are written digit by digit")
  func integers() {
    var generator = SplitMix(state: 3)
    var values: [Int] = [0, 1, -1, 9, 10, -10, 99, 100, .max, .min, .max - 1, .min + 1]
    var power = 1
    for _ in 0..<18 {
      power *= 10
      values += [power - 1, power, power + 1, -power]
    }
    for _ in 0..<2000 {
      values.append(Int(truncatingIfNeeded: generator.next()) >> Int.random(in: 0...63, using: &generator))
    }
    let expected = "[" + values.map(\.description).joined(separator: ",") + "]"
    var writer = JSONWriter()
    writer.write(values)
    #expect(String(decoding: writer.bytes, as: UTF8.self) == expected)
    var single = JSONWriter()
    single.beginArray()
    single.write(UInt64.max)
    single.write(Int8.min)
    single.write(Int128.min)
    single.endArray()
    #expect(
      String(decoding: single.bytes, as: UTF8.self)
        == "[18446744073709551615,-128,\(Int128.min.description)]")
  }

  @Test("names that repeat are found however many there are", arguments: 1...40)
  func repeated(count: Int) {
    let members = (0..<count).map { "\"n\($0)\":\($0)" }
    let text = "{" + members.joined(separator: ",")
    #expect(throws: Never.self) { try JSONValue.parse(Array((text + "}").utf8)[...]) }
    for repeated in 0..<count {
      #expect(throws: JSONError.self) {
        try JSONValue.parse(Array((text + ",\"n\(repeated)\":0}").utf8)[...])
      }
    }
  }
}

/// A small reproducible random source (Steele, Lea, Flood: SplitMix, OOPSLA 2014).
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  /// One to four bytes replaced, removed or inserted.
  mutating func mutate(_ bytes: [UInt8], with alphabet: [UInt8]) -> [UInt8] {
    var bytes = bytes
    for _ in 0...Int.random(in: 0..<4, using: &self) where !bytes.isEmpty {
      let place = Int.random(in: 0..<bytes.count, using: &self)
      let byte =
        Bool.random(using: &self)
        ? alphabet.randomElement(using: &self) ?? 0 : UInt8.random(in: 0...255, using: &self)
      switch Int.random(in: 0..<3, using: &self) {
      case 0: bytes[place] = byte
      case 1: bytes.remove(at: place)
      default: bytes.insert(byte, at: place)
      }
    }
    return bytes
  }
}
