import JSON
import Tensors
import Testing

@testable import TensorFormats

@Suite("JSON tensors")
struct JSONTensorTests {
  static func decode(_ text: String, _ parameters: Set<String> = []) throws -> TensorDocument {
    try JSONTensorFormat.decode(Array(text.utf8)[...], DecodingHints(parameterNames: parameters))
  }

  static func float32(_ values: [Float], _ dimensions: [Int]) throws -> Tensor {
    try .float32(values, shape: Shape(dimensions))
  }

  @Test("tensors and parameters are told apart")
  func members() throws {
    let document = try Self.decode(
      #"{"a":[[1,2],[3,4.5]],"keep_tokens":64,"method":"crop","layout":{"type":"grid","rows":2},"#
        + #""region":[1,2],"explain":true,"x":null,"names":["p","q"]}"#, ["layout", "region"])
    #expect(document.tensors.names == ["a"])
    #expect(document.tensors["a"] == .one(try Self.float32([1, 2, 3, 4.5], [2, 2])))
    #expect(
      document.parameters == [
        "keep_tokens": 64, "method": "crop", "layout": ["type": "grid", "rows": 2], "region": [1, 2],
        "explain": true, "x": nil, "names": ["p", "q"],
      ])
  }

  @Test("names of two tensors that a dictionary takes for one are refused")
  func equivalentNames() throws {
    let error = #expect(throws: TensorFormatError.self) {
      try Self.decode("{\"\u{e9}\":[1],\"e\u{301}\":[2]}")
    }
    #expect(error?.message.contains("two tensors") == true)
  }

  @Test("nested arrays have the shape their brackets say")
  func shapes() throws {
    let cases: [(String, [Int])] = [
      ("[]", [0]), ("[1]", [1]), ("[[]]", [1, 0]), ("[[],[]]", [2, 0]), ("[[[1,2],[3,4],[5,6]]]", [1, 3, 2]),
      ("[ [ 1 , 2 ] , [ 3 , 4 ] ]", [2, 2]), ("[[[[[[[[1]]]]]]]]", [1, 1, 1, 1, 1, 1, 1, 1]),
      ("[[[]],[[]]]", [2, 1, 0]),
    ]
    for (text, dimensions) in cases {
      guard case .one(let tensor)? = try Self.decode("{\"a\":\(text)}").tensors["a"] else {
        Issue.record("\(text) is no tensor")
        continue
      }
      #expect(tensor.shape.dimensions == dimensions)
    }
  }

  @Test("an array ragged at its first inner axis is a list")
  func ragged() throws {
    #expect(
      try Self.decode("{\"a\":[[[1,2]],[[3,4],[5,6]],[]]}").tensors["a"]
        == .many([
          Self.float32([1, 2], [1, 2]), Self.float32([3, 4, 5, 6], [2, 2]), Self.float32([], [0, 2]),
        ]))
    #expect(
      try Self.decode("{\"a\":[[],[1]]}").tensors["a"]
        == .many([Self.float32([], [0]), Self.float32([1], [1])]))
  }

  @Test("objects say element type and shape, in any order")
  func objects() throws {
    let half = try counting(.float16, [2, 1])
    let texts = [
      #"{"dtype":"F16","shape":[2,1],"data":[0,0.25]}"#, #"{"data":[[0],[0.25]],"dtype":"F16"}"#,
      #"{"shape":[2,1],"base64":"AAAANA==","dtype":"F16"}"#,
      #"{"base64":"AAAANA","shape":[2,1],"dtype":"F16"}"#,
    ]
    for text in texts {
      #expect(try Self.decode("{\"a\":\(text)}").tensors["a"] == .one(half))
      #expect(try Self.decode("{\"a\":[\(text),\(text)]}").tensors["a"] == .many([half, half]))
    }
    let scalar = try Self.decode(#"{"a":{"shape":[],"data":[3]}}"#).tensors["a"]
    #expect(scalar == .one(try Self.float32([3], [])))
    let extremes = try Self.decode(
      #"{"a":{"dtype":"I64","data":[9223372036854775807,-9223372036854775808]},"#
        + #""b":{"dtype":"U64","data":[18446744073709551615]},"c":{"dtype":"BOOL","data":[true,0,1]}}"#)
    #expect(extremes.tensors["a"] == .one(try .int64([.max, .min], shape: Shape([2]))))
    guard case .one(let unsigned)? = extremes.tensors["b"], case .one(let truths)? = extremes.tensors["c"]
    else {
      Issue.record("no tensors")
      return
    }
    #expect(unsigned.bytes.allSatisfy { $0 == 0xff })
    #expect(Array(truths.bytes) == [1, 0, 1])
  }

  static let faults: [(String, String, TensorFormatError.Kind)] = [
    (#"[1,2]"#, "", .invalidContent), (#"{"a":[1}"#, "/a", .malformed), (#"{"a":[1]} x"#, "", .malformed),
    (#"{"a":[1],"a":[1]}"#, "/a", .malformed), (#"{"a":[[[1,2],[3]]]}"#, "/a/0/1", .invalidContent),
    (#"{"a":[[[1,2]],[[1,2],[3,4,5]]]}"#, "/a/1/1", .invalidContent),
    (#"{"a":[1,[2]]}"#, "/a/1", .invalidContent), (#"{"a":[[1],[[2]]]}"#, "/a/1/0", .invalidContent),
    (#"{"a":[[1],2]}"#, "/a/1", .invalidContent), (#"{"a":[[[1]],[2]]}"#, "/a/1/0", .invalidContent),
    (#"{"a":[1,1e39]}"#, "/a/1", .invalidContent), (#"{"a":[[1,null]]}"#, "/a/0/1", .invalidContent),
    (#"{"a":[NaN]}"#, "/a/0", .malformed),
    (#"{"a":[[[[[[[[[1]]]]]]]]]}"#, "/a/0/0/0/0/0/0/0/0", .invalidContent),
    (#"{"a":{"dtype":"F8","data":[1]}}"#, "/a/dtype", .invalidContent),
    (#"{"a":{"dtype":"F32"}}"#, "/a", .invalidContent),
    (#"{"a":{"data":[1],"base64":""}}"#, "/a", .invalidContent),
    (#"{"a":{"data":[1],"x":1}}"#, "/a/x", .invalidContent),
    (#"{"a":{"base64":"AAAA"}}"#, "/a/base64", .invalidContent),
    (#"{"a":{"shape":[1],"base64":"AAAA"}}"#, "/a/base64", .invalidContent),
    (#"{"a":{"dtype":"U8","shape":[3],"base64":"AA=A"}}"#, "/a/base64", .invalidContent),
    (#"{"a":{"shape":[2],"data":[1]}}"#, "/a/data", .invalidContent),
    (#"{"a":{"shape":[4],"data":[[1,2],[3,4]]}}"#, "/a/data", .invalidContent),
    (#"{"a":{"data":[[1,2],[3]]}}"#, "/a/data/1", .invalidContent),
    (#"{"a":{"shape":[-1],"data":[]}}"#, "/a/shape/0", .invalidContent),
    (#"{"a":{"shape":[1.5],"data":[]}}"#, "/a/shape/0", .invalidContent),
    (#"{"a":{"shape":[4294967296,4294967296],"data":[]}}"#, "/a/data", .invalidContent),
    (#"{"a":{"dtype":"F16","data":[0,65520]}}"#, "/a/data/1", .invalidContent),
    (#"{"a":{"dtype":"I8","data":[0,128]}}"#, "/a/data/1", .invalidContent),
    (#"{"a":{"dtype":"U8","data":[-1]}}"#, "/a/data/0", .invalidContent),
    (#"{"a":{"dtype":"I32","data":[[0.5]]}}"#, "/a/data/0/0", .invalidContent),
    (#"{"a":{"dtype":"BOOL","data":[2]}}"#, "/a/data/0", .invalidContent),
    (#"{"a":[{"data":[1]},7]}"#, "/a/1", .invalidContent),
    (#"{"a":{"data":["x"]}}"#, "/a/data", .invalidContent),
  ]

  @Test("every fault is refused where it lies", arguments: faults.indices)
  func refused(which: Int) {
    let (text, pointer, kind) = Self.faults[which]
    #expect { try Self.decode(text) } throws: {
      let error = $0 as? TensorFormatError
      return error?.pointer == pointer && error?.kind == kind
    }
  }

  @Test("deep nesting, however spelled, is refused")
  func depth() {
    for open in ["[", "{\"data\":", "{\"x\":", "[{\"data\":["] {
      let text = "{\"a\":" + String(repeating: open, count: 100_000)
      #expect(throws: TensorFormatError.self) { try Self.decode(text) }
    }
  }

  @Test("parameters share one limit, however they are spread over members")
  func parameterLimit() {
    let values = "[\"\"" + String(repeating: ",0", count: 600_000) + "]"
    #expect(throws: Never.self) { try Self.decode("{\"a\":\(values)}") }
    #expect(throws: TensorFormatError.self) { try Self.decode("{\"a\":\(values),\"b\":\(values)}") }
  }

  @Test("a message says what was expected and what was found")
  func message() {
    #expect { try Self.decode("{\"image_features\":[[[1,2],[3,4]],[[5,6],[7]]]}") } throws: {
      ($0 as? TensorFormatError)?.description
        == "/image_features/1/1: expected 2 elements as in the arrays before it, found 1 (byte 40)"
    }
  }

  @Test("an answer names its tensors beside the response, indices as plain lists")
  func answer() throws {
    let indices = try Tensor.int64([0, 3, 1, 2], shape: Shape([2, 2]))
    let body = try JSONTensorFormat.encode(
      [("kept_indices", indices), ("features", try counting(.float16, [1, 2]))], response: ["k": 0.5])
    #expect(
      String(decoding: body, as: UTF8.self)
        == #"{"k":0.5,"kept_indices":[[0,3],[1,2]],"features":{"dtype":"F16","shape":[1,2],"data":[0.0,0.25]}}"#
    )
    #expect(throws: TensorFormatError.self) {
      try JSONTensorFormat.encode([("k", indices)], response: ["k": 1])
    }
    #expect(throws: TensorFormatError.self) {
      try JSONTensorFormat.encode([("x", Self.float32([1, .nan], [2]))], response: [:])
    }
  }
}

@Suite("Base64")
struct Base64Tests {
  @Test("the vectors of RFC 4648 decode, with padding and without")
  func vectors() throws {
    let vectors = ["": "", "Zg==": "f", "Zm8=": "fo", "Zm9v": "foo", "Zm9vYg==": "foob", "Zm9vYmE=": "fooba"]
    for (text, expected) in vectors {
      #expect(try Base64.decode(Array(text.utf8)[...]) == Array(expected.utf8))
      #expect(
        try Base64.decode(Array(text.utf8.filter { $0 != UInt8(ascii: "=") })[...]) == Array(expected.utf8))
    }
    #expect(try Base64.decode(Array("AP+/+w".utf8)[...]) == [0, 0xff, 0xbf, 0xfb])
  }

  @Test("every length decodes to what was encoded, and a foreign character is found wherever it stands")
  func lengths() throws {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    for count in 0...150 {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ count) }
      var text: [UInt8] = []
      for start in stride(from: 0, to: count, by: 3) {
        let group = bytes[start..<min(start + 3, count)]
        let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
        for place in 0...group.count { text.append(alphabet[bits >> (18 - 6 * place) & 63]) }
      }
      #expect(try Base64.decode(text[...]) == bytes)
      let padded = text + [UInt8](repeating: UInt8(ascii: "="), count: (4 - text.count % 4) % 4)
      #expect(try Base64.decode(padded[...]) == bytes)
      #expect(Base64.lengths(ofByteCount: count).contains(text.count))
      #expect(Base64.lengths(ofByteCount: count).contains(padded.count))
      for tail in [text, padded] {
        let body =
          Array("{\"a\":{\"dtype\":\"U8\",\"shape\":[\(count)],\"base64\":\"".utf8) + tail
          + Array("\"}}".utf8)
        let document = try JSONTensorFormat.decode(body[...], DecodingHints())
        #expect(
          try document.tensors["a"]
            == .one(Tensor(elementType: .uint8, shape: Shape([count]), bytes: bytes[...])))
      }
      for place in text.indices {
        var faulty = text
        faulty[place] = [0, 0x22, 0x2d, 0x3d, 0x5c, 0x80, 0xff][place % 7]
        if faulty[place] == 0x3d, place >= text.count - 2 { continue }
        #expect { try Base64.decode(faulty[...]) } throws: { ($0 as? Base64.Failure)?.offset == place }
      }
    }
  }

  @Test(
    "everything else is refused at the offending character",
    arguments: [
      ("A", 1), ("A===", 1), ("AA=", 2), ("AAA==", 3), ("====", 0), ("AB==", 1), ("AAB=", 2), ("AA-A", 2),
      ("A A=", 1),
      ("AAAA\nAAA", 4), ("Zg==Zg==", 2), ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA_AAA", 36),
      ("AAAAA\u{e9}A", 5),
    ])
  func refused(text: String, offset: Int) {
    #expect { try Base64.decode(Array(text.utf8)[...]) } throws: { ($0 as? Base64.Failure)?.offset == offset }
  }

  @Test("separators are counted in pieces as they are one by one")
  func separators() {
    for length in [0, 1, 15, 16, 17, 4079, 4080, 4081, 4096, 9000] {
      let text = (0..<length).map { UInt8(ascii: [",", "[", "1", "]", ","][$0 * $0 % 5]) }
      let expected = text.count { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "[") }
      #expect(text.withUnsafeBytes(JSONTensorFormat.separatorCount) == expected)
      let commas = [UInt8](repeating: UInt8(ascii: ","), count: length)
      #expect(commas.withUnsafeBytes(JSONTensorFormat.separatorCount) == length)
    }
  }
}
