import JSON
import Tensors
import Testing

@testable import TensorFormats

/// A safetensors body around a header written by hand.
func safetensors(_ header: String, data: Int = 0) -> [UInt8] {
  let text = Array(header.utf8)
  return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
    + [UInt8](repeating: 0, count: data)
}

@Suite("safetensors")
struct SafetensorsTests {
  @Test("a body written by hand is read without copying")
  func golden() throws {
    let header =
      #"{"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"__metadata__":{"parameters":"{\"k\":3}"}} "#
    let body = safetensors(header) + [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]
    let document = try SafetensorsFormat.decode(body[...], DecodingHints())
    #expect(document.parameters == ["k": 3])
    guard case .one(let tensor)? = document.tensors["a"] else {
      Issue.record("no tensor")
      return
    }
    #expect(tensor.floats() == [1, -2])
    #expect(tensor.shape.dimensions == [1, 2])
    #expect(tensor.bytes.startIndex == 8 + header.utf8.count)
  }

  @Test("the short way through a header says what the long one says, or leaves it the word")
  func shortWay() throws {
    let pieces = [
      #""a":{"dtype":"F16","shape":[2,3],"data_offsets":[0,12]}"#,
      #""b":{"dtype":"U8","shape":[],"data_offsets":[0,1]}"#,
      #""__metadata__":{"k":"v","ü":"\u00e9"}"#,
      #""c":{"data_offsets": [ 3 , 7 ] ,"shape":[4],"dtype":"I8"}"#,
      #""d":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}"#,
      #""e":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}"#,
      #""f":{"dtype":"U8","shape":[01],"data_offsets":[0,1]}"#,
      #""g":{"dtype":"F8","shape":[1],"data_offsets":[0,1]}"#,
      #""h":{"dtype":"U8","shape":[2],"data_offsets":[0,1]}"#,
      #""i":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}"#,
      #""j":{"dtype":"U8","shape":[1],"data_offsets":[1]}"#, #""k":[]"#, #""__metadata__":{"k":1}"#,
      #""l":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}"#,
      #""m":{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}"#,
      #""n":{"dtype":"U8","shape":[9999999999999999999],"data_offsets":[0,1]}"#,
    ]
    var generator = SystemRandomNumberGenerator()
    var quick = 0
    for round in 0..<2000 {
      let count = round < pieces.count ? 1 : Int.random(in: 0...4, using: &generator)
      let chosen =
        round < pieces.count
        ? [pieces[round]] : (0..<count).map { _ in pieces.prefix(4).randomElement(using: &generator) ?? "" }
      let body = safetensors("{" + chosen.joined(separator: ",") + "}")
      func read(_ quickly: Bool) -> Result<SafetensorsHeader, TensorFormatError> {
        Result { () throws(TensorFormatError) in try SafetensorsHeader(body[...], quickly: quickly) }
      }
      switch (read(true), read(false)) {
      case (.success(let left), .success(let right)):
        #expect(left.metadata == right.metadata)
        #expect(left.entries.map { "\($0)" } == right.entries.map { "\($0)" })
      case (.failure(let left), .failure(let right)): #expect(left == right)
      default: Issue.record("one way accepts what the other refuses: \(chosen)")
      }
      if SafetensorsHeader.quick(body.dropFirst(8)) != nil { quick += 1 }
    }
    #expect(quick > 300 && SafetensorsHeader.quick(Array("{\(pieces[0])} ".utf8)[...]) != nil)
  }

