import HTTP1

/// One accepted connection: moves bytes between a stream and the pure values of HTTP1.
///
/// Confined to its event loop, which is why nothing here is locked or sendable. What happens next is decided by
/// `ConnectionState`; this class carries it out.
final class Connection {
  let id: UInt64
  /// Under which the loop finds it.
  let token: UInt64
  let stream: any ByteStream
  /// Who is at the other end, or for whom the balancer there speaks.
  private(set) var remote: String
  let isUnix: Bool
  /// Accepted from the reserve beyond the connection cap: only probes are answered.
  private let isOverCapacity: Bool
  /// Let go of with the connection, which the loop's table holds only while it is open.
  let loop: EventLoop

  var state = ConnectionState()
  private var parser: RequestParser
  private var interest: Interest = .read
  /// Monotonic nanoseconds after which the current phase has taken too long.
  var deadline: Int64
  private var lastActivity: Int64
  private var isHandshaking: Bool

  /// Raw bytes received before the current message's framing was known; consumed up to `inputStart`.
  var input: [UInt8] = []
  var inputStart = 0
  /// What of the memory of buffers is counted as this connection's.
  var bufferBytes = 0
  /// The same of its TLS session.
  var sessionBytes = 0
  /// Whose turn its requests take in the queue: all connections of an address share one.
  private(set) var client: UInt64
  /// Known while a request is computed only: then nobody reads.
  var peerHasEnded = false
  private var isParsing = false
  private var isResuming = false

  var exchange = ExchangeProgress()
  /// Beside `exchange`: reading into it takes long, and much of `exchange` is read meanwhile.
  var body: BodyReceiver?
  var output = ResponseWriter()

  init(
    id: UInt64, token: UInt64, stream: any ByteStream, remote: String, isOverCapacity: Bool, loop: EventLoop
  ) {
    self.id = id
    self.token = token
    self.stream = stream
    self.remote = remote
    isUnix = remote == SocketAddress.unixRemote
    client = Self.client(at: remote)
    self.isOverCapacity = isOverCapacity
    self.loop = loop
    parser = RequestParser(limits: loop.configuration.headLimits)
    lastActivity = loop.now
    // A handshake is to end as soon as a head.
    deadline = loop.now &+ (stream.isHandshaking ? min(loop.headTimeout, loop.idleTimeout) : loop.idleTimeout)
    isHandshaking = stream.isHandshaking
    if loop.isDraining { state.drain() }
  }

  /// - Parameter remote: an address with its port, of which all connections of a client but the port are the same.
  private static func client(at remote: String) -> UInt64 {
    UInt64(
      truncatingIfNeeded: remote.utf8.lastIndex(of: UInt8(ascii: ":")).map { remote[..<$0].hashValue } ?? 0)
  }

  // MARK: What the loop reports

  func ready(_ event: ReadinessEvent) {
    if event.isBroken, state.phase == .responding || state.phase == .writing {
      return abort()
    }
    if event.hasPeerEnded, state.phase == .responding || state.phase == .writing { peerFinishedSending() }
    if event.isWritable { state.phase == .writing ? writeResponse() : flushStream() }
    if event.isReadable || event.isBroken || event.hasPeerEnded { receive() }
  }

  /// The stream holds bytes that no readiness event will announce.
  func resume() {
    isResuming = false
    // An event may have come first and brought all there was.
    guard state.phase != .responding, state.phase != .writing else { return }
    receive()
  }

  /// The compute pool is done with this connection's request.
  func computed(_ response: Response, nanoseconds: Int64) {
    guard state.phase == .responding else { return }
    exchange.respondNanoseconds = nanoseconds
    exchange.job = nil
    peerHasEnded = false
    // An answer can be far larger than its request, and waits for a client that reads slowly or not at all.
    if response.body.count > EventLoop.headReadSize, !response.isBodyShared {
      guard loop.capacity.takeBodyBytes(response.body.count) else {
        return start(loop.responder.refuse(.noMemoryBudget, head: exchange.head))
      }
      exchange.reservation.bytes = response.body.count
    }
    start(response)
  }

  func deadlinePassed() { perform(state.deadlinePassed()) }

  func drain() { state.drain() }

  /// While the server stops, an idle connection gets `grace` nanoseconds to send a request that may be on its
  /// way; it will be answered, with `Connection: close`.
  func closeIfIdle(for grace: Int64) {
    if state.phase == .idle, loop.now &- lastActivity >= grace { perform(.close) }
  }

  /// The server stops now.
  func abort() {
    finishExchange(isBroken: true)
    state.aborted()
    close()
  }

  // MARK: Actions

  func perform(_ action: ConnectionState.Action) {
    switch action {
    case .readHead: readNextHead()
    case .readBody(let sendsContinue): readBody(sendsContinue: sendsContinue)
    case .respond: respond()
    case .refuse(let refusal): refuse(refusal)
    case .linger: linger()
    case .close: close()
    case .none: break
    }
  }

