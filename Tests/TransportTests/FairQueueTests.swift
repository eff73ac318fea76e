import Dispatch
import HTTP1
import Locking
import Testing

@testable import Transport

@Suite struct FairQueueTests {
  private let mailbox: Mailbox
  private let head: RequestHead
  private let pool: ComputePool

  init() throws {
    mailbox = try Mailbox()
    var parser = RequestParser()
    guard case .head(let head, _) = try parser.parse(Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8)) else {
      throw SystemError("parse", code: 0)
    }
    self.head = head
    pool = ComputePool(
      threads: 0, responder: EchoResponder(execution: .pooled), buffers: BufferPool(maximumHeldBytes: 0),
      memory: WorkMemory(Capacity(TransportConfiguration())))
  }

  private func job(_ client: UInt64, _ connection: UInt64) -> ComputePool.Job {
    ComputePool.Job(
      Request(head: head, body: []), connection: connection, client: client, mailbox: mailbox,
      reservation: Reservation())
  }

  private func order(_ queue: inout FairQueue) -> [UInt64] {
    var order: [UInt64] = []
    while let job = queue.popFirst() { order.append(job.connection) }
    return order
  }

  @Test("Clients take turns, however many requests one of them has waiting; each client's go in their order")
  func turns() {
    var queue = FairQueue()
    for number in 0..<5 { queue.append(job(1, UInt64(number))) }
    queue.append(job(2, 20))
    queue.append(job(3, 30))
    queue.append(job(2, 21))
    #expect(queue.count == 8)
    #expect(order(&queue) == [0, 20, 30, 1, 21, 2, 3, 4])
    #expect(queue.count == 0)
  }

  @Test(
    "Whoever finished sending, before or after it was queued, waits behind all others and is served at last")
  func ended() {
    var queue = FairQueue()
    let jobs = (0..<4).map { job(1, UInt64($0)) }
    pool.clientHasEnded(of: jobs[0])
    for job in jobs { queue.append(job) }
    pool.clientHasEnded(of: jobs[2])
    #expect(order(&queue) == [1, 3, 0, 2])
  }

  @Test("A newcomer displaces the latest of whoever has most waiting, and nobody who has as few as itself")
  func displaced() {
    var queue = FairQueue()
    for number in 0..<3 { queue.append(job(1, UInt64(number))) }
    queue.append(job(2, 20))
    #expect(queue.popDisplaced(by: 1) == nil)
    #expect(queue.popDisplaced(by: 3)?.connection == 2)
    #expect(queue.popDisplaced(by: 2) == nil)
    #expect(queue.popDisplaced(by: 3)?.connection == 1)
    #expect(queue.popDisplaced(by: 3) == nil)
    #expect(order(&queue) == [0, 20])
  }

  @Test("Requests whose clients may have gone are displaced first, by anybody")
  func displacedEnded() {
    var queue = FairQueue()
    let jobs = (0..<3).map { job(1, UInt64($0)) }
    for job in jobs { queue.append(job) }
    pool.clientHasEnded(of: jobs[1])
    #expect(queue.popDisplaced(by: 1)?.connection == 1)
    #expect(queue.popDisplaced(by: 1) == nil)
    #expect(order(&queue) == [0, 2])
  }

  @Test("Lines of clients that come once do not pile up")
  func manyClients() {
    var queue = FairQueue()
    for client in 0..<10_000 {
      queue.append(job(UInt64(client), UInt64(client)))
      if client % 3 > 0 { #expect(queue.popFirst() != nil) }
    }
    #expect(order(&queue).count == 3334)
  }
}

extension FairQueueTests {
  @Test(
    "Work memory is held, given back and refused: never more than the limit, and never by waiting for nobody")
  func workMemory() {
    var configuration = TransportConfiguration()
    configuration.maximumInFlightBytes = 100 << 20
    let capacity = Capacity(configuration)
    let memory = WorkMemory(capacity)
    let (first, second) = (job(1, 1), job(1, 2))
    #expect(memory.hold(60 << 20, for: first) == .granted)
    #expect(memory.hold(101 << 20, for: second) == .exceeds(limit: 100 << 20))
    // Small work asks for nothing.
    #expect(memory.hold(1 << 10, for: second) == .granted)
    #expect(capacity.inFlightWorkBytes == 60 << 20)
    #expect(memory.hold(30 << 20, for: first) == .granted)
    #expect(capacity.inFlightWorkBytes == 30 << 20)
    #expect(memory.hold(70 << 20, for: second) == .granted)
    // Whoever has gone does not wait.
    first.abandon()
    #expect(memory.hold(40 << 20, for: first) == .notNow)
    memory.release(second)
    // Nobody else computes, so that waiting would be for ever.
    #expect(capacity.takeBodyBytes(40 << 20))
    #expect(memory.hold(80 << 20, for: first) == .notNow)
    memory.release(first)
    #expect(capacity.inFlightWorkBytes == 0)
  }

  @Test("What does not fit waits for those that are being computed")
  func waiting() {
    var configuration = TransportConfiguration()
    configuration.maximumInFlightBytes = 100 << 20
    let memory = WorkMemory(Capacity(configuration))
    let (first, second) = (job(1, 1), job(1, 2))
    #expect(memory.hold(60 << 20, for: first) == .granted)
    // A thread of its own waits, for those of tasks may be too few; nobody waits for it longer than it does.
    let grant = Locked<MemoryGrant?>(nil)
    let waiter = DispatchGroup()
    DispatchQueue(label: "waiter").async(group: waiter) {
      let granted = memory.hold(80 << 20, for: second)
      grant.withLock { $0 = granted }
    }
    while memory.waitingCount == 0 && grant.withLock({ $0 == nil }) {}
    memory.release(first)
    waiter.wait()
    #expect(grant.withLock { $0 } == .granted)
    memory.release(second)
    #expect(memory.capacity.inFlightWorkBytes == 0)
  }
}
