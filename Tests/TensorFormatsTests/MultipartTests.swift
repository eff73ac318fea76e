import JSON
import Tensors
import Testing

@testable import TensorFormats

@Suite("multipart/form-data")
struct MultipartTests {
  private static let hints = DecodingHints(
    parameterNames: ["keep_tokens", "method", "layout", "region"], boundary: "b")

  private static func decode(
    _ body: [UInt8], _ hints: DecodingHints = hints
  ) throws(TensorFormatError) -> TensorDocument {
    // Not at the start of its array, so that no index is an offset by chance.
    let array = Array("behind".utf8) + body
    return try MultipartFormat.decode(array[6...], hints)
  }

  private static func part(_ disposition: String, _ content: [UInt8], _ fields: String = "") -> [UInt8] {
    Array("--b\r\nContent-Disposition: form-data; \(disposition)\r\n\(fields)\r\n".utf8) + content
      + Array("\r\n".utf8)
  }

  private static func part(_ disposition: String, _ content: String, _ fields: String = "") -> [UInt8] {
    part(disposition, Array(content.utf8), fields)
  }

  private static let end = Array("--b--\r\n".utf8)

  private static func error(_ body: [UInt8], _ hints: DecodingHints = hints) -> TensorFormatError? {
    do throws(TensorFormatError) {
      _ = try decode(body, hints)
      return nil
    } catch {
      return error
    }
  }

  private static func npy(_ tensor: Tensor) throws -> [UInt8] {
    try NPYFormat.encode([("t", tensor)], response: [:])
  }

