import Dispatch
public import HTTP1
import LibC
import Locking
import Synchronization

/// An HTTP/1.1 server: listens, serves, drains.
///
/// ```swift
/// let server = try Server(configuration, capacity: Capacity(configuration), responder: service)
/// try server.start()
/// await server.shutDown(drainDelay: .seconds(5), timeout: .seconds(30))
/// ```
public final class Server: Sendable {
  /// Where the server listens; with port 0 in the configuration, the port the system chose.
  public let endpoints: [ListeningEndpoint]
  public let capacity: Capacity
  public let pool: BufferPool

  /// Descriptors of clients that are held at this moment.
  public var heldDescriptorCount: Int { shared.descriptors.heldCount }

  /// Requests waiting for a compute thread.
  public var queuedCount: Int { shared.compute.queuedCount + shared.bulkCompute.queuedCount }

  private let shared: ServerShared
  private let listeners: Locked<[Listener]>
  private let progress = Progress()

  public enum StartError: Error, CustomStringConvertible {
    case resolution(ResolutionError)
    case listening(address: String, SystemError)
    /// What is at the place, or was asked for there, cannot be listened on.
    case unusable(place: String, reason: String)
    case system(SystemError)

    public var description: String {
      switch self {
      case .resolution(let error): error.description
      case .listening(let address, let error): "cannot listen on \(address): \(error)"
      case .unusable(let place, let reason): "cannot listen on \(place): \(reason)"
      case .system(let error): error.description
      }
    }
  }

  /// Binds and listens; nothing is accepted before ``start()``.
  public init(
    _ configuration: TransportConfiguration, capacity: Capacity, responder: any Responder
  ) throws(StartError) {
    if configuration.residentBytes < .max {
      ProcessMemory.keepLittle(ofClientBytes: configuration.maximumInFlightBytes)
    }
    let listeners = try Listener.open(configuration)
    do {
      let progress = progress
      shared = try ServerShared(
        configuration, capacity: capacity, responder: responder, onIdle: { progress.becameIdle() })
    } catch {
      throw .system(error)
    }
    endpoints = listeners.map(\.endpoint)
    self.capacity = capacity
    pool = shared.pool
    self.listeners = Locked(listeners)
  }

  /// A thread that has not begun by now never will: the system has none to give.
  private static let longestStart = DispatchTimeInterval.seconds(60)

  /// Starts accepting and serving; returns once every loop runs.
  public func start() throws(StartError) {
    shared.compute.start()
    for index in shared.mailboxes.indices {
      let failure = Locked<SystemError?>(nil)
      let started = DispatchSemaphore(value: 0)
      progress.loopStarted()
      // Each loop owns a serial queue for as long as it runs; on a shared queue it would stall other work.
      DispatchQueue(label: "crop.loop.\(index)").async { [self] in
        let role = index < shared.configuration.briefLoopCount ? ThreadRole.loop : .bulkLoop
        role.begin(shared.configuration.bulkPriority)
        do throws(SystemError) {
          let loop = try makeLoop(index)
          started.signal()
          loop.run()
        } catch {
          failure.withLock { $0 = error }
          started.signal()
        }
        progress.loopStopped()
      }
      guard started.wait(timeout: .now() + Self.longestStart) == .success else {
        throw .system(SystemError("starting the thread of an event loop", code: ETIMEDOUT))
      }
      if let error = failure.withLock({ $0 }) { throw .system(error) }
    }
  }

  /// The listening sockets go to the first loop and to nobody else: they close when it lets go of them.
  private func makeLoop(_ index: Int) throws(SystemError) -> EventLoop {
    let listeners = listeners.withLock { listeners in
      defer { if index == 0 { listeners = [] } }
      return index == 0 ? listeners : []
    }
    return try EventLoop(
      index: index, shared: shared,
      acceptor: listeners.isEmpty ? nil : Acceptor(listeners, mailboxes: Array(shared.briefMailboxes)))
  }

  /// Lets running work finish, then stops: every response from now on announces the end of its connection;
  /// after `drainDelay` nothing more is accepted; connections end as they become idle, at the latest after
  /// `timeout`. ``stopNow()`` cuts it short.
  public func shutDown(drainDelay: Duration, timeout: Duration) async {
    for mailbox in shared.mailboxes { mailbox.send(.drain) }
    await progress.wait(atMost: drainDelay)
    for mailbox in shared.mailboxes { mailbox.send(.stopListening) }
    await progress.wait(atMost: timeout)
    stopNow()
    await progress.waitForLoops(atMost: .seconds(5))
    shared.compute.stop()
    shared.bulkCompute.stop()
  }

  /// Asks every event loop whether it still turns; one that has ended answers no more.
  public func askLoops() -> LoopQuestion {
    let question = LoopQuestion(loops: shared.mailboxes.count)
    for mailbox in shared.mailboxes { mailbox.send(.answer(question)) }
    return question
  }

  /// Closes everything at once.
  public func stopNow() {
    for mailbox in shared.mailboxes { mailbox.send(.stop) }
  }
}

/// What all loops of a server share.
final class ServerShared: Sendable {
  let configuration: TransportConfiguration
  let responder: any Responder
  let pool: BufferPool
  let capacity: Capacity
  let workMemory: WorkMemory
  /// For descriptors of all connections.
  let descriptors: DescriptorBudget
  let compute: ComputePool
  /// For large bodies: what takes long to receive takes long to compute, and a queue of its own keeps nobody else waiting.
  let bulkCompute: ComputePool
  /// One for each loop: those for whatever is brief, behind them those for large bodies.
  let mailboxes: [Mailbox]
  private let isListening = Atomic(true)
  private let onIdle: @Sendable () -> Void

  /// - Parameter onIdle: called when nothing is listened to any more and the last connection is gone.
  init(
    _ configuration: TransportConfiguration, capacity: Capacity, responder: any Responder,
    onIdle: @escaping @Sendable () -> Void
  ) throws(SystemError) {
    self.configuration = configuration
    self.responder = responder
    self.capacity = capacity
    self.onIdle = onIdle
    descriptors = DescriptorBudget(maximum: configuration.maximumDescriptors)
    // Buffers hold memory that requests have touched, which the limit is to cover as well.
    pool = BufferPool(
      maximumHeldBytes: min(configuration.pooledBytes, configuration.maximumInFlightBytes / 4))
    let memory = WorkMemory(capacity)
    workMemory = memory
    compute = ComputePool(
      threads: configuration.computeThreads, responder: responder, buffers: pool, memory: memory)
    bulkCompute = ComputePool(
      threads: configuration.computeThreads, responder: responder, buffers: pool, memory: memory,
      role: .bulkCompute, priority: configuration.bulkPriority)
    var mailboxes: [Mailbox] = []
    let loopCount = configuration.briefLoopCount + configuration.bulkLoopCount
    for _ in 0..<loopCount { mailboxes.append(try Mailbox()) }
    self.mailboxes = mailboxes
  }

  var briefMailboxes: ArraySlice<Mailbox> { mailboxes[..<configuration.briefLoopCount] }

  // A connection counts from the moment it is accepted, before its loop knows of it. So when the count is zero
  // after listening ended, no loop has one and none is on its way; whichever of the two comes last says so.

  func listeningEnded() {
    isListening.store(false, ordering: .sequentiallyConsistent)
    connectionEnded()
  }

  func connectionEnded() {
    if !isListening.load(ordering: .sequentiallyConsistent), capacity.connectionCount == 0 { onIdle() }
  }
}
