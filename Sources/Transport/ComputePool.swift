import Dispatch
import HTTP1
import Locking
import Synchronization

/// A fixed number of threads that compute responses, and the queue in front of them.
///
/// The queue is bounded by ``Capacity``: a job holds an in-flight permit. A thread that computes may offer parts of
/// its work to those that have nothing to do (``share(_:_:)``); they turn to the next request as soon as there is
/// one, between two parts.
final class ComputePool: Sendable {
  /// One request on its way to a thread.
  ///
  /// A reference, so that however many places name the job, the request and its buffer have one owner at a time.
  final class Job: Sendable {
    private let request: Locked<Request?>
    private let abandoned = Atomic(false)
    private let clientEnded = Atomic(false)
    /// Bytes held beside the body, see ``WorkMemory``.
    let workBytes = Atomic(0)
    let connection: UInt64
    /// Whose turn in the queue it takes.
    let client: UInt64
    let mailbox: Mailbox
    let reservation: Reservation

    init(
      _ request: consuming Request, connection: UInt64, client: UInt64 = 0, mailbox: Mailbox,
      reservation: Reservation
    ) {
      self.request = Locked(consume request)
      self.connection = connection
      self.client = client
      self.mailbox = mailbox
      self.reservation = reservation
    }

    fileprivate func takeRequest() -> Request? {
      request.withLock { request in
        defer { request = nil }
        return request
      }
    }

    /// Nobody waits for the answer any more; whoever computes it may stop.
    func abandon() { abandoned.store(true, ordering: .relaxed) }

    var isAbandoned: Bool { abandoned.load(ordering: .relaxed) }

    /// - Returns: whether that is news, and the request still waits.
    fileprivate func clientHasEnded() -> Bool {
      request.withLock { request in
        request != nil && !clientEnded.exchange(true, ordering: .relaxed)
      }
    }

    var hasClientEnded: Bool { clientEnded.load(ordering: .relaxed) }
  }

  private struct State {
    var queue = FairQueue()
    var offers: [SharedWork] = []
    var isStopped = false
  }

  private let state = Locked(State())
  private let available = DispatchSemaphore(value: 0)
  private let responder: any Responder
  private let buffers: BufferPool
  private let memory: WorkMemory
  private let role: ThreadRole
  private let threads: Int
  private let priority: BulkPriority
  private let isStarted = Atomic(false)
  /// Threads that wait for something to do.
  private let idle = Atomic(0)

  init(
    threads: Int, responder: any Responder, buffers: BufferPool, memory: WorkMemory,
    role: ThreadRole = .compute,
    priority: BulkPriority = .normal
  ) {
    self.threads = threads
    self.responder = responder
    self.buffers = buffers
    self.memory = memory
    self.role = role
    self.priority = priority
  }

  /// Each worker is one long-lived item on its own serial queue: on a shared concurrent queue, workers that
  /// never return would keep other Dispatch work waiting.
  /// Called again it does nothing.
  func start() {
    guard !isStarted.exchange(true, ordering: .relaxed) else { return }
    for index in 0..<threads {
      DispatchQueue(label: "crop.compute.\(index)").async { [self] in
        role.begin(priority)
        work()
      }
    }
  }

  func submit(_ job: Job) {
    state.withLock { $0.queue.append(job) }
    available.signal()
  }

  /// Jobs no thread has begun with.
  var queuedCount: Int { state.withLock { $0.queue.count } }

  /// The request of a job, to whoever asks first; from then on the reservation is theirs to release.
  func take(_ job: Job) -> Request? {
    guard let request = job.takeRequest() else { return nil }
    if job.hasClientEnded { memory.capacity.endedJobs(-1) }
    return request
  }

  /// A queued job's client has finished sending: it may read its answer, or be gone.
  func clientHasEnded(of job: Job) {
    if job.clientHasEnded() { memory.capacity.endedJobs(1) }
  }

  /// Rejects one waiting request to make room for one of `client`, so that no client fills the queue.
  ///
  /// - Returns: whether there was one that may be rejected; its permit is free now.
  func displace(for client: UInt64) -> Bool {
    while let job = state.withLock({ $0.queue.popDisplaced(by: client) }) {
      guard var request = take(job) else { continue }
      buffers.give(request.takeBody())
      var reservation = job.reservation
      memory.capacity.release(&reservation)
      let response = responder.refuse(.queueFull, head: request.head)
      job.mailbox.send(
        .computed(connection: job.connection, response, reservation: reservation, nanoseconds: 0))
      return true
    }
    return false
  }

  func stop() {
    state.withLock { $0.isStopped = true }
    for _ in 0..<threads { available.signal() }
  }

  private func work() {
    while true {
      idle.add(1, ordering: .relaxed)
      available.wait()
      idle.subtract(1, ordering: .relaxed)
      // Whoever is woken for work that others have finished meanwhile finds nothing, and waits again.
      while true {
        if let job = nextJob() {
          run(job)
        } else if let offer = nextOffer() {
          help(offer)
        } else {
          break
        }
      }
      if state.withLock({ $0.isStopped }) { return }
    }
  }

  // MARK: Sharing

  /// Calls `part` once with each of 0..<count, on this thread and on idle ones, and returns when all are done.
  ///
  /// Nobody is waited for but those who have begun a part, so this is never slower than doing all by oneself, but
  /// for one part and waking the others.
  func share(_ count: Int, _ part: @escaping @Sendable (Int) -> Void) {
    let helpers = min(idle.load(ordering: .relaxed), count - 1)
    guard helpers > 0 else {
      for index in 0..<count { part(index) }
      return
    }
    let work = SharedWork(count, part)
    state.withLock { $0.offers.append(work) }
    for _ in 0..<helpers { available.signal() }
    work.finish()
    state.withLock { state in state.offers.removeAll { $0 === work } }
  }

  private func nextOffer() -> SharedWork? {
    state.withLock { state in
      state.isStopped ? nil : state.offers.first(where: \.hasUnclaimedParts)
    }
  }

  private func help(_ work: SharedWork) {
    while queuedCount == 0, work.doOne() {}
  }

  private func nextJob() -> Job? {
    state.withLock { state in
      state.isStopped ? nil : state.queue.popFirst()
    }
  }

  private func run(_ job: Job) {
    guard var request = take(job) else { return }
    request.isAbandoned = { job.isAbandoned }
    request.share = { [self] count, part in share(count, part) }
    request.useMemory = { [memory] bytes in memory.hold(bytes, for: job) }
    request.threadCount = threads
    let start = Clock.now
    let response = responder.respond(to: request)
    let duration = Clock.now - start
    request.preparation = nil
    buffers.give(request.takeBody())
    memory.release(job)
    job.mailbox.send(
      .computed(connection: job.connection, response, reservation: job.reservation, nanoseconds: duration))
  }
}
