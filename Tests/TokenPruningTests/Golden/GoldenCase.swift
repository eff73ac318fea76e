import Foundation
import JSON
import TensorFormats
import Tensors
import TokenPruning

/// One committed case: tensors, request parameters and the expected answer (layout: Tests/Golden/README.md).
struct GoldenCase: Sendable, CustomStringConvertible {
  let name: String
  let method: String
  let parameters: JSONObject
  let expected: JSONObject
  let flags: JSONObject
  let tensors: [String: Tensor]
  /// Tensors of the answer: `expected.features` under `features`.
  let expectedTensors: [String: Tensor]
  /// Whether the authors' code made it, not this repository's reference.
  let isFromAuthors: Bool

  var description: String { "\(method)/\(name)" }

  init(_ file: URL) throws {
    let body = try [UInt8](Data(contentsOf: file))
    let document = try SafetensorsFormat.decode(body[...], DecodingHints())
    let metadata = try Self.metadata(of: body)
    func member(_ key: String) throws -> JSONObject {
      guard let text = metadata[key]?.stringValue,
        let object = try JSONValue.parse(Array(text.utf8)[...]).objectValue
      else { throw GoldenError(message: "\(file.lastPathComponent): no \(key) in __metadata__") }
      return object
    }
    guard let method = metadata["method"]?.stringValue else {
      throw GoldenError(message: "\(file.lastPathComponent): no method in __metadata__")
    }
    name = file.deletingPathExtension().lastPathComponent
    self.method = method
    parameters = try member("parameters")
    expected = try member("expected")
    flags = try member("flags")
    let all = document.tensors.entries.compactMapValues { entry in
      if case .one(let tensor) = entry { tensor } else { nil }
    }
    let prefix = "expected."
    tensors = all.filter { !$0.key.hasPrefix(prefix) }
    expectedTensors = Dictionary(
      uniqueKeysWithValues: all.filter { $0.key.hasPrefix(prefix) }
        .map { (String($0.key.dropFirst(prefix.count)), $0.value) })
    isFromAuthors = try member("source")["commit"] != nil
  }

  /// The number of visual tokens, by the tensor that has one row or column per token.
  var tokenCount: Int {
    expected["token_count"]?.integerValue ?? tensors["image_features"]?.shape.dimensions.first ?? tensors[
      "attention"]?.shape.dimensions.last ?? 0
  }

  func expectedIndices(_ key: String) -> [Int]? {
    expected[key]?.arrayValue?.compactMap(\.integerValue)
  }

  func expectedRows(_ key: String) -> [[Int]]? {
    expected[key]?.arrayValue?.map { $0.arrayValue?.compactMap(\.integerValue) ?? [] }
  }

  func isFlagged(_ flag: String) -> Bool { flags[flag]?.boolValue ?? false }

  static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  /// The committed cases, and those in the folder CROP_GOLDEN_DIR names, of the given methods.
  static func all(of methods: Set<String>) throws -> [GoldenCase] {
    var folders = [repository.appending(path: "Tests/Golden")]
    if let extra = ProcessInfo.processInfo.environment["CROP_GOLDEN_DIR"] {
      folders.append(URL(filePath: extra))
    }
    return try folders.flatMap { folder in
      let files =
        FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)?.allObjects ?? []
      return try files.compactMap { $0 as? URL }
        .filter {
          $0.pathExtension == "safetensors"
            && methods.contains($0.deletingLastPathComponent().lastPathComponent)
        }
        .sorted { $0.path < $1.path }
        .map { try GoldenCase($0) }
    }
  }

  private static func metadata(of body: [UInt8]) throws -> JSONObject {
    let length = body.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = try JSONValue.parse(body[8..<(8 + length)])
    return header.objectValue?["__metadata__"]?.objectValue ?? JSONObject()
  }
}

struct GoldenError: Error, CustomStringConvertible {
  let message: String
  var description: String { message }
}
