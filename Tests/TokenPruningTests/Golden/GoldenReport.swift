import Foundation
import Synchronization

/// A table of how each case of the authors' own code was met: `.build-reports/golden.md`, rewritten as results come.
enum GoldenReport {
  private static let lines = Mutex<[String: String]>([:])

  /// Only of vectors in the folder that CROP_GOLDEN_DIR names; the committed cases have no exceptions to tell.
  static func record(_ golden: GoldenCase, _ part: String, _ outcome: String) {
    guard golden.isFromAuthors else { return }
    lines.withLock { lines in
      lines["\(golden.method) | \(golden.name) | \(part)"] = outcome
      let rows = lines.sorted { $0.key < $1.key }.map { "| \($0.key) | \($0.value) |" }
      let text =
        "# Authors' vectors\n\n\(rows.count) comparisons.\n\n| method | case | part | outcome |\n|---|---|---|---|\n"
        + rows.joined(separator: "\n") + "\n"
      let folder = GoldenCase.repository.appending(path: ".build-reports")
      try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try? text.write(to: folder.appending(path: "golden.md"), atomically: true, encoding: .utf8)
    }
  }
}