  @Test("a header has at most as many tensors, and strings, as a list has tensors and a few more")
  func manyNames() throws {
    func names(_ count: Int, _ value: String) -> String {
      (0..<count).map { "\"n\($0)\":\(value)" }.joined(separator: ",")
    }
    let tensor = #"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#
    for quickly in [true, false] {
      func error(_ text: String) -> TensorFormatError? {
        do throws(TensorFormatError) {
          _ = try SafetensorsHeader(safetensors(text)[...], quickly: quickly)
          return nil
        } catch {
          return error
        }
      }
      let limit = TensorLists.maximumNames
      let strings = "{\"__metadata__\":{\(names(limit, "\"\""))}"
      #expect(error("\(strings),\(names(limit, tensor))}") == nil)
      #expect(error("{\(names(limit + 1, tensor))}")?.kind == .invalidContent)
      #expect(error("{\"__metadata__\":{\(names(limit + 1, "\"\""))}}")?.pointer == "/__metadata__")
    }
  }

  @Test("the writer orders by width and name, pads the header to 8 and carries the response as text")
  func writer() throws {
    let body = try SafetensorsFormat.encode(
      [("b", counting(.uint8, [3])), ("z", counting(.int64, [1])), ("a", counting(.uint8, [1]))],
      response: ["k": [1]])
    let length = Int(body[0])
    #expect(length % 8 == 0)
    #expect(
      String(decoding: body[8..<(8 + length)], as: UTF8.self).prefix { $0 != " " }
        == #"{"__metadata__":{"response":"{\"k\":[1]}"},"z":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"#
        + #""a":{"dtype":"U8","shape":[1],"data_offsets":[8,9]},"b":{"dtype":"U8","shape":[3],"#
        + #""data_offsets":[9,12]}}"#)
    #expect(body.suffix(12) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2])
    #expect(throws: TensorFormatError.self) {
      try SafetensorsFormat.encode([("a", counting(.uint8, [])), ("a", counting(.uint8, []))], response: [:])
    }
  }

  static let attacks: [(String, Int, TensorFormatError.Kind)] = [
    (#"[]"#, 0, .malformed), (#" {}"#, 0, .malformed), (#"{}x"#, 0, .malformed), (#"{}"#, 1, .malformed),
    (
      #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}"#,
      4, .malformed
    ),
    (#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#, 3, .malformed),
    (
      #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}}"#,
      5, .malformed
    ),
    (
      #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
      3, .malformed
    ),
    (
      #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#,
      2, .malformed
    ),
    (#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 3, .malformed),
    (#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 1, .malformed),
    (#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[2,0]}}"#, 2, .malformed),
    (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,2]}}"#, 2, .malformed),
    (#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}}"#, 0, .malformed),
    (#"{"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}}"#, 1, .malformed),
    (#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}"#, 1, .malformed),
    (#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551616]}}"#, 1, .malformed),
    (#"{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#, 0, .invalidContent),
    (#"{"a":{"dtype":"U8","shape":[0,9223372036854775807,9],"data_offsets":[0,0]}}"#, 0, .invalidContent),
    (#"{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}"#, 0, .invalidContent),
    (
      #"{"a":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}"#, 1,
      .invalidContent
    ),
    (#"{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}"#, 1, .invalidContent),
    (#"{"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}}"#, 8, .unsupported),
    (#"{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}"#, 1, .unsupported),
    (#"{"a":{"shape":[1],"data_offsets":[0,1]}}"#, 1, .malformed), (#"{"a":7}"#, 0, .malformed),
    (#"{"a":{"dtype":"U8","data_offsets":[0,1]}}"#, 1, .malformed),
    (#"{"__metadata__":{"a":1}}"#, 0, .malformed), (#"{"__metadata__":[]}"#, 0, .malformed),
    (#"{"__metadata__":{"parameters":"{"}}"#, 0, .malformed),
    (#"{"__metadata__":{"parameters":"[1]"}}"#, 0, .invalidContent),
    (#"{"a.1":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1, .invalidContent),
    (
      #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a.0":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#,
      2, .invalidContent
    ),
  ]

  @Test("every rule has a body that breaks it and is refused", arguments: attacks.indices)
  func attack(which: Int) {
    let (header, data, kind) = Self.attacks[which]
    #expect { try SafetensorsFormat.decode(safetensors(header, data: data)[...], DecodingHints()) } throws: {
      ($0 as? TensorFormatError)?.kind == kind
    }
  }

  @Test("header lengths that lie are refused before anything is read")
  func lengths() {
    for length in [UInt64.max, 1 << 63, 100_000_001, 100_000_000, 3] {
      let body = withUnsafeBytes(of: length.littleEndian) { Array($0) } + Array("{}".utf8)
      #expect(throws: TensorFormatError.self) { try SafetensorsFormat.decode(body[...], DecodingHints()) }
    }
    let invalidUTF8 = [8, 0, 0, 0, 0, 0, 0, 0] + Array("{\"".utf8) + [0xff] + Array("\":{} }".utf8.prefix(5))
    #expect(throws: TensorFormatError.self) {
      try SafetensorsFormat.decode(invalidUTF8[...], DecodingHints())
    }
  }

  @Test("numbered names become a list in the order of their numbers")
  func lists() throws {
    let tensors = try (0..<12).reversed().map { ("x.\($0)", try counting(.uint8, [$0])) }
    let body = try SafetensorsFormat.encode(tensors + [("y.z", try counting(.uint8, [1]))], response: [:])
    let bundle = try SafetensorsFormat.decode(body[...], DecodingHints()).tensors
    #expect(bundle["x"] == .many(tensors.reversed().map(\.1)))
    #expect(bundle.names == ["x", "y.z"])
    #expect(TensorLists.listIndex("a.01") == nil)
    #expect(TensorLists.listIndex(".0") == nil)
    #expect(TensorLists.listIndex("a.") == nil)
    #expect(TensorLists.listIndex("a.b.10")?.list == "a.b")
  }
}
