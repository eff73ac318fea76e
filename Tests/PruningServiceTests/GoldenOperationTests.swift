import Foundation
import JSON
import TensorFormats
import Tensors
import Testing
import TokenPruning

@testable import PruningService

/// Whole operations against answers of the independent float64 reference (Tests/Golden/README.md).
@Suite struct GoldenOperationTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let document: TensorDocument
    let expected: JSONObject
    let flags: JSONObject
    var testDescription: String { name }
  }

  private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  static func cases(_ folder: String) throws -> [Case] {
    let files = try FileManager.default.contentsOfDirectory(
      at: root.appending(path: "Tests/Golden/\(folder)"), includingPropertiesForKeys: nil)
    return try files.filter { $0.pathExtension == "safetensors" }.sorted { $0.path < $1.path }.map { file in
      let body = try [UInt8](Data(contentsOf: file))
      let length = body.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
      let header = try JSONValue.parse(body[8..<(8 + length)]).objectValue
      func member(_ name: String) throws -> JSONObject {
        let text = try #require(header?["__metadata__"]?.objectValue?[name]?.stringValue)
        return try #require(try JSONValue.parse(Array(text.utf8)[...]).objectValue)
      }
      return Case(
        name: file.deletingPathExtension().lastPathComponent,
        document: try SafetensorsFormat.decode(body[...], DecodingHints()), expected: try member("expected"),
        flags: try member("flags"))
    }
  }

  @Test("The committed cases are found")
  func casesExist() throws {
    #expect(try Self.cases("localization").count >= 9 && Self.cases("merge").count >= 5)
  }

  @Test("The map and the region of every objective are the reference's", arguments: try cases("localization"))
  func localization(_ golden: Case) throws {
    for (objective, key) in [
      ("separation", "best_separation"), ("contrast", "best_contrast"), ("coverage", "best_coverage"),
    ] {
      var document = golden.document
      var options = document.parameters["localize"]?.objectValue ?? [:]
      options["objective"] = .string(objective)
      // The reference has no test for flat maps: it names the best rectangle of any map that varies.
      options["minimum_contrast"] = 0
      document.parameters["localize"] = .object(options)
      let answer = try Operation.localize.run(document).json

      let found = numbers(answer["saliency"]?.objectValue?["data"])
      let expected = numbers(golden.expected["saliency"])
      // Of a ratio only the shape is demanded: both are compared at the same mean.
      let isScaled = golden.flags["saliency_up_to_scale"] == true
      let scale = isScaled ? expected.reduce(0, +) / found.reduce(0, +) : 1
      let largest = expected.reduce(0) { max($0, abs($1)) }
      try #require(found.count == 64 && expected.count == 64)
      for (a, b) in zip(found, expected) { #expect(abs(a * scale - b) <= 1e-5 * largest) }

      if golden.flags["flat"] == true {
        #expect(answer["whole_image"] == true)
      } else {
        let blocks = try #require(golden.expected[key]?.objectValue?["blocks"])
        #expect(answer["regions"]?.arrayValue?.first?.objectValue?["blocks"] == blocks, "\(objective)")
      }
    }
  }

  @Test("Given the same anchors, rows, sizes and means are the reference's", arguments: try cases("merge"))
  func merge(_ golden: Case) throws {
    // A request names a strategy, not anchors: an attention that is high at the wanted ones chooses them.
    var document = golden.document
    let anchors = try #require(document.parameters["anchors"]?.arrayValue).compactMap(\.integerValue)
    guard case .one(let features)? = document.tensors["image_features"] else {
      throw TestService.Incomplete()
    }
    let count = features.shape[0]
    let row = (0..<count).map { anchors.contains($0) ? Float(1) : 0 }
    document.tensors["attention"] = .one(try .of(row, count))
    document.parameters["anchors"] = "attention"
    if let region = document.parameters["region"] {
      var probe = TensorDocument(tensors: document.tensors, parameters: ["region": region])
      probe.parameters["layout"] = document.parameters["layout"]
      let inside = try Operation.localize.run(probe).samples[0].indices[0].values
      let share = Double(anchors.filter(inside.contains).count) / Double(anchors.count)
      document.parameters["region_share"] = .number(share)
    }
    let answer = try Operation.compress.run(document)
    for key in ["kept_indices", "assignments", "sizes"] {
      #expect(answer.json[key] == golden.expected[key], "\(key)")
    }
    let rows = try #require(golden.expected["features"]?.arrayValue)
    let found = answer.samples[0].tensors[0].tensor
    #expect(found.shape.dimensions == [rows.count, features.shape[1]])
    for (a, b) in zip(found.doubles(), rows.flatMap { numbers($0) }) {
      #expect(abs(a - b) <= 1e-5 * max(1, abs(b)))
    }
  }

  @Test("The examples' things are found where the documentation says")
  func examples() throws {
    let folder = Self.root.appending(path: "Examples")
    let text = try [UInt8](Data(contentsOf: folder.appending(path: "expected.json")))
    let expected = try #require(try JSONValue.parse(text[...]).objectValue)
    var checked = 0
    for member in expected.members {
      let found = member.value.objectValue?["found"]?.objectValue ?? [:]
      for source in found.members {
        let file = member.name + (source.name == "similarity" ? "" : "_attention") + ".safetensors"
        let body = try [UInt8](Data(contentsOf: folder.appending(path: file)))
        for (objective, key) in [("separation", "blocks"), ("contrast", "blocks_by_contrast")] {
          var document = try SafetensorsFormat.decode(body[...], DecodingHints())
          document.parameters["localize"] = ["source": .string(source.name), "objective": .string(objective)]
          let answer = try Operation.localize.run(document).json
          #expect(
            answer["regions"]?.arrayValue?.first?.objectValue?["blocks"] == source.value.objectValue?[key],
            "\(member.name) by \(source.name), \(objective)")
          checked += 1
        }
      }
    }
    #expect(checked == 48)
  }

  private func numbers(_ value: JSONValue?) -> [Double] {
    (value?.arrayValue ?? []).compactMap(\.doubleValue)
  }
}
