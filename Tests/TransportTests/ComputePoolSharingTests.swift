import Dispatch
import HTTP1
import Locking
import Synchronization
import Testing

@testable import Transport

/// `ComputePool.share`: who does the parts depends on who is idle, what is done never does.
@Suite(.timeLimit(.minutes(1))) struct ComputePoolSharingTests {
  /// Requests are answered once the gate opens; each that has begun is counted.
  private final class GatedResponder: Responder {
    let gate = Gate()
    let begun = DispatchSemaphore(value: 0)

    func resolve(_ head: RequestHead, framing: BodyFraming) -> (any AnyObject & Sendable)? { nil }
    func admit(_ head: RequestHead, framing: BodyFraming) -> Admission { .reject(Response(status: 404)) }
    func respond(to request: Request, into response: inout Response) {
      begun.signal()
      gate.wait()
    }
    func refuse(_ refusal: Refusal, head: RequestHead?) -> Response { Response(status: 400) }
    func finished(_ exchange: Exchange) {}
  }

  private let responder = GatedResponder()

  private func withPool(threads: Int, _ body: (ComputePool) throws -> Void) rethrows {
    let pool = ComputePool(
      threads: threads, responder: responder, buffers: BufferPool(maximumHeldBytes: 1 << 20),
      memory: WorkMemory(Capacity(TransportConfiguration())))
    pool.start()
    defer { pool.stop() }
    try body(pool)
  }

  /// How often each part was done.
  private final class Tally: Sendable {
    private let counts: Locked<[Int]>

    init(_ parts: Int) { counts = Locked(Array(repeating: 0, count: parts)) }

    func add(_ part: Int) { counts.withLock { $0[part] += 1 } }

    var isOnceEach: Bool { counts.withLock { $0.allSatisfy { $0 == 1 } } }
  }

  /// A job that ends when the gate opens.
  private func gatedJob() throws -> ComputePool.Job {
    var parser = RequestParser()
    guard case .head(let head, _) = try parser.parse(Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)) else {
      throw SystemError("parse", code: 0)
    }
    return ComputePool.Job(
      Request(head: head, body: []), connection: 1, mailbox: try Mailbox(), reservation: Reservation())
  }

  @Test("Every part is done once, few or many, with any number of threads", arguments: [1, 2, 5])
  func onceEach(_ threads: Int) {
    withPool(threads: threads) { pool in
      for parts in [0, 1, 2, 3, 100, 2000] {
        let tally = Tally(parts)
        pool.share(parts) { tally.add($0) }
        #expect(tally.isOnceEach)
      }
    }
  }

  @Test("Whoever waits at work is helped by a thread that is idle")
  func helped() {
    withPool(threads: 2) { pool in
      // Threads of the pool become idle in their own time, so the offer is made until one has taken part.
      let owner = DispatchSpecificKey<Bool>()
      let queue = DispatchQueue(label: "owner")
      queue.setSpecific(key: owner, value: true)
      queue.sync {
        let byOthers = Atomic(0)
        while byOthers.load(ordering: .relaxed) == 0 {
          let tally = Tally(50)
          pool.share(50) { part in
            tally.add(part)
            if DispatchQueue.getSpecific(key: owner) == nil { byOthers.add(1, ordering: .relaxed) }
          }
          #expect(tally.isOnceEach)
        }
      }
    }
  }

  @Test("Parts begun by others are waited for")
  func waitsForOthers() {
    withPool(threads: 1) { pool in
      let owner = DispatchSpecificKey<Bool>()
      let queue = DispatchQueue(label: "owner")
      queue.setSpecific(key: owner, value: true)
      queue.sync {
        let wasHelped = Atomic(false)
        while !wasHelped.load(ordering: .relaxed) {
          let done = Atomic(0)
          let ownerIsThrough = Gate()
          pool.share(2) { _ in
            if DispatchQueue.getSpecific(key: owner) == nil {
              // Not before the owner has nothing left to claim.
              ownerIsThrough.wait()
              wasHelped.store(true, ordering: .relaxed)
            } else {
              ownerIsThrough.open()
            }
            done.add(1, ordering: .relaxed)
          }
          #expect(done.load(ordering: .relaxed) == 2)
        }
      }
    }
  }

  @Test("A pool that is busy is not waited for")
  func busy() throws {
    try withPool(threads: 2) { pool in
      for _ in 0..<2 { pool.submit(try gatedJob()) }
      for _ in 0..<2 { responder.begun.wait() }
      let tally = Tally(300)
      pool.share(300) { tally.add($0) }
      #expect(tally.isOnceEach && pool.queuedCount == 0)
      responder.gate.open()
    }
  }

  @Test("Parts may share parts of their own")
  func nested() {
    withPool(threads: 3) { pool in
      for _ in 0..<20 {
        let tally = Tally(12 * 7)
        pool.share(12) { outer in pool.share(7) { tally.add(7 * outer + $0) } }
        #expect(tally.isOnceEach)
      }
    }
  }

  @Test("Several share at once, each for themselves")
  func concurrent() {
    withPool(threads: 2) { pool in
      let tallies = (0..<4).map { _ in Tally(200) }
      DispatchQueue.concurrentPerform(iterations: 4) { owner in
        pool.share(200) { tallies[owner].add($0) }
      }
      for tally in tallies { #expect(tally.isOnceEach) }
    }
  }

  @Test("Helpers turn to a request that arrives, and the owner does the rest")
  func requestsFirst() throws {
    try withPool(threads: 1) { pool in
      let job = try gatedJob()
      let tally = Tally(100)
      let submitted = Atomic(false)
      let owner = DispatchSpecificKey<Bool>()
      let queue = DispatchQueue(label: "owner")
      queue.setSpecific(key: owner, value: true)
      queue.sync {
        pool.share(100) { part in
          tally.add(part)
          // Submitted in the midst; the owner goes on only when the pool's thread has begun with it.
          guard DispatchQueue.getSpecific(key: owner) == true, !submitted.exchange(true, ordering: .relaxed)
          else { return }
          pool.submit(job)
          responder.begun.wait()
        }
      }
      #expect(tally.isOnceEach)
      responder.gate.open()
    }
  }
}
