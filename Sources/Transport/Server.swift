import Dispatch
public import HTTP1
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// An HTTP/1.1 server: listens, serves, drains.
///
/// ```swift
/// let server = try Server(configuration, capacity: Capacity(configuration), responder: service)
/// try server.start()
/// await server.shutDown(drainDelay: .seconds(5), timeout: .seconds(30))
/// ```
public final class Server: Sendable {
  /// Where the server listens; with port 0 in the configuration, the port the system chose.
  public let addresses: [SocketAddress]
  public let capacity: Capacity
  public let pool: BufferPool

  private let shared: ServerShared
  private let listeners: Mutex<[Listener]>
  private let runningLoops: Mutex<RunningLoops>

  private struct RunningLoops {
    var count = 0
    var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    var lastTicket = 0
  }

  public enum StartError: Error, CustomStringConvertible {
    case resolution(ResolutionError)
    case listening(address: String, SystemError)
    case system(SystemError)

    public var description: String {
      switch self {
      case .resolution(let error): error.description
      case .listening(let address, let error): "cannot listen on \(address): \(error)"
      case .system(let error): error.description
      }
    }
  }

  /// Binds and listens; nothing is accepted before ``start()``.
  public init(
    _ configuration: TransportConfiguration, capacity: Capacity, responder: any Responder
  ) throws(StartError) {
    let requested: [SocketAddress]
    do {
      requested = try SocketAddress.resolve(host: configuration.host, port: configuration.port)
    } catch {
      throw .resolution(error)
    }
    var listeners: [Listener] = []
    for address in requested {
      do {
        listeners.append(try Listener(address: address, backlog: configuration.backlog))
      } catch {
        // A name may stand for an address family that this machine does not have (::1 in containers).
        if error.code == EAFNOSUPPORT || (error.code == EADDRNOTAVAIL && !listeners.isEmpty) { continue }
        throw .listening(address: address.description, error)
      }
      // A port of the system's choice is free on one address; nothing promises it on the next.
      if configuration.port == 0 { break }
    }
    do {
      shared = try ServerShared(configuration, capacity: capacity, responder: responder)
    } catch {
      throw .system(error)
    }
    addresses = listeners.map(\.address)
    self.capacity = capacity
    pool = shared.pool
    self.listeners = Mutex(listeners)
    runningLoops = Mutex(RunningLoops())
  }

  /// Starts accepting and serving; returns once every loop runs.
  public func start() throws(StartError) {
    let listeners = listeners.withLock { listeners in
      defer { listeners = [] }
      return listeners
    }
    shared.compute.start()
    let count = shared.mailboxes.count
    for index in 0..<count {
      let failure = Mutex<SystemError?>(nil)
      let started = DispatchSemaphore(value: 0)
      runningLoops.withLock { $0.count += 1 }
      // Each loop owns a serial queue for as long as it runs; on a shared queue it would stall other work.
      DispatchQueue(label: "crop.loop.\(index)").async { [self] in
        let loop: EventLoop
        do {
          let acceptor = index == 0 ? Acceptor(listeners, mailboxes: shared.mailboxes) : nil
          loop = try EventLoop(
            index: index, of: count, shared: shared, acceptor: acceptor,
            onStopped: { [self] in loopStopped() })
        } catch {
          failure.withLock { $0 = error as? SystemError }
          loopStopped()
          started.signal()
          return
        }
        started.signal()
        loop.run()
      }
      started.wait()
      if let error = failure.withLock({ $0 }) { throw .system(error) }
    }
  }

  /// Lets running work finish, then stops: every response from now on announces the end of its connection;
  /// after `drainDelay` nothing more is accepted; connections end as they become idle, at the latest after
  /// `timeout`. ``stopNow()`` cuts it short.
  public func shutDown(drainDelay: Duration, timeout: Duration) async {
    for mailbox in shared.mailboxes { mailbox.send(.drain) }
    await wait(atMost: drainDelay)
    for mailbox in shared.mailboxes { mailbox.send(.stopListening) }
    await wait(atMost: timeout)
    stopNow()
    await wait(atMost: .seconds(5))
    shared.compute.stop()
  }

  /// Closes everything at once.
  public func stopNow() {
    for mailbox in shared.mailboxes { mailbox.send(.stop) }
  }

  /// Returns when every loop has ended, or when `duration` has passed.
  private func wait(atMost duration: Duration) async {
    await withCheckedContinuation { continuation in
      let ticket = runningLoops.withLock { loops -> Int? in
        guard loops.count > 0 else { return nil }
        loops.lastTicket += 1
        loops.waiters[loops.lastTicket] = continuation
        return loops.lastTicket
      }
      guard let ticket else { return continuation.resume() }
      Task { [self] in
        try? await Task.sleep(for: duration)
        runningLoops.withLock { $0.waiters.removeValue(forKey: ticket) }?.resume()
      }
    }
  }

  private func loopStopped() {
    let waiters = runningLoops.withLock { loops in
      loops.count -= 1
      guard loops.count == 0 else { return [CheckedContinuation<Void, Never>]() }
      defer { loops.waiters = [:] }
      return Array(loops.waiters.values)
    }
    for waiter in waiters { waiter.resume() }
  }
}

/// What all loops of a server share.
struct ServerShared: Sendable {
  let configuration: TransportConfiguration
  let responder: any Responder
  let pool: BufferPool
  let capacity: Capacity
  let compute: ComputePool
  let mailboxes: [Mailbox]

  init(
    _ configuration: TransportConfiguration, capacity: Capacity, responder: any Responder
  ) throws(SystemError) {
    self.configuration = configuration
    self.responder = responder
    pool = BufferPool(maximumHeldBytes: configuration.pooledBytes)
    self.capacity = capacity
    compute = ComputePool(threads: configuration.computeThreads, responder: responder)
    var mailboxes: [Mailbox] = []
    for _ in 0..<max(configuration.eventLoops, 1) { mailboxes.append(try Mailbox()) }
    self.mailboxes = mailboxes
  }
}
