import Foundation
import JSON
import TensorFormats
import Tensors
import Testing

@testable import LearnedNetworks
@testable import Localization
@testable import PruningNumerics
@testable import PruningService
@testable import TokenPruning
@testable import VisionLayouts

/// Files of Tests/Golden/models: small random weights, and what the float64 reference makes of them.
enum ModelFiles {
  private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Golden/models")

  static func bytes(_ name: String) throws -> [UInt8] {
    try [UInt8](Data(contentsOf: folder.appending(path: "weights/\(name).safetensors")))
  }

  static func set() throws -> ModelSet {
    var models: [String: LearnedModel] = [:]
    for name in ["question", "wide", "queries", "few"] {
      models[name] = try ModelFile.model(in: bytes(name))
    }
    return ModelSet(models)
  }

  static func caseNames(_ prefix: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.appending(path: "cases").path)
      .filter { $0.hasPrefix(prefix) }.sorted()
  }

  struct Case {
    let model: String
    let document: TensorDocument
    let expected: JSONObject

    init(_ name: String) throws {
      let bytes = try [UInt8](Data(contentsOf: folder.appending(path: "cases/\(name)")))
      let metadata = try SafetensorsFile(bytes[...]).metadata
      model = try #require(metadata["network"])
      document = try SafetensorsFormat.decode(bytes[...], DecodingHints())
      let text = try #require(metadata["expected"])
      expected = try #require(try JSONValue.parse(Array(text.utf8)[...]).objectValue)
    }

    func tensor(_ name: String) throws -> Tensor {
      guard case .one(let tensor)? = document.tensors[name] else { throw TestError() }
      return tensor
    }
  }

  struct TestError: Error {}
}

extension JSONValue {
  fileprivate var doubles: [Double] { (arrayValue ?? []).compactMap(\.doubleValue) }
}

