import JSON
import Tensors
import Testing

@testable import TensorFormats

/// What clients send that is unambiguous though not the plainest form.
@Suite("What clients send")
struct ClientHabitTests {
  private static func tensor(_ base64: String, _ order: String = "") throws -> TensorBundle.Entry? {
    let text =
      order == "base64 first"
      ? "{\"a\":{\"base64\":\"\(base64)\",\"dtype\":\"F32\",\"shape\":[4]}}"
      : "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"base64\":\"\(base64)\"}}"
    return try JSONTensorTests.decode(text).tensors["a"]
  }

  @Test(
    "base64 is read with any escape of JSON, in lines, and as a data: URL",
    arguments: [
      #"1WivPXR+cj5TIE0\/kggVPw=="#, #"1WivPXR\u002Bcj5TIE0\/kggVPw=="#,
      #"1WivPXR\u002bcj5TIE0\u002FkggVPw\u003d\u003D"#,
      #"\u0031WivPXR+cj5TIE0/kggVPw"#, #"1WivPXR+\ncj5TIE0/kggVPw=="#,
      #"1WivPXR+\r\ncj5TIE0/\r\nkggVPw==\r\n"#,
      #" 1Wiv PXR+cj5T\tIE0/kggVPw=="#, "data:application/octet-stream;base64,1WivPXR+cj5TIE0/kggVPw==",
      #"data:;base64,1WivPXR+\ncj5TIE0\/kggVPw=="#,
    ])
  func base64(text: String) throws {
    let plain = try Self.tensor("1WivPXR+cj5TIE0/kggVPw==")
    #expect(plain != nil)
    #expect(try Self.tensor(text) == plain)
    #expect(try Self.tensor(text, "base64 first") == plain)
  }

  @Test(
    "what is still not base64 is refused",
    arguments: [
      "1WivPXR-cj5TIE0_kggVPw==", "data:application/octet-stream,1WivPXR+cj5TIE0/kggVPw==",
      "data:application/octet-stream;base64", #"1WivPXR\u0000cj5TIE0/kggVPw=="#, "1WivPXR+\ncj5TIE0/kggVPw==",
      #"1WivPXR+\u00e9"#,
    ])
  func notBase64(text: String) {
    #expect(throws: TensorFormatError.self) { try Self.tensor(text) }
  }

  @Test("a byte order mark is passed over, UTF-16 and UTF-32 are refused by name")
  func encodings() throws {
    let text = "{\"k\":1,\"a\":[1,2,3]}"
    let marked = [0xef, 0xbb, 0xbf] + Array(text.utf8)
    #expect(TensorFormats.sniff(marked.prefix(16)) == JSONTensorFormat.self)
    #expect(try JSONTensorFormat.decode(marked[...], DecodingHints()) == JSONTensorTests.decode(text))
    let units = text.utf16.map { $0 }
    let little = units.flatMap { [UInt8($0 & 0xff), UInt8($0 >> 8)] }
    let big = units.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xff)] }
    for body in [[0xff, 0xfe] + little, little, [0xfe, 0xff] + big, big] {
      #expect(TensorFormats.sniff(body.prefix(16)) == JSONTensorFormat.self)
      #expect {
        try JSONTensorFormat.decode(body[...], DecodingHints())
      } throws: { error in
        guard let error = error as? TensorFormatError else { return false }
        return error.kind == .malformed && error.message.contains("UTF-16") && error.message.contains("UTF-8")
      }
    }
  }

  @Test("Python's words and quotes are named")
  func python() {
    for (text, word) in [
      ("{\"k\":True}", "Python's True"), ("{\"k\":None}", "null"), ("{'k':1}", "double quotes"),
    ] {
      #expect {
        try JSONTensorTests.decode(text)
      } throws: {
        ($0 as? TensorFormatError)?.message.contains(word) == true
      }
    }
  }

  @Test("element types have the names of numpy, PyTorch and others; a name that could mean two is refused")
  func elementTypes() {
    for (name, type) in [
      ("float16", .float16), ("bfloat16", .bfloat16), ("torch.float32", .float32),
      ("torch.bfloat16", .bfloat16),
      ("numpy.int64", .int64), ("np.uint8", .uint8), ("<f4", .float32), ("|b1", .bool), ("FP16", .float16),
      ("BF16", .bfloat16), ("INT32", .int32), ("torch.half", .float16), ("torch.long", .int64), ("I8", .int8),
      ("torch.float", .float32), ("double", .float64),
    ] as [(String, ElementType)] {
      #expect(ElementType(named: name) == type, "\(name)")
    }
    // numpy's i8 has eight bytes and safetensors' I8 eight bits; Python's float has 64 bits and PyTorch's 32.
    for name in ["i8", "u8", "f8", "float", ">f4", "float8", "", "torch.", "complex64", "F31"] {
      #expect(ElementType(named: name) == nil, "\(name)")
    }
    for type in ElementType.allCases { #expect(ElementType(named: type.rawValue) == type) }
  }

  @Test("numpy's two-byte integers may be declared to be 16-bit floats")
  func declaredHalves() throws {
    let bits = try Tensor(elementType: .uint16, shape: Shape([2]), bytes: [0x80, 0x3f, 0, 0xc0])
    let body = try NPYFormat.encode([("a", bits)], response: [:])
    for (declared, values) in [(.bfloat16, [1, -2]), (.float16, [1.875, -2])] as [(ElementType, [Float])] {
      let document = try NPYFormat.decode(body[...], DecodingHints(tensorName: "a", elementType: declared))
      guard case .one(let tensor)? = document.tensors["a"] else {
        Issue.record("no tensor")
        return
      }
      #expect(tensor.elementType == declared && tensor.floats() == values)
    }
  }

  @Test("metadata of null are none, and parameters may stand in them under their own names")
  func metadata() throws {
    let hints = DecodingHints(parameterNames: ["method", "keep_tokens", "layout", "explain"])
    let null = safetensors(
      #"{"__metadata__":null,"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, data: 1)
    #expect(try SafetensorsFormat.decode(null[...], hints).tensors.names == ["a"])
    let plain = safetensors(
      #"{"__metadata__":{"method":"divprune","keep_tokens":"4","format":"pt","explain":"True","layout":"{\"type\":\"raw\"}"}}"#
    )
    let document = try SafetensorsFormat.decode(plain[...], hints)
    #expect(
      document.parameters == [
        "method": "divprune", "keep_tokens": 4, "explain": true, "layout": ["type": "raw"],
      ])
    #expect(document.otherMetadata == ["format"])
    let twice = safetensors(#"{"__metadata__":{"parameters":"{\"keep_tokens\":3}","keep_tokens":"4"}}"#)
    #expect {
      try SafetensorsFormat.decode(twice[...], hints)
    } throws: {
      ($0 as? TensorFormatError)?.pointer == "/__metadata__/keep_tokens"
    }
  }

  @Test("parameters as text are JSON, Python's words, or strings")
  func parameterTexts() {
    for (text, value) in [
      ("64", 64), ("0.5", 0.5), ("true", true), ("True", true), ("False", false), ("None", nil),
      ("null", nil), ("TRUE", "TRUE"), ("truest", "truest"), ("nul", "nul"), ("NaN", "NaN"), ("true ", true),
      ("[1,2]", [1, 2]), ("crop", "crop"), ("18446744073709551615", .unsigned(.max)), ("", ""),
    ] as [(String, JSONValue)] {
      #expect(ParameterText.value(of: text) == value, "\(text)")
    }
  }
}
