import Foundation
import JSON
import Locking

/// A table of how each stored case of the authors' own code was met: `.build-reports/golden.md`, rewritten as results
/// come.
enum GoldenReport {
  /// Folders of cases that are not methods.
  static let pieces: Set = ["fastdpp_openvino", "vicrop", "evs_positions"]

  private static let outcomes = Locked<[String: [(part: String, outcome: String)]]>([:])

  /// Only of vectors in the folder that CROP_GOLDEN_DIR names; the committed cases have no exceptions to tell.
  static func record(_ golden: GoldenCase, _ part: String, _ outcome: String) {
    guard golden.isFromAuthors else { return }
    outcomes.withLock { outcomes in
      outcomes[golden.description, default: []].append((part, outcome))
      let folder = GoldenCase.repository.appending(path: ".build-reports")
      try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try? text(of: outcomes).write(
        to: folder.appending(path: "golden.md"), atomically: true, encoding: .utf8)
    }
  }

  /// The stored cases in order, each with the files it was exported to; none without CROP_GOLDEN_DIR.
  static func stored() throws -> [(name: String, files: [String])] {
    guard let folder = ProcessInfo.processInfo.environment["CROP_GOLDEN_DIR"] else { return [] }
    let data = try Data(contentsOf: URL(filePath: folder).appending(path: "stored.json"))
    let object = try JSONValue.parse([UInt8](data)[...]).objectValue ?? [:]
    return object.members.map { ($0.name, $0.value.arrayValue?.compactMap(\.stringValue) ?? []) }
  }

  private static func text(of outcomes: [String: [(part: String, outcome: String)]]) -> String {
    let cases = (try? stored()) ?? []
    var rows: [String] = []
    for (name, files) in cases {
      for file in files {
        for (part, outcome) in outcomes[file] ?? [("", "not run")] {
          rows.append("| \(name) | \(file) | \(part) | \(outcome) |")
        }
      }
    }
    let differing = rows.count { $0.contains("DIFFERENT") || $0.contains("not run") }
    return """
      # Authors' vectors

      \(cases.count) stored cases, \(rows.count) comparisons, \(differing) different or not run.

      | stored case | compared as | part | outcome |
      |---|---|---|---|
      \(rows.joined(separator: "\n"))

      """
  }
}
