import Dispatch
import JSON
import Testing

@testable import PruningNumerics
@testable import TokenPruning

/// Who does which part of the work is nobody's business.
@Suite struct WorkSharingTests {
  /// Parts go to this number of threads.
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

  private static let names = MethodRegistry.standard.descriptors.map(\.name)

  @Test("A method keeps and merges the same with any number of threads", arguments: names)
  func sameAnswer(_ name: String) throws {
    try expectSame(name, try makeInput(150, columns: 24), 33, threads: [2, 3, 8])
  }

  @Test("The same where there are enough rows that work is divided", arguments: names)
  func sameAnswerOfMany(_ name: String) throws {
    try expectSame(name, try makeInput(700, columns: 12), 80, threads: [3])
  }

  @Test("The same with thousands of rows", arguments: names)
  func sameAnswerOfThousands(_ name: String) throws {
    try expectSame(name, try makeInput(3000, columns: 6), 40, threads: [2])
  }

  private func expectSame(_ name: String, _ alone: PruningInput, _ count: Int, threads: [Int]) throws {
    let method = try MethodRegistry.standard.make(name, neededParameters(name))
    let task = SelectionTask(count: count, candidates: Array(0..<alone.tokenCount))
    let kept = try method.select(task, from: alone)
    let merged = try method.merge(count, of: alone)
    for threads in threads {
      let input = PruningInput(
        tokenCount: alone.tokenCount, tensors: alone.tensors, layout: alone.layout, seed: alone.seed,
        sharing: sharing(threads))
      #expect(try method.select(task, from: input) == kept)
      #expect(try method.merge(count, of: input) == merged)
    }
  }
}
