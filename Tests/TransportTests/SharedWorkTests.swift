import Dispatch
import Synchronization
import Testing

@testable import Transport

@Suite struct SharedWorkTests {
  @Test("Every part is done once, and finish returns after the last")
  func onceEach() {
    let done = Atomic(0)
    let sum = Atomic(0)
    let work = SharedWork(1000) { index in
      sum.add(index, ordering: .relaxed)
      done.add(1, ordering: .relaxed)
    }
    let helpers = DispatchGroup()
    for _ in 0..<3 { DispatchQueue.global().async(group: helpers) { while work.doOne() {} } }
    work.finish()
    #expect(done.load(ordering: .relaxed) == 1000 && sum.load(ordering: .relaxed) == 499_500)
    #expect(!work.hasUnclaimedParts && !work.doOne())
    helpers.wait()
  }

  @Test("The owner does alone what nobody else begins")
  func alone() {
    let done = Atomic(0)
    SharedWork(5) { _ in done.add(1, ordering: .relaxed) }.finish()
    #expect(done.load(ordering: .relaxed) == 5)
  }
}
