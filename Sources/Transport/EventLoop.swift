import HTTP1
import LibC

/// One thread's worth of connections: waits for readiness, moves bytes, keeps deadlines.
///
/// An event loop is created and run inside one work item of its own serial Dispatch queue and never leaves it;
/// other threads reach it through its ``Mailbox`` only.
final class EventLoop {
  static let headReadSize = 16 << 10
  static let lingerTime = Duration.seconds(2).nanoseconds
  /// How long a draining server waits for the next request of a connection that was just used.
  private static let drainGrace = Duration.seconds(1).nanoseconds
  /// After the last new handshake was let through: time for its client to finish it.
  private static let handshakeTime = Duration.milliseconds(100).nanoseconds
  private static let stoppingSweepInterval = Duration.milliseconds(20).nanoseconds
  /// A buffer that no request needed for so long is given back to the system.
  private static let trimInterval = Duration.seconds(10).nanoseconds
  /// After running out of descriptors; a closed connection ends the pause early.
  private static let acceptPause = Duration.milliseconds(100).nanoseconds

  let shared: ServerShared
  let configuration: TransportConfiguration
  let responder: any Responder
  let pool: BufferPool
  let capacity: Capacity
  let compute: ComputePool
  let mailbox: Mailbox
  private let acceptingMailbox: Mailbox

  let headTimeout: Int64
  let bodyTimeout: Int64
  let idleTimeout: Int64

  private(set) var now = Clock.now
  private(set) var isDraining = false
  private(set) var date = HTTPDate.format(Clock.wallSeconds)

  let readiness: any Readiness
  private var acceptor: Acceptor?
  var connections = ConnectionTable()
  /// Receives large bodies and nothing else.
  let isBulk: Bool
  /// Heads that came lately, on any connection of this loop.
  var recentHeads = RecentHeads()
  /// Connections whose stream holds bytes that no event will announce.
  private var resuming: [UInt64] = []
  /// The memory of the turn before.
  private var spareTurn: [UInt64] = []
  private var nextID: UInt64
  private let idStep: UInt64
  var headBuffers: [[UInt8]] = []
  /// An answer that is out, for the memory of the next one.
  var spareResponse = Response(status: 200)
  private let ciphertextBuffers = CiphertextBuffers()
  private var isStopping = false
  private var isStopped = false
  /// While the server stops: from when on an empty queue means that nothing is to come.
  private var listeningEndsAt: Int64 = 0
  private var nextSweep: Int64 = 0
  private var nextDate: Int64 = 0
  private var nextTrim: Int64 = 0
  private let sweepInterval: Int64

  private static let mailboxToken = UInt64.max
  private static let firstListenerToken = UInt64.max - 1024

  init(
    index: Int, shared: ServerShared, acceptor: Acceptor?
  ) throws(SystemError) {
    self.shared = shared
    configuration = shared.configuration
    responder = shared.responder
    pool = shared.pool
    capacity = shared.capacity
    mailbox = shared.mailboxes[index]
    acceptingMailbox = shared.mailboxes[0]
    headTimeout = configuration.headTimeout.nanoseconds
    bodyTimeout = configuration.bodyTimeout.nanoseconds
    idleTimeout = configuration.idleTimeout.nanoseconds
    isBulk = index >= configuration.briefLoopCount
    compute = isBulk ? shared.bulkCompute : shared.compute
    // Deadlines are looked at often enough to be at most a tenth late.
    sweepInterval = min(max(min(headTimeout, bodyTimeout, idleTimeout) / 10, 10_000_000), 1_000_000_000)
    nextID = UInt64(index)
    idStep = UInt64(shared.mailboxes.count)
    readiness = try configuration.readiness.make()
    try readiness.add(mailbox.descriptor, token: Self.mailboxToken, .read)
    self.acceptor = acceptor
    try registerListeners()
  }

  // MARK: Running

  func run() {
    var events: [ReadinessEvent] = []
    var messages: [Mailbox.Message] = []
    while !isStopped {
      events.removeAll(keepingCapacity: true)
      readiness.wait(milliseconds: waitMilliseconds, into: &events)
      now = Clock.now
      for event in events {
        switch event.token {
        case Self.mailboxToken:
          messages = mailbox.takeAll(spare: messages)
          for message in messages { handle(message) }
          messages.removeAll(keepingCapacity: true)
        case Self.firstListenerToken..<Self.mailboxToken: accept(atMost: Self.acceptedPerTurn)
        default: connections[event.token]?.ready(event)
        }
      }
      resumeConnections()
      if now >= nextSweep { sweep() }
    }
    unregisterListeners()
    acceptor = nil
    for connection in connections.all { connection.abort() }
    for message in mailbox.takeAll(spare: []) { discard(message) }
  }

  /// The time now, for measuring a step within one turn of the loop.
  func freshNow() -> Int64 {
    now = Clock.now
    return now
  }

  /// What a peer that moves `bytes` at the minimum rate has earned on top of its grace.
  func earnedTime(bytes: Int) -> Int64 {
    Int64(bytes) &* 1_000_000_000 / Int64(max(configuration.minimumBytesPerSecond, 1))
  }

