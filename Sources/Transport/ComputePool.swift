import Dispatch
import HTTP1
import Synchronization

/// A fixed number of threads that compute responses, and the queue in front of them.
///
/// The queue is bounded by ``Capacity``: a job holds an in-flight permit from its head on.
final class ComputePool: Sendable {
  struct Job: Sendable {
    var request: Request
    let connection: UInt64
    let mailbox: Mailbox
    let reservation: Reservation
  }

  private struct State {
    var jobs: [Job] = []
    var first = 0
    var isStopped = false
  }

  private let state = Mutex(State())
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

  func submit(_ job: consuming Job) {
    let job = job
    state.withLock { $0.jobs.append(job) }
    available.signal()
  }

  func stop() {
    state.withLock { $0.isStopped = true }
    for _ in 0..<threads { available.signal() }
  }

  private func work() {
    while true {
      available.wait()
      guard var job = nextJob() else { return }
      run(&job)
    }
  }

  private func nextJob() -> Job? {
    state.withLock { state in
      guard !state.isStopped, state.first < state.jobs.count else { return nil }
      let job = state.jobs[state.first]
      // The slot must not keep the body alive: a shared buffer cannot be reused.
      _ = state.jobs[state.first].request.takeBody()
      state.first += 1
      if state.first == state.jobs.count {
        state.jobs.removeAll(keepingCapacity: true)
        state.first = 0
      } else if state.first >= 1024 {
        state.jobs.removeFirst(state.first)
        state.first = 0
      }
      return job
    }
  }

  private func run(_ job: inout Job) {
    let start = Clock.now
    let response = responder.respond(to: job.request)
    let duration = Clock.now - start
    buffers.give(job.request.takeBody())
    job.mailbox.send(
      .computed(
        connection: job.connection, response, reservation: job.reservation, nanoseconds: duration))
  }
}
