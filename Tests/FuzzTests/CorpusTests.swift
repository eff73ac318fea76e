import Foundation
import FuzzCorpus
import FuzzTargets
import Testing

/// Replays what fuzzing found worth keeping, so that a fault once found stays found.
@Suite struct CorpusTests {
  @Test("every law holds for every input of the corpus", arguments: FuzzTarget.all)
  func replay(_ target: FuzzTarget) throws {
    let inputs = try FuzzCorpus.inputs(of: target.name)
    #expect(!inputs.isEmpty, "there are no seeds")
    for (name, bytes) in inputs {
      #expect(throws: Never.self, "\(target.name)/\(name)") { try target.run(bytes) }
    }
  }

  @Test("every archive of the corpus belongs to a target")
  func noOrphans() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: FuzzCorpus.folder.path)
    #expect(Set(names) == Set(FuzzTarget.all.map { $0.name + ".tar" }), "see tools/fuzz.sh pack")
  }
}