  /// How long, in nanoseconds, a receiver may poll a socket that is empty for the moment.
  func receiveSpin(isUnix: Bool) -> Int64 {
    // A large body is worth its wake-ups, and busy polling would keep a processor from small requests.
    isBulk ? 0 : configuration.receiveSpin(isUnix: isUnix, busyCount: capacity.busyCount).nanoseconds
  }

  /// Whether a brief computation is best done here: handed over, it would wait to be fetched, and its bytes for another
  /// core's cache.
  ///
  /// True while nobody's body is arriving and nobody is computed for; and again when more requests are under way than
  /// there are processors, if each of these has a loop: then no processor is free that a hand-over could win.
  var gainsNothingFromPool: Bool {
    let busyCount = capacity.busyCount
    return busyCount == 0
      || (busyCount > configuration.processorCount
        && configuration.eventLoops >= configuration.processorCount)
  }

  /// Whether what the loop does at length keeps nobody waiting but clients that connect meanwhile.
  var servesOneConnection: Bool { connections.count == 1 && !isBulk }

  /// A permit for one more request of `client`, which may take the place of another's that waits.
  func takeInFlight(for client: UInt64) -> Bool {
    capacity.takeInFlight() || (makeRoomInQueue(for: client) && capacity.takeInFlight())
  }

  /// Rejects a request that waits, of a client that has more of them or may be gone.
  func makeRoomInQueue(for client: UInt64) -> Bool {
    compute.displace(for: client) || (isBulk ? shared.compute : shared.bulkCompute).displace(for: client)
  }

  /// Has `connection` read in the next turn, whether or not an event comes for it.
  func resumeLater(_ connection: Connection) { resuming.append(connection.token) }

  private func resumeConnections() {
    guard !resuming.isEmpty else { return }
    var turn: [UInt64] = []
    swap(&turn, &spareTurn)
    swap(&turn, &resuming)
    for token in turn { connections[token]?.resume() }
    turn.removeAll(keepingCapacity: true)
    swap(&turn, &spareTurn)
  }

  private var waitMilliseconds: Int32 {
    guard resuming.isEmpty else { return 0 }
    // With nothing to watch there is nothing to sweep, except the pool, once in a while.
    let interval = connections.isEmpty && !isStopping ? 1_000_000_000 : max(nextSweep &- now, 0)
    return Int32(min(interval, 1_000_000_000) / 1_000_000 + 1)
  }

  private func handle(_ message: Mailbox.Message) {
    switch message {
    case .adopt(let descriptor, let remote, let preamble, let isOverCapacity):
      adopt(FileDescriptor(owning: descriptor), remote, preamble, isOverCapacity: isOverCapacity)
    case .takeOver(let moved): takeOver(moved)
    case .computed(let token, let response, var reservation, let nanoseconds):
      capacity.release(&reservation)
      connections[token]?.computed(response, nanoseconds: nanoseconds)
    case .drain:
      isDraining = true
      for connection in connections.all { connection.drain() }
    case .stopListening:
      isDraining = true
      isStopping = true
      refuseConnections()
      sweep()
    case .roomToAccept: resumeAccepting()
    case .stop: isStopped = true
    case .answer(let question): question.answer()
    }
  }

  private func sweep() {
    now = Clock.now
    nextSweep = now &+ (isStopping && acceptor != nil ? Self.stoppingSweepInterval : sweepInterval)
    if now >= nextDate {
      nextDate = now &+ 1_000_000_000
      date = HTTPDate.format(Clock.wallSeconds)
    }
    for connection in connections.all {
      if isStopping { connection.closeIfIdle(for: Self.drainGrace) }
      if now > connection.deadline { connection.deadlinePassed() }
      connection.forgetGonePeer()
    }
    if mailbox === acceptingMailbox, now >= nextTrim {
      nextTrim = now &+ Self.trimInterval
      pool.trim()
      ProcessMemory.trim(above: configuration.residentBytes)
    }
    if isStopping {
      endListeningIfPossible()
    } else if let resumeAt = acceptor?.pausedUntil, now >= resumeAt {
      resumeAccepting()
    }
  }

  // MARK: Connections

  /// The one place that chooses what moves a connection's bytes.
  ///
  /// - Returns: nil when there is no memory for another TLS session; the descriptor is closed.
  private func makeStream(
    _ socket: consuming FileDescriptor, _ remote: String, _ preamble: Preamble
  ) -> (any ByteStream)? {
    guard !preamble.isProxied else {
      let isTLS = preamble.isTLS
      return makeStream(socket, remote, Preamble(isTLS: isTLS, isProxied: false)).map {
        ProxiedStream($0, isTLS: isTLS)
      }
    }
    guard preamble.isTLS else { return SocketStream(socket, budget: descriptorBudget(remote)) }
    guard let tls = configuration.tls else {
      preconditionFailure("no server starts with a TLS listener and without TLS")
    }
    return try? TLSStream(socket, context: tls.current, buffers: ciphertextBuffers)
  }