  @Test(
    "a file is a tensor of the part's name, whatever type the client guessed; parameters stand in any order")
  func curl() throws {
    let tensor = try counting(.float32, [3, 4])
    let file = try Self.npy(tensor)
    for fields in [
      "", "Content-Type: application/octet-stream\r\n", "content-type:application/x-npy\r\n",
      "Content-Type: image/jpeg\r\nContent-Length: 7\r\n", "Content-Transfer-Encoding: binary\r\n",
    ] {
      let tensorPart = Self.part("name=\"image_features\"; filename=\"x.npy\"", file, fields)
      let parameters = Self.part("name=\"parameters\"", #"{"keep_tokens": 64, "layout": {"type": "grid"}}"#)
      let document = try Self.decode(tensorPart + parameters + Self.end)
      #expect(document.tensors["image_features"] == .one(tensor))
      #expect(document.parameters == ["keep_tokens": 64, "layout": ["type": "grid"]])
      #expect(try Self.decode(parameters + tensorPart + Self.end) == document)
    }
  }

  @Test("tensors are slices of the body")
  func noCopies() throws {
    let body = Self.part("name=x", try Self.npy(counting(.float32, [64]))) + Self.end
    let document = try MultipartFormat.decode(body[...], Self.hints)
    guard case .one(let tensor) = document.tensors["x"] else { throw Missing() }
    let isWithin = body.withUnsafeBytes { body in
      tensor.bytes.withUnsafeBytes { bytes in
        bytes.baseAddress.map { (body.baseAddress ?? $0) <= $0 && $0 < (body.baseAddress ?? $0) + body.count }
      }
    }
    #expect(isWithin == true)
  }

  private struct Missing: Error {}

  @Test("parts without a file are parameters as in a query string, or tensors in JSON")
  func values() throws {
    let body =
      Self.part("name=\"keep_tokens\"", "64") + Self.part("name=method", "topk")
      + Self.part("name=\"layout\"", #" {"type": "grid"}"#, "Content-Type: application/json\r\n")
      + Self.part("name=\"region\"; filename=\"r.json\"", #"{"text": "[1,2,3,4]"}"#)
      + Self.part("name=\"seed\"", "", "Content-Type: text/plain; charset=utf-8\r\n")
      + Self.part("name=\"attention\"", "[[1, 2], [3, 4]]") + Self.part("name=\"_charset_\"", "utf-8")
      + Self.part("name=\"query.0\"", #"{"dtype": "F16", "shape": [1], "data": [1.5]}"#)
    let document = try Self.decode(body + Self.end)
    #expect(
      document.parameters == [
        "keep_tokens": 64, "method": "topk", "layout": ["type": "grid"], "region": ["text": "[1,2,3,4]"],
        "seed": "",
      ])
    #expect(document.tensors["attention"] == .one(try .float32([1, 2, 3, 4], shape: Shape([2, 2]))))
    #expect(
      document.tensors["query"]
        == .many([try .floatingPoint([1.5], shape: Shape([1]), as: .float16)]))
  }

  @Test("one tensor of safetensors takes the part's name, several keep theirs; lists are numbered")
  func safetensors() throws {
    let (x, y) = (try counting(.bfloat16, [2]), try counting(.float16, [3]))
    let one = try SafetensorsFormat.encode([("x", x)], response: [:])
    let two = try SafetensorsFormat.encode([("x", x), ("y", y)], response: [:])
    func names(_ name: String, _ file: [UInt8]) throws -> [String] {
      try Self.decode(Self.part("name=\(name); filename=f", file) + Self.end).tensors.names
    }
    #expect(try names("attention", one) == ["attention"])
    #expect(try names("tensors", one) == ["x"])
    #expect(try names("attention", two) == ["x", "y"])
    let list = Self.part("name=a.0", try Self.npy(y)) + Self.part("name=a.1", one) + Self.end
    #expect(try Self.decode(list).tensors["a"] == .many([y, x]))
  }

  @Test("tensor_dtype explains opaque elements, and contradicts no other part")
  func opaque() throws {
    var opaque = try Self.npy(try counting(.float16, [2]))
    let place = try #require((0..<100).first { opaque[$0...].starts(with: "<f2".utf8) })
    opaque.replaceSubrange(place..<(place + 3), with: "|V2".utf8)
    let parts = Self.part("name=a", opaque) + Self.part("name=b", try Self.npy(counting(.float32, [2])))
    #expect(Self.error(parts + Self.end)?.kind == .unsupported)
    let said = try Self.decode(parts + Self.part("name=tensor_dtype", "BF16") + Self.end)
    guard case .one(let tensor) = said.tensors["a"] else { throw Missing() }
    #expect(tensor.elementType == .bfloat16)
    var hints = Self.hints
    hints.elementType = .bfloat16
    #expect(try Self.decode(parts + Self.end, hints).tensors == said.tensors)
  }

  @Test("what frames the parts is read as RFC 2046 writes it")
  func framing() throws {
    let value = Self.part("name=keep_tokens", "1")
    let plain = try Self.decode(value + Self.end)
    for body in [
      Array("preamble\r\n".utf8) + value + Self.end, Array("\r\n".utf8) + value + Self.end,
      value + Array("--b-- \r\nepilogue --b".utf8), value + Array("--b--".utf8),
      Array("--b \t".utf8) + value.dropFirst(3) + Self.end,
    ] {
      #expect(try Self.decode(body) == plain)
    }
    // Line ends, hyphens and the start of the boundary are content.
    for text in ["\r\n", " --b", "\r\n--", "a\r\n\r\n--c\r\n", "\r\n\r\n"] {
      #expect(try Self.decode(Self.part("name=x", text) + Self.end).parameters["x"] == .string(text))
    }
    var hints = Self.hints
    hints.boundary = "----WebKit Form/Boundary'7"
    let text = "--\(hints.boundary ?? "")\r\nContent-Disposition: form-data; name=x\r\n\r\n7"
    #expect(
      try Self.decode(Array("\(text)\r\n--\(hints.boundary ?? "")--".utf8), hints).parameters == ["x": 7])
  }

  @Test("names may be quoted, bare or escaped; paths of Windows are not escapes")
  func dispositions() {
    for (text, name) in [
      ("form-data; name=\"a\"", "a"), ("FORM-DATA;NAME=a", "a"), (" form-data ; name=\"a;b\" ; x=y", "a;b"),
      (#"form-data; filename="C:\d\e.npy"; name="a\"b\\""#, #"a"b\"#), ("form-data; name=\"a\";", "a"),
      ("form-data; name=\"é\"; filename*=UTF-8''x", "é"),
    ] {
      let disposition = ContentDisposition(text)
      #expect(disposition?.type == "form-data" && disposition?.parameters["name"] == name, "\(text)")
    }
    for text in [
      "form-data; name=\"a", "form-data; name", "form-data; name=\"a\"b", "form-data; name=a; name=b",
      "form-data name=a", "form-data; =a", "form-data; name =a",
    ] {
      #expect(ContentDisposition(text)?.parameters["name"] == nil, "\(text)")
    }
  }

  @Test("faults are named and placed in the body")
  func faults() throws {
    let value = Self.part("name=keep_tokens", "1")
    let file = try Self.npy(counting(.float32, [4]))
    let cases: [([UInt8], TensorFormatError.Kind, String)] = [
      ([], .malformed, "no line of the body is the boundary"),
      (Array("--c\r\n".utf8), .malformed, "no line of the body"),
      (Array("--b".utf8), .malformed, "before the closing one"),
      (Array("--b\r\n".utf8), .malformed, "an empty line"), (value, .malformed, "ends within a part"),
      (value + Array("--b".utf8), .malformed, "before the closing one"),
      (value + Array("--bc\r\n".utf8) + Self.end, .malformed, "line of its own"),
      (value.filter { $0 != 0x0d } + Self.end, .malformed, "CR LF"),
      (
        Array("--b\r\nContent-Disposition: form-data; name=x\n\r\n\r\n1\r\n".utf8) + Self.end, .malformed,
        "CR LF"
      ),
      (Array("--b\r\n\r\n1\r\n".utf8) + Self.end, .malformed, "Content-Disposition"),
      (Array("--b\r\nno colon\r\n\r\n1\r\n".utf8) + Self.end, .malformed, "Name: value"),
      (
        Array("--b\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n".utf8) + Self.end, .malformed,
        "form-data"
      ),
      (Self.part("filename=a", "1") + Self.end, .malformed, "name=\"NAME\""),
      (Self.part("name=\"\"", "1") + Self.end, .malformed, "1 to 256"),
      (
        Self.part("name=a", "1", "content-disposition: form-data; name=b\r\n") + Self.end, .malformed,
        "two fields"
      ),
      (
        Self.part("name=a", "1", "X: \(String(repeating: "y", count: 9000))\r\n") + Self.end, .malformed,
        "8192"
      ),
      (
        Self.part("name=a", "QQ==", "Content-Transfer-Encoding: base64\r\n") + Self.end, .unsupported,
        "encoded"
      ),
      (value + value + Self.end, .invalidContent, "given twice"),
      (
        value + Self.part("name=parameters", #"{"keep_tokens": 2}"#) + Self.end, .invalidContent,
        "given twice"
      ),
      (Self.part("name=a", file) + Self.part("name=a", file) + Self.end, .invalidContent, "NAME.0"),
      (Self.part("name=a.1", file) + Self.end, .invalidContent, "'a.0' is missing"),
      (Self.part("name=parameters", "7") + Self.end, .invalidContent, "object"),
      (Self.part("name=parameters", "{") + Self.end, .malformed, "byte"),
      (Self.part("name=a", #"[1],"keep_tokens":[2]"#) + Self.end, .malformed, "not one JSON value"),
      (
        Self.part("name=a; filename=f", [0x89] + Array("PNG".utf8)) + Self.end, .unsupported,
        "docs/tensors.md"
      ),
      (
        Self.part("name=a; filename=f", "x", "Content-Type: image/jpeg\r\n") + Self.end, .unsupported,
        "pixels"
      ),
      (Self.part("name=a; filename=f", [0x80, 4, 0x95]) + Self.end, .unsupported, "pickle"),
      (Self.part("name=a; filename=f", "PK\u{3}\u{4}") + Self.end, .unsupported, "zip"),
      (Self.part("name=a; filename=f", "plain text") + Self.end, .unsupported, "none of npy"),
      (Self.part("name=a; filename=f", "") + Self.end, .unsupported, "empty"),
      (Self.part("name=a", [0xff, 0xfe, 0x31]) + Self.end, .unsupported, "none of npy"),
      (Self.part("name=a", file.dropLast() + []) + Self.end, .malformed, "/a: "),
    ]
    for (body, kind, word) in cases {
      let error = try #require(Self.error(body), "\(word): \(String(decoding: body, as: UTF8.self))")
      #expect(error.kind == kind && error.description.contains(word), "\(error)")
      #expect(error.byteOffset.map { (0...body.count).contains($0) } ?? true)
    }
    // The position of a fault within a part counts from the start of the body.
    let body = value + Self.part("name=parameters", #"{"a": tru}"#) + Self.end
    let offset = try #require(Self.error(body)?.byteOffset)
    #expect(body[offset...].starts(with: "tru".utf8) || body[offset...].starts(with: "}".utf8))
  }

  @Test("a boundary that Content-Type lacks or that is none is named")
  func boundaries() {
    var hints = Self.hints
    for (boundary, word) in [
      (nil, "names no boundary"), ("", "1 to 70"), ("b ", "1 to 70"), ("é", "1 to 70"),
      (String(repeating: "b", count: 71), "1 to 70"),
    ] as [(String?, String)] {
      hints.boundary = boundary
      #expect(Self.error(Self.end, hints)?.message.contains(word) == true)
    }
  }

  @Test("a form has no more parts than a list has tensors, and parameters beside them")
  func partLimit() {
    let parts = (0..<4353).flatMap { Self.part("name=x\($0)", "1") }
    #expect(Self.error(parts + Self.end)?.message.contains("4352 parts") == true)
  }

  @Test("the memory that decoding takes is counted part by part")
  func memory() throws {
    let plain = Self.part("name=a", try Self.npy(counting(.float32, [1000]))) + Self.end
    #expect(MultipartFormat.decodingBytes(of: plain[...], Self.hints) <= 1024)
    // A transposed array is copied.
    var file = try Self.npy(counting(.float32, [50, 20]))
    let place = try #require((0..<100).first { file[$0...].starts(with: "False".utf8) })
    file.replaceSubrange(place..<(place + 5), with: "True ".utf8)
    let turned = Self.part("name=a", file) + Self.part("name=b", file) + Self.end
    #expect(MultipartFormat.decodingBytes(of: turned[...], Self.hints) >= 2 * 4000)
    let numbers = "[" + Array(repeating: "1", count: 5000).joined(separator: ",") + "]"
    let text = Self.part("name=a", numbers) + Self.end
    #expect(MultipartFormat.decodingBytes(of: text[...], Self.hints) >= 5000 * 16)
  }

  @Test("every form cut short is an error, but for what follows the last boundary")
  func truncation() throws {
    let body =
      Self.part("name=a; filename=a.npy", try Self.npy(counting(.float32, [4])))
      + Self.part("name=keep_tokens", "1") + Self.end
    for length in 0..<(body.count - 2) { #expect(Self.error(Array(body[..<length])) != nil, "\(length)") }
    #expect(Self.error(Array(body.dropLast(2))) == nil)
  }

  @Test("the search finds what a plain one finds")
  func search() {
    var generator = SplitMix(state: 5)
    for length in 1...9 {
      for _ in 0..<300 {
        let text = (0..<64).map { _ in UInt8.random(in: 0...1, using: &generator) }
        let pattern = (0..<length).map { _ in UInt8.random(in: 0...1, using: &generator) }
        let start = Int.random(in: 3...64, using: &generator)
        let expected = (start..<64).first { text[$0...].starts(with: pattern) }
        #expect(DelimiterSearch(pattern).first(in: text[3...], from: start) == expected)
      }
    }
  }
}
