import JSON
import Tensors
import Testing

@testable import TensorFormats

/// A tensor whose elements are 0, 1, 2, ... (BOOL: 0 and 1).
func counting(_ type: ElementType, _ dimensions: [Int]) throws -> Tensor {
  let shape = try Shape(dimensions)
  let values = (0..<shape.elementCount).map { $0 % (type == .bool ? 2 : 100) }
  if type.isFloatingPoint {
    return try .floatingPoint(values.map { Float($0) / 4 }, shape: shape, as: type)
  }
  let bytes = values.flatMap { [UInt8($0)] + [UInt8](repeating: 0, count: type.byteWidth - 1) }
  return try Tensor(elementType: type, shape: shape, bytes: bytes[...])
}

let someShapes = [[], [1], [5], [3, 4], [2, 3, 4], [2, 1, 3, 2], [0], [2, 0], [0, 3], [2, 0, 3]]

@Suite("All formats")
struct TensorFormatsTests {
  @Test("every format carries every element type and shape there and back", arguments: ElementType.allCases)
  func roundTrips(type: ElementType) throws {
    for dimensions in someShapes {
      let tensor = try counting(type, dimensions)
      for format in TensorFormats.answers {
        let body = try format.encode([("t", tensor)], response: ["k": 1])
        #expect(TensorFormats.sniff(body.prefix(16)) == format)
        let document = try format.decode(body[...], DecodingHints(tensorName: "t"))
        // I64 is written to JSON as plain nested arrays, which read back as F32 or, at rank 0, as a number;
        // and nested arrays cannot express extents behind an empty axis.
        if format == JSONTensorFormat.self, type == .int64 {
          guard dimensions != [], !dimensions.contains(0) else { continue }
          #expect(document.tensors["t"] == .one(try .float32(tensor.floats(), shape: tensor.shape)))
        } else if format == NPYFormat.self, type == .bfloat16 {
          #expect(document.tensors["t"] == .one(try .float32(tensor.floats(), shape: tensor.shape)))
        } else {
          #expect(document.tensors["t"] == .one(tensor), "\(format.name) \(dimensions)")
        }
      }
    }
  }

  @Test("media types and first bytes name the format")
  func naming() {
    #expect(TensorFormats.named(mediaType: "Application/JSON; charset=utf-8") == JSONTensorFormat.self)
    #expect(TensorFormats.named(mediaType: "application/vnd.safetensors") == SafetensorsFormat.self)
    #expect(TensorFormats.named(mediaType: "application/x-npy") == NPYFormat.self)
    #expect(TensorFormats.named(mediaType: "text/plain") == nil)
    #expect(TensorFormats.sniff(Array(" \n{\"a\":1}".utf8)[...]) == JSONTensorFormat.self)
    // A header length of 0x7b20 begins like white space and a brace.
    #expect(
      TensorFormats.sniff([0x20, 0x7b, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d]) == SafetensorsFormat.self)
    #expect(TensorFormats.sniff(Array("hello".utf8)[...]) == nil)
    #expect(TensorFormats.sniff([]) == nil)
  }

  @Test(
    "pickle, archives and pictures are refused by name",
    arguments: [
      ([0x80, 0x02, 0x7d], "pickle"), ([0x80, 0x05], "pickle"),
      (Array("BM\u{36}\u{1}\0\0\0\0\0\0".utf8), "picture"),
      (Array("\0\0\0\u{20}ftypavif".utf8), "picture"), (Array("II*\0".utf8), "picture"),
      (Array("GIF89a".utf8), "picture"), ([0x89, 0x50, 0x4e, 0x47], "picture"),
      ([0x1f, 0x8b, 8], "compressed"),
    ] as [([UInt8], String)])
  func refused(prefix: [UInt8], word: String) throws {
    let message = try #require(TensorFormats.refusedByName(prefix: prefix[...]))
    #expect(message.contains(word) && message.contains("application/x-safetensors"))
    #expect(TensorFormats.sniff(prefix[...]) == nil)
  }

  @Test("refused media types are refused by name, accepted ones are not")
  func refusedMediaTypes() {
    for type in ["application/x-pickle", "image/png; q=1", "video/mp4"] {
      #expect(TensorFormats.refusedByName(mediaType: type) != nil)
    }
    #expect(TensorFormats.refusedByName(mediaType: "application/json") == nil)
    #expect(TensorFormats.refusedByName(prefix: Array("{}".utf8)[...]) == nil)
  }

  static let bodies: [(format: any TensorFormat.Type, body: [UInt8])] = {
    guard let tensor = try? counting(.float16, [3, 2]), let other = try? counting(.float32, [2]) else {
      return []
    }
    let pair = [("a", tensor), ("b.0", other)]
    var bodies: [(format: any TensorFormat.Type, body: [UInt8])] = TensorFormats.answers.compactMap {
      format in
      (try? format.encode(pair, response: ["x": "é"])).map { (format, $0) }
    }
    let texts = [
      #"{"a":[[1,2.5e-1],[3,-4]],"b":[[1],[2,3]],"keep_tokens":7,"layout":{"type":"grid"}}"#,
      #"{"a":{"dtype":"F16","shape":[2],"base64":"AAABAA=="},"b":[{"data":[1]},{"data":[2,3],"dtype":"I8"}]}"#,
    ]
    for text in texts { bodies.append((JSONTensorFormat.self, Array(text.utf8))) }
    return bodies
  }()

  @Test("every body cut short is an error", arguments: 0..<5)
  func truncation(which: Int) throws {
    let (format, body) = Self.bodies[which]
    #expect(throws: Never.self) { try format.decode(body[...], DecodingHints()) }
    for length in body.indices {
      #expect(throws: TensorFormatError.self) { try format.decode(body[..<length], DecodingHints()) }
    }
  }

  @Test("twenty thousand mutations of each body return or throw", arguments: 0..<5)
  func mutations(which: Int) {
    let (format, seed) = Self.bodies[which]
    var generator = SplitMix(state: UInt64(which))
    let alphabet = Array("[]{}\",:\\'()=0189.-+eTF \n<>|".utf8)
    var readCount = 0
    for _ in 0..<20_000 {
      let body = generator.mutate(seed, with: alphabet)
      guard let document = try? format.decode(body[...], DecodingHints(parameterNames: ["layout"])) else {
        continue
      }
      readCount += 1
      for name in document.tensors.names {
        if case .one(let tensor) = document.tensors[name] {
          #expect(tensor.floats().count == tensor.elementCount)
        }
      }
    }
    #expect(readCount > 0)
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