@Suite("Learned models against the independent float64 reference")
struct ModelGoldenTests {
  @Test(
    "a localizer's scores agree within 1e-5",
    arguments: try ModelFiles.caseNames("localize"))
  func scores(_ name: String) throws {
    let golden = try ModelFiles.Case(name)
    let features = try golden.tensor("image_features")
    let layout = try TokenLayout(
      try #require(golden.document.parameters["layout"]), tokenCount: features.shape[0])
    let models = try ModelFiles.set()
    let input = PruningInput(
      tokenCount: features.shape[0],
      tensors: ["image_features": features, "text_features": try golden.tensor("text_features")],
      layout: layout)
    let (rows, question) = (try input.features(), try input.textFeatures())
    let model = try models.localizer(named: golden.model, at: "").model
    let expected = try #require(golden.expected["scores"]).doubles
    #expect(Set(expected).count > 2)
    let found = try model.scores(of: rows, askedBy: question, in: layout, .unlimited)
    #expect(found.count == expected.count)
    for (a, b) in zip(found, expected) { #expect(abs(a - b) <= 1e-5) }

    var document = golden.document
    document.parameters["localize"] = ["model": .string(golden.model), "minimum_contrast": 0]
    let answer = try Operation.localize.run(document, models: models).json
    #expect(answer["source"] == "model" && answer["model"] == .string(golden.model))
    let map = BlockResampler(layout).blocks(of: expected)
    for (a, b) in zip(try #require(answer["saliency"]?.objectValue?["data"]).doubles, map) {
      #expect(abs(a - b) <= 1e-5)
    }
  }

  @Test("a resampler's rows agree within 1e-5 relative", arguments: try ModelFiles.caseNames("resample"))
  func rows(_ name: String) throws {
    let golden = try ModelFiles.Case(name)
    let answer = try Operation.compress.run(golden.document, models: ModelFiles.set())
    let members = answer.json
    for key in ["kept_indices", "assignments", "sizes", "learned_rows"] {
      #expect(members[key] == golden.expected[key], "\(key)")
    }
    #expect(members["model"] == .string(golden.model) && members["mode"] == "resampler")
    #expect(members["keep_tokens"] == golden.document.parameters["keep_tokens"])
    let found = try #require(answer.samples[0].tensors.first { $0.name == "features" }).tensor
    let expected = try #require(golden.expected["features"]?.arrayValue).flatMap(\.doubles)
    #expect(found.elementCount == expected.count)
    for (a, b) in zip(found.doubles(), expected) { #expect(abs(a - b) <= 1e-5 * max(abs(b), 0.1)) }
    let again = try Operation.compress.run(golden.document, models: ModelFiles.set())
    #expect(again.samples[0].tensors[0].tensor == found)
  }

  @Test("the cases are found")
  func casesExist() throws {
    #expect(try ModelFiles.caseNames("localize").count == 3)
    #expect(try ModelFiles.caseNames("resample").count == 3)
  }
}

@Suite("Files of weights")
struct ModelFileTests {
  private func error(_ bytes: [UInt8]) -> String? {
    do throws(ModelError) {
      _ = try ModelFile.model(in: bytes)
      return nil
    } catch {
      return error.description
    }
  }

  /// The file of `few` with its header changed.
  private func changed(_ name: String = "few", _ change: (inout JSONObject) throws -> Void) throws -> [UInt8]
  {
    let bytes = try ModelFiles.bytes(name)
    let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    var header = try #require(try JSONValue.parse(bytes[8..<(8 + length)]).objectValue)
    try change(&header)
    let text = JSONValue.object(header).serialized()
    return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text + bytes[(8 + length)...]
  }

  private func configured(
    _ name: String = "few", _ change: (inout JSONObject) -> Void
  ) throws -> [UInt8] {
    try changed(name) { header in
      var metadata = try #require(header["__metadata__"]?.objectValue)
      let text = try #require(metadata["crop.config"]?.stringValue)
      var configuration = try #require(try JSONValue.parse(Array(text.utf8)[...]).objectValue)
      change(&configuration)
      metadata["crop.config"] = .string(JSONValue.object(configuration).description)
      header["__metadata__"] = .object(metadata)
    }
  }

  @Test("all three element types load, and a listing says what they are")
  func listing() throws {
    let set = try ModelFiles.set()
    let list = try #require(set.json.arrayValue)
    #expect(list.map { $0.objectValue?["name"] } == ["few", "queries", "question", "wide"])
    #expect(list.map { $0.objectValue?["kind"] } == ["resampler", "resampler", "localizer", "localizer"])
    let config = try #require(list[0].objectValue?["config"]?.objectValue)
    #expect(config["queries"] == 3 && config["training"] == ["seed": 14, "steps": 0])
    let reply = try TestService(
      Service.Configuration(models: ModelStore(set))
    ).send("GET /models")
    #expect(reply.status == 200 && reply.json["models"] == set.json)
  }

  @Test(
    "a wrong configuration is refused by its member",
    arguments: [
      ("kind", "oracle", "crop.config/kind: must be one of localizer, resampler"),
      ("kind", nil, "crop.config/kind: is missing"),
      ("version", 2, "crop.config/version: is 2; this program reads version 1"),
      ("width", 6, "crop.config/width: must be a multiple of 4"),
      ("width", 1_000_000, "crop.config/width: must lie in 4...8192"),
      ("heads", 3, "crop.config/width: must be a multiple of 4 (position encoding) and of heads (3)"),
      ("heads", 0, "crop.config/heads: must lie in 1...64"),
      ("queries", -1, "crop.config/queries: must lie in"),
      ("queries", 4, "region.queries: has shape [3,8]; [4,8] is expected"),
      ("image_width", 10, "image.norm.weight: has shape [9]; [10] is expected"),
      ("position", "learned", "crop.config/position: must be one of sine"),
      ("layers", 1, "crop.config/layers: a resampler has no member 'layers'"),
      ("training", 3, "crop.config/training: must be an object"),
    ] as [(String, JSONValue?, String)])
  func configuration(member: String, value: JSONValue?, message: String) throws {
    let found = try #require(error(try configured { $0[member] = value }))
    #expect(found.contains(message), "\(found)")
  }

  @Test("a localizer's grid is that of regions")
  func grid() throws {
    let found = error(try configured("question") { $0["grid"] = [16, 16] })
    #expect(found == "crop.config/grid: must be [8, 8], the grid of regions")
  }

  @Test("a tensor that is missing, unknown or of another type is refused by name")
  func tensors() throws {
    func renamed(_ old: String, _ new: String) throws -> String? {
      error(
        try changed { header in
          header = JSONObject(
            distinctMembers: header.members.map {
              .init(name: $0.name == old ? new : $0.name, value: $0.value)
            })
        })
    }
    #expect(
      try renamed("attention.key.bias", "attention.key.bass")?
        .hasPrefix("attention.key.bias: is missing; a tensor [8] is expected") == true)
    let integers = error(
      try changed { header in
        var entry = try #require(header["image.norm.bias"]?.objectValue)
        entry["dtype"] = "I16"
        header["image.norm.bias"] = .object(entry)
      })
    #expect(integers == "image.norm.bias: is I16; weights are F32, F16 or BF16")
    let extra = error(
      try changed { header in
        header["extra.weight"] = ["dtype": "F32", "shape": [0], "data_offsets": [0, 0]]
      })
    #expect(extra == "extra.weight: does not belong to such a model")
    #expect(error(try changed { $0["__metadata__"] = nil })?.contains("no 'crop.config'") == true)
    #expect(error([1, 2, 3])?.hasPrefix("is not safetensors") == true)
  }

  @Test("NaN and infinity are rejected by tensor and element")
  func finite() throws {
    var bytes = try ModelFiles.bytes("few")
    bytes[bytes.count - 1] = 0x7f
    bytes[bytes.count - 2] = 0xc0
    let found = try #require(error(bytes))
    #expect(found.contains("(row-major) is NaN or infinite"), "\(found)")
  }

  @Test("damaged files are refused or run, and never trap", arguments: ["few", "wide"])
  func mutated(_ name: String) throws {
    let original = try ModelFiles.bytes(name)
    let header = 8 + original.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    var numbers = SeededNumbers(seed: 77)
    let tensors: [String: Tensor] = [
      "image_features": try .random([16, name == "few" ? 9 : 12], seed: 1),
      "text_features": try .random([2, 12], seed: 2),
    ]
    var loaded = 0
    for round in 0..<1500 {
      var bytes = original
      for _ in 0..<(1 + numbers.below(4)) {
        // Every other file is damaged in the weights only, so that many load with absurd numbers.
        let place =
          round % 2 == 0 ? numbers.below(header) : header + numbers.below(original.count - header)
        switch numbers.below(6) {
        case 0: bytes[place] = UInt8(numbers.below(256))
        case 1: bytes[place] = numbers.pick(Array("0123456789{}[]\",:-.eE".utf8))
        case 2: bytes[place] = 0x7b
        case 3: bytes[place] ^= UInt8(1 << numbers.below(8))
        case 4 where place < bytes.count: bytes.remove(at: place)
        default: bytes.insert(UInt8(numbers.below(256)), at: min(place, bytes.count))
        }
        while bytes.count < original.count { bytes.append(0) }
        bytes.removeLast(bytes.count - original.count)
      }
      guard let model = try? ModelFile.model(in: bytes) else { continue }
      loaded += 1
      let document = TensorDocument(
        tensors: TensorBundle(tensors.mapValues { .one($0) }),
        parameters: name == "few"
          ? ["mode": "resampler", "keep_tokens": 4] : ["localize": ["source": "model"]])
      let operation = name == "few" ? Operation.compress : .localize
      _ = try? operation.run(document, models: ModelSet(["m": model]))
    }
    #expect(loaded > 100)
  }

  @Test("names of files are names of models only when they are plain")
  func names() {
    #expect(ModelFile.modelName(ofFile: "a-1_b.c.safetensors") == "a-1_b.c")
    for name in ["a.npy", ".safetensors", "a b.safetensors", "ä.safetensors"] {
      #expect(ModelFile.modelName(ofFile: name) == nil)
    }
    #expect(ModelFile.modelName(ofFile: String(repeating: "a", count: 65) + ".safetensors") == nil)
  }
}
