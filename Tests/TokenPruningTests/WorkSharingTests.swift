import Dispatch
import JSON
import Testing

@testable import TokenPruning

/// Who does which part of the work is nobody's business.
@Suite struct WorkSharingTests {
  /// Parts go to so many threads.
  private func sharing(_ threads: Int) -> WorkSharing {
    WorkSharing { count, part in
      DispatchQueue.concurrentPerform(iterations: threads) { thread in
        for index in stride(from: thread, to: count, by: threads) { part(index) }
      }
    }
  }

  @Test("Every part is done once and results are in order", arguments: [1, 2, 3, 8])
  func parts(_ threads: Int) {
    #expect(sharing(threads).map(100) { $0 * $0 } == (0..<100).map { $0 * $0 })
    #expect(sharing(threads).map(0) { $0 } == [])
    #expect(WorkSharing.none.map(7) { $0 } == Array(0..<7))
  }

  @Test(
    "A method keeps and merges the same with any number of threads",
    arguments: MethodRegistry.standard.descriptors.map(\.name))
  func sameAnswer(_ name: String) throws {
    let alone = try makeInput(150, columns: 24)
    let method = try MethodRegistry.standard.make(name)
    let kept = try method.select(SelectionTask(count: 33, candidates: Array(0..<150)), from: alone)
    let merged = try method.merge(33, of: alone)
    for threads in [2, 3, 8] {
      let input = PruningInput(
        tokenCount: 150, tensors: alone.tensors, layout: alone.layout, seed: alone.seed,
        sharing: sharing(threads))
      #expect(try method.select(SelectionTask(count: 33, candidates: Array(0..<150)), from: input) == kept)
      #expect(try method.merge(33, of: input) == merged)
    }
  }
}
