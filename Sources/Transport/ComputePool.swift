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
    let connection: UInt64
    let mailbox: Mailbox
    let reservation: Reservation

    init(_ request: consuming Request, connection: UInt64, mailbox: Mailbox, reservation: Reservation) {
      self.request = Locked(consume request)
      self.connection = connection
      self.mailbox = mailbox
      self.reservation = reservation
    }

    /// The request, to whoever asks first; from then on the reservation is theirs to release.
    func takeRequest() -> Request? {
      request.withLock { request in
        defer { request = nil }
        return request
      }
    }

    /// Nobody waits for the answer any more; whoever computes it may stop.
    func abandon() { abandoned.store(true, ordering: .relaxed) }

    var isAbandoned: Bool { abandoned.load(ordering: .relaxed) }
  }

  private struct State {
    var jobs: [Job] = []
    var first = 0
    var offers: [SharedWork] = []
    var isStopped = false
  }

  private let state = Locked(State())
  private let available = DispatchSemaphore(value: 0)
  private let responder: any Responder
  private let buffers: BufferPool
  private let role: ThreadRole
  private let threads: Int
  private let priority: BulkPriority
  private let isStarted = Atomic(false)
  /// Threads that wait for something to do.
  private let idle = Atomic(0)

  init(
    threads: Int, responder: any Responder, buffers: BufferPool, role: ThreadRole = .compute,
    priority: BulkPriority = .normal
  ) {
    self.threads = threads
    self.responder = responder
    self.buffers = buffers
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
    state.withLock { $0.jobs.append(job) }
    available.signal()
  }

  /// Jobs no thread has begun with, those given up by their clients included.
  var queuedCount: Int { state.withLock { $0.jobs.count - $0.first } }

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
      guard !state.isStopped, state.first < state.jobs.count else { return nil }
      let job = state.jobs[state.first]
      state.first += 1
      // Compacted now and then: removing the first of many is linear.
      if state.first == state.jobs.count || state.first >= 1024 {
        state.jobs.removeFirst(state.first)
        state.first = 0
      }
      return job
    }
  }

  private func run(_ job: Job) {
    guard var request = job.takeRequest() else { return }
    request.isAbandoned = { job.isAbandoned }
    request.share = { [self] count, part in share(count, part) }
    let start = Clock.now
    let response = responder.respond(to: request)
    let duration = Clock.now - start
    buffers.give(request.takeBody())
    job.mailbox.send(
      .computed(
        connection: job.connection, response, reservation: job.reservation, nanoseconds: duration))
  }
}