  private func adopt(
    _ socket: consuming FileDescriptor, _ remote: String, _ preamble: Preamble, isOverCapacity: Bool
  ) {
    let id = nextID
    nextID &+= idStep
    guard let stream = makeStream(socket, remote, preamble) else {
      capacity.connectionClosed()
      shared.connectionEnded()
      return
    }
    watch(stream, id: id, remote, isOverCapacity: isOverCapacity)
  }

  /// Begins to serve a connection; nil when there is no room for another, and then it is closed.
  @discardableResult
  func watch(_ stream: any ByteStream, id: UInt64, _ remote: String, isOverCapacity: Bool) -> Connection? {
    let token = connections.reserve()
    let connection = Connection(
      id: id, token: token, stream: stream, remote: remote, isOverCapacity: isOverCapacity, loop: self)
    do throws(SystemError) {
      guard connection.holdSession() else { throw SystemError("memory for a TLS session", code: ENOMEM) }
      try readiness.add(stream.descriptor, token: token, .read)
      connections.insert(connection, at: token)
      return connection
    } catch {
      connections.remove(token)
      // The descriptor closes with the stream.
      connection.releaseSession()
      capacity.connectionClosed()
      shared.connectionEnded()
      return nil
    }
  }

  func setInterest(_ interest: Interest, of connection: Connection) {
    do {
      try readiness.modify(connection.stream.descriptor, token: connection.token, interest)
    } catch {
      connection.abort()
    }
  }

  func closed(_ connection: Connection) {
    guard connections.remove(connection.token) else { return }
    // The descriptor outlives this call if the caller is on the connection's stack: stop watching it now.
    readiness.remove(connection.stream.descriptor, token: connection.token)
    connection.releaseSession()
    capacity.connectionClosed()
    if acceptor != nil {
      resumeAccepting()
    } else if capacity.connectionCount >= configuration.maximumConnections, !isDraining {
      acceptingMailbox.send(.roomToAccept)
    }
    // Whether or not this loop knows yet that the server stops: another may have ended listening already.
    shared.connectionEnded()
  }

  // MARK: Accepting

  private func registerListeners() throws(SystemError) {
    for (offset, listener) in (acceptor?.listeners ?? []).enumerated() {
      try readiness.add(listener.descriptor, token: Self.firstListenerToken + UInt64(offset), .read)
    }
  }

  /// What the loop accepts before it turns to the connections that it has, about a quarter of a millisecond.
  private static let acceptedPerTurn = 64

  /// Accepts until nothing waits, or there is no room.
  ///
  /// - Returns: whether nothing waits any more.
  @discardableResult
  private func accept(atMost limit: Int) -> Bool {
    let hardCap = configuration.maximumConnections + TransportConfiguration.probeReserve
    for _ in 0..<limit {
      guard capacity.connectionCount < hardCap else {
        pauseAccepting(until: .max)
        return false
      }
      switch acceptor?.accept() {
      case .connection(let descriptor, let remote, let preamble):
        let isOverCapacity = capacity.connectionCount >= configuration.maximumConnections
        capacity.connectionOpened()
        let target = acceptor?.nextMailbox()
        if let target, target !== mailbox {
          target.send(
            .adopt(descriptor: descriptor, remote: remote, preamble: preamble, isOverCapacity: isOverCapacity)
          )
        } else {
          adopt(FileDescriptor(owning: descriptor), remote, preamble, isOverCapacity: isOverCapacity)
        }
      case .exhausted:
        pauseAccepting(until: now &+ Self.acceptPause)
        return false
      case .some(.none), nil: return true
      }
    }
    return false
  }

  /// A listening socket that is ready but not accepted from would wake the loop again and again.
  private func pauseAccepting(until time: Int64) {
    guard acceptor != nil, acceptor?.pausedUntil == nil else { return }
    unregisterListeners()
    acceptor?.pausedUntil = time
    capacity.acceptingPaused()
  }

  private func unregisterListeners() {
    for (offset, listener) in (acceptor?.listeners ?? []).enumerated() {
      readiness.remove(listener.descriptor, token: Self.firstListenerToken + UInt64(offset))
    }
  }

  private func resumeAccepting() {
    guard acceptor?.pausedUntil != nil, !isStopping else { return }
    acceptor?.pausedUntil = nil
    do {
      try registerListeners()
    } catch {
      pauseAccepting(until: now &+ Self.acceptPause)
    }
  }

  // MARK: The end of accepting

  /// From here on only sweeps accept, until what has begun to connect is served.
  private func refuseConnections() {
    guard acceptor != nil else { return }
    unregisterListeners()
    let mayBeUnderWay = acceptor?.refuseConnections() ?? false
    listeningEndsAt = mayBeUnderWay ? now &+ Self.handshakeTime : now
  }

  /// Closes the listening sockets once nothing waits in them: closing resets what does.
  private func endListeningIfPossible() {
    guard acceptor != nil, accept(atMost: .max), now >= listeningEndsAt else { return }
    acceptor = nil
    shared.listeningEnded()
  }
}
