import Foundation
import FuzzTargets
import Testing

/// Replays what fuzzing found worth keeping, so that a fault once found stays found.
@Suite struct CorpusTests {
  private static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fuzz/Corpus")

  @Test("every law holds for every input of the corpus", arguments: FuzzTarget.all)
  func replay(_ target: FuzzTarget) throws {
    let corpus = Self.folder.appendingPathComponent(target.name)
    let files = try FileManager.default.contentsOfDirectory(at: corpus, includingPropertiesForKeys: nil)
    #expect(!files.isEmpty, "there are no seeds")
    for file in files.sorted(by: { $0.path < $1.path }) {
      let bytes = [UInt8](try Data(contentsOf: file))
      #expect(throws: Never.self, "\(target.name)/\(file.lastPathComponent)") { try target.run(bytes) }
    }
  }

  @Test("every folder of the corpus belongs to a target")
  func noOrphans() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
    #expect(Set(names) == Set(FuzzTarget.all.map(\.name)))
  }
}