  func receive() {
    switch state.phase {
    case .idle, .receivingHead: receiveHead()
    case .receivingBody: receiveBody()
    case .lingering: discardInput()
    // Back-pressure: what a client sends ahead of its answer waits in the kernel. Disarmed lazily, since
    // hardly any client does.
    case .responding, .writing:
      if !peerHasEnded, PeerState.hasEnded(stream.descriptor) { peerFinishedSending() }
      guard state.phase != .closed else { return }
      return arm(interest.subtracting([.read, .end]).union(peerHasEnded ? [] : .end))
    case .closed: return
    }
    if stream.hasPendingOutput { flushStream() }
    if stream.hasBufferedInput { resumeLater() }
  }

  /// Sends what the stream has to say by itself: its side of a handshake.
  private func flushStream() {
    guard state.phase != .closed else { return }
    switch stream.flush() {
    case .bytes: arm(interest.subtracting(.write))
    case .wouldBlock: arm(interest.union(.write))
    case .failed: abort()
    }
  }

  /// In the loop's next turn, so that others have theirs first.
  func resumeLater() {
    switch state.phase {
    case .responding, .writing, .closed: return
    case .idle, .receivingHead, .receivingBody, .lingering: break
    }
    guard !isResuming else { return }
    isResuming = true
    loop.resumeLater(self)
  }

  // MARK: Head

  private func receiveHead() {
    // What the last turn left comes first, and nothing is read behind it meanwhile.
    if state.phase == .idle, inputStart < input.count {
      parseHeads()
      giveBackHeadBuffer()
      return settleInput()
    }
    if input.capacity - input.count < EventLoop.headReadSize {
      if input.isEmpty {
        input = loop.takeHeadBuffer()
      } else {
        input.reserveCapacity(max(2 * input.count, input.count + EventLoop.headReadSize))
      }
    }
    switch stream.read(into: &input, atMost: EventLoop.headReadSize) {
    case .bytes:
      if isHandshaking { learnPeer() }
      parseHeads()
    case .wouldBlock: handshakeMayBeOver()
    case .end: perform(state.inputEnded())
    case .failed: abort()
    case .notTLS:
      refuse(.framing(FramingError("this port speaks TLS; send the request to an https:// address")))
    case .notProxied(let error): refuse(.framing(error))
    }
    giveBackHeadBuffer()
    settleInput()
  }

  /// Takes the balancer's word for who the client is.
  private func learnPeer() {
    guard let peer = stream.announcedPeer, peer != remote else { return }
    remote = peer
    client = Self.client(at: peer)
  }

  private func handshakeMayBeOver() {
    guard isHandshaking, !stream.isHandshaking else { return }
    isHandshaking = false
    learnPeer()
    // The first bytes of a head may have come along with the end of the handshake: its own deadline is set.
    guard state.phase == .idle else { return }
    lastActivity = loop.now
    deadline = loop.now &+ loop.idleTimeout
  }

  func giveBackHeadBuffer() {
    guard inputStart == input.count, input.capacity > 0 else { return }
    inputStart = 0
    // Taken out first: a buffer with two owners would be copied instead of reused.
    var buffer: [UInt8] = []
    swap(&buffer, &input)
    loop.giveHeadBuffer(consume buffer)
  }

  /// Answers the whole requests in `input`, as many as a turn has time for, so that others are not kept waiting by one
  /// that sends ahead; iterative, so that a thousand pipelined requests need no stack.
  private func parseHeads() {
    guard !isParsing else { return }
    isParsing = true
    defer { isParsing = false }
    var turnStart: Int64?
    while inputStart < input.count, state.phase == .idle || state.phase == .receivingHead {
      if state.phase == .idle {
        let now = loop.freshNow()
        guard now &- (turnStart ?? now) < Attempt.patience else { return resumeLater() }
        turnStart = turnStart ?? now
        state.headStarted()
        exchange = ExchangeProgress(start: now)
        deadline = exchange.start &+ loop.headTimeout
      }
      do {
        guard let next = try nextHead() else { return }
        inputStart += next.known.byteCount
        received(next)
      } catch {
        refuse(.framing(error))
      }
    }
    dropStrayDescriptors()
  }

  /// The next head in `input`, or nil when more bytes are needed.
  private func nextHead() throws(FramingError) -> RecentHeads.Match? {
    if parser.isBetweenMessages, let match = loop.recentHeads.match(input, from: inputStart) { return match }
    guard case .head(let head, let byteCount) = try parser.parse(input, from: inputStart) else { return nil }
    // Framing may still be rejected, and the rejection is about this request.
    exchange.head = head
    let known = try KnownHead(
      head, bytes: input[inputStart..<(inputStart + byteCount)], resolve: loop.responder.resolve)
    loop.recentHeads.remember(known)
    return RecentHeads.Match(known)
  }

