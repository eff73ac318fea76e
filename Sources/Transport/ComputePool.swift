import Dispatch
import HTTP1
import Locking
import Synchronization

/// A fixed number of threads that compute responses, and the queue in front of them.
///
/// The queue is bounded by ``Capacity``: a job holds an in-flight permit.
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
    var isStopped = false
  }

  private let state = Locked(State())
  private let available = DispatchSemaphore(value: 0)
  private let responder: any Responder
  private let buffers: BufferPool
  private let threads: Int

  init(threads: Int, responder: any Responder, buffers: BufferPool) {
    self.responder = responder
    self.buffers = buffers
    self.threads = threads
  }

  /// Each worker is one long-lived item on its own serial queue: on a shared concurrent queue, workers that
  /// never return would keep other Dispatch work waiting.
  func start() {
    for index in 0..<threads {
      DispatchQueue(label: "crop.compute.\(index)").async { self.work() }
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
      available.wait()
      guard let job = nextJob() else { return }
      run(job)
    }
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
    let start = Clock.now
    let response = responder.respond(to: request)
    let duration = Clock.now - start
    buffers.give(request.takeBody())
    job.mailbox.send(
      .computed(
        connection: job.connection, response, reservation: job.reservation, nanoseconds: duration))
  }
}