  private func received(_ match: RecentHeads.Match) {
    guard loop.serves(match.known.framing) || !handOver(match.known) else { return }
    let (head, known) = (match.head, match.known)
    exchange.head = head
    exchange.framing = known.framing
    let body = Result { () throws(SharedMemoryError) in try sharedBody(of: known.framing) }
    switch loop.responder.admit(head, framing: known.framing) {
    case .reject(let response):
      state.headRejected(wantsKeepAlive: known.wantsKeepAlive, hasBody: known.hasBodyOnTheWire)
      start(response)
    case .accept(let acceptance):
      exchange.acceptance = acceptance
      if let refusal = refusal(of: body) ?? lackOfCapacity(for: acceptance, known.framing) {
        state.headRejected(wantsKeepAlive: known.wantsKeepAlive, hasBody: known.hasBodyOnTheWire)
        start(loop.responder.refuse(refusal, head: head))
        return
      }
      perform(
        state.headAccepted(
          wantsKeepAlive: known.wantsKeepAlive, hasBody: known.hasBody,
          expectsContinue: known.expectsContinue, bodyBytesAreBuffered: inputStart < input.count))
    }
  }

  /// Has another loop go on from this head, which it will read again; false for a connection that must stay.
  private func handOver(_ known: KnownHead) -> Bool {
    guard !isOverCapacity, let descriptor = stream.duplicate() else { return false }
    let bytes = Array(input[(inputStart - known.byteCount)...])
    inputStart = input.count
    giveBackHeadBuffer()
    // The connection that takes over counts these bytes itself.
    _ = holdBuffers(0)
    state.aborted()
    loop.handOver(self, descriptor, bytes)
    return true
  }

  /// Begins with what another loop has received.
  func goOn(with bytes: [UInt8]) {
    input = loop.takeHeadBuffer()
    input.append(contentsOf: bytes)
    parseHeads()
    giveBackHeadBuffer()
  }

  /// Says why the request cannot be had now, if so, before its body is sent in vain.
  ///
  /// What it needs must be free, but is not taken: clients that announce much and send little would hold everything.
  /// Bytes are taken as they arrive, and the permit when all have.
  private func lackOfCapacity(for acceptance: Acceptance, _ framing: BodyFraming) -> Refusal? {
    let bodyBytes = framing == .none ? 0 : BodyReceiver.capacity(for: framing, acceptance)
    if let length = framing.length, length > acceptance.maximumBodyBytes {
      return .bodyTooLarge(limit: acceptance.maximumBodyBytes)
    }
    guard !acceptance.isExemptFromLimits else { return nil }
    guard !isOverCapacity else { return .tooManyConnections }
    // A body that is there already costs nothing to receive, and may turn out to be computed without the queue.
    let mayPassQueue =
      acceptance.execution == .inline
      || acceptance.execution == .prepared && bodyBytes <= input.count - inputStart
    if !mayPassQueue, loop.capacity.isQueueFull, !loop.makeRoomInQueue(for: client) { return .queueFull }
    return loop.capacity.hasRoom(forBodyBytes: bodyBytes) ? nil : .noMemoryBudget
  }

  private func readNextHead() {
    lastActivity = loop.now
    deadline = loop.now &+ loop.idleTimeout
    arm(.read)
    parseHeads()
    if stream.hasBufferedInput { resumeLater() }
  }

  // MARK: Bookkeeping

  func arm(_ wanted: Interest) {
    guard wanted != interest else { return }
    interest = wanted
    loop.setInterest(wanted, of: self)
  }

  /// Reports the exchange that just ended, if there was one, and forgets it.
  func finishExchange(isBroken: Bool) {
    takeBackJob()
    // Empty already if the request went to the responder.
    loop.pool.give(exchange.takeBody())
    dropBody()
    exchange.source = nil
    loop.capacity.release(&exchange.reservation)
    if !output.isEmpty || (isBroken && exchange.head != nil) {
      let now = exchange.writeStart == 0 ? 0 : loop.freshNow()
      loop.responder.finished(
        Exchange(
          head: exchange.head, status: isBroken && exchange.status == 0 ? 499 : exchange.status,
          annotations: exchange.annotations,
          bodyBytesReceived: exchange.bodyByteCount, bytesSent: output.sentCount,
          receiveNanoseconds: exchange.receiveNanoseconds,
          respondNanoseconds: exchange.respondNanoseconds,
          writeNanoseconds: exchange.writeStart == 0 ? 0 : now &- exchange.writeStart,
          totalNanoseconds: exchange.writeStart == 0 ? nil : now &- exchange.start,
          remoteAddress: remote,
          connection: id, isBroken: isBroken))
    }
    if bufferBytes > 0 { _ = holdBuffers(input.capacity) }
    // Told of: whatever ends the connection before its next request breaks no exchange. And the last copy goes, so that
    // the next head of its form may take its memory.
    exchange.head = nil
    loop.giveHeadBuffer(output.end())
  }

  /// Nobody waits for the answer any more: a request that no thread has begun with is not computed, and one that is
  /// being computed is given up between two steps.
  private func takeBackJob() {
    guard let job = exchange.job else { return }
    exchange.job = nil
    job.abandon()
    guard var request = loop.compute.take(job) else { return }
    loop.pool.give(request.takeBody())
    exchange.reservation = job.reservation
  }

  func close() {
    state.aborted()
    giveBackHeadBuffer()
    _ = holdBuffers(0)
    loop.closed(self)
  }
}
