import HTTP1

/// One accepted connection: moves bytes between a stream and the pure values of HTTP1.
///
/// Confined to its event loop, which is why nothing here is locked or sendable. What happens next is decided by
/// ``ConnectionState``; this class carries it out.
final class Connection {
  let id: UInt64
  let stream: any ByteStream
  let remote: String
  /// Accepted from the reserve beyond the connection cap: only probes are answered.
  private let isOverCapacity: Bool
  private unowned let loop: EventLoop

  private(set) var state = ConnectionState()
  private var parser: RequestParser
  private var interest: Readiness.Interest = .read
  /// Monotonic nanoseconds after which the current phase has taken too long.
  private(set) var deadline: Int64
  private var lastActivity: Int64

  /// Raw bytes received before the current message's framing was known; consumed up to `inputStart`.
  private var input: [UInt8] = []
  private var inputStart = 0
  private var isParsing = false

  private var exchange = ExchangeProgress()
  /// Beside `exchange`, because it decodes in place in `exchange.body`.
  private var chunks: ChunkedDecoder?

  /// Response head (and small body) being written, the large body behind it, and how much of both is out.
  private var output: [UInt8] = []
  private var outputBody: [UInt8] = []
  private var sentCount = 0

  init(id: UInt64, stream: any ByteStream, remote: String, isOverCapacity: Bool, loop: EventLoop) {
    self.id = id
    self.stream = stream
    self.remote = remote
    self.isOverCapacity = isOverCapacity
    self.loop = loop
    parser = RequestParser(limits: loop.configuration.headLimits)
    lastActivity = loop.now
    deadline = loop.now &+ loop.idleTimeout
    if loop.isDraining { state.drain() }
  }

  // MARK: What the loop reports

  func ready(_ event: Readiness.Event) {
    if event.isBroken, state.phase == .responding || state.phase == .writing {
      return abort()
    }
    if event.isWritable { flush() }
    if event.isReadable || event.isBroken { receive() }
  }

  /// The compute pool is done with this connection's request.
  func computed(_ response: Response, nanoseconds: Int64) {
    guard state.phase == .responding else { return }
    exchange.respondNanoseconds = nanoseconds
    exchange.job = nil
    // An answer can be far larger than its request, and waits for a client that reads slowly or not at all.
    if response.body.count > EventLoop.headReadSize {
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

  private func perform(_ action: ConnectionState.Action) {
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

  private func receive() {
    switch state.phase {
    case .idle, .receivingHead: receiveHead()
    case .receivingBody: receiveBody()
    case .lingering: discardInput()
    // Back-pressure: what a client sends ahead of its answer waits in the kernel. Disarmed lazily, since
    // hardly any client does.
    case .responding, .writing: arm(interest.subtracting(.read))
    case .closed: break
    }
  }

  // MARK: Head

  private func receiveHead() {
    if input.capacity - input.count < EventLoop.headReadSize {
      if input.isEmpty {
        input = loop.takeHeadBuffer()
      } else {
        input.reserveCapacity(2 * input.capacity)
      }
    }
    switch stream.read(into: &input, atMost: EventLoop.headReadSize) {
    case .bytes: parseHeads()
    case .wouldBlock: break
    case .end: perform(state.inputEnded())
    case .notTLS, .failed: abort()
    }
    giveBackHeadBuffer()
  }

  private func giveBackHeadBuffer() {
    guard inputStart == input.count, input.capacity > 0 else { return }
    inputStart = 0
    loop.giveHeadBuffer(input)
    input = []
  }

  /// Answers every whole request in `input`; iterative, so that a thousand pipelined requests need no stack.
  private func parseHeads() {
    guard !isParsing else { return }
    isParsing = true
    defer { isParsing = false }
    while inputStart < input.count, state.phase == .idle || state.phase == .receivingHead {
      if state.phase == .idle {
        state.headStarted()
        exchange = ExchangeProgress(start: loop.freshNow())
        deadline = exchange.start &+ loop.headTimeout
      }
      do {
        switch try parser.parse(input, from: inputStart) {
        case .needsMoreBytes: return
        case .head(let head, let byteCount):
          inputStart += byteCount
          try received(head)
        }
      } catch {
        refuse(.framing(error))
      }
    }
  }

  private func received(_ head: RequestHead) throws(FramingError) {
    exchange.head = head
    let framing = try BodyFraming(of: head)
    let expectation = try head.expectation()
    let hasBody = framing != .none
    switch loop.responder.admit(head, framing: framing) {
    case .reject(let response):
      state.headRejected(wantsKeepAlive: head.wantsKeepAlive, hasBody: hasBody)
      start(response)
    case .accept(let acceptance):
      exchange.acceptance = acceptance
      exchange.framing = framing
      if let refusal = reserveCapacity(for: acceptance, framing) {
        state.headRejected(wantsKeepAlive: head.wantsKeepAlive, hasBody: hasBody)
        start(loop.responder.refuse(refusal, head: head))
        return
      }
      perform(
        state.headAccepted(
          wantsKeepAlive: head.wantsKeepAlive, hasBody: hasBody,
          expectsContinue: expectation == .continueResponse,
          bodyBytesAreBuffered: inputStart < input.count))
    }
  }

  /// Takes what the request will need, or says why it cannot be had.
  private func reserveCapacity(for acceptance: Acceptance, _ framing: BodyFraming) -> Refusal? {
    var bodyBytes = 0
    switch framing {
    case .none: break
    case .length(let length):
      guard length <= acceptance.maximumBodyBytes else {
        return .bodyTooLarge(limit: acceptance.maximumBodyBytes)
      }
      bodyBytes = length
    case .chunked: bodyBytes = min(acceptance.maximumBodyBytes, Self.firstChunkedCapacity)
    }
    guard !acceptance.isExemptFromLimits else { return nil }
    guard !isOverCapacity else { return .tooManyConnections }
    if acceptance.execution == .pooled {
      guard loop.capacity.takeInFlight() else { return .queueFull }
      exchange.reservation.hasPermit = true
    }
    guard loop.capacity.takeBodyBytes(bodyBytes) else {
      loop.capacity.release(&exchange.reservation)
      return .noMemoryBudget
    }
    exchange.reservation.bytes = bodyBytes
    return nil
  }

  private func readNextHead() {
    lastActivity = loop.now
    deadline = loop.now &+ loop.idleTimeout
    arm(.read)
    parseHeads()
  }

  // MARK: Body

  private static let firstChunkedCapacity = 64 << 10
  /// Bytes read for one connection before the others get their turn.
  private static let bytesPerTurn = 4 << 20

  private func readBody(sendsContinue: Bool) {
    if sendsContinue {
      // 25 bytes on a connection with nothing else in flight always fit the socket buffer; a peer for which
      // they do not is not reading.
      let line = ResponseSerializer.continueLine
      guard stream.write(line[...], []) == .bytes(line.count) else { return abort() }
    }
    switch exchange.framing {
    case .none: break
    case .length(let length):
      exchange.body = loop.pool.take(capacity: length)
      // The only copied bytes of a body: those that came in the same read as the head.
      let prefix = min(length, input.count - inputStart)
      exchange.body.append(contentsOf: input[inputStart..<(inputStart + prefix)])
      inputStart += prefix
    case .chunked:
      exchange.body = loop.pool.take(capacity: max(Self.firstChunkedCapacity, input.count - inputStart))
      chunks = ChunkedDecoder(
        limits: loop.configuration.headLimits,
        maximumBodyBytes: exchange.acceptance?.maximumBodyBytes ?? 0)
      exchange.body.append(contentsOf: input[inputStart...])
      inputStart = input.count
    }
    giveBackHeadBuffer()
    bodyGrew()
    if state.phase == .receivingBody { receiveBody() }
  }

  /// Reads straight into the body's final place until there is nothing to read.
  private func receiveBody() {
    var turn = Self.bytesPerTurn
    while state.phase == .receivingBody, turn > 0 {
      let limit: Int
      if case .length(let length) = exchange.framing {
        limit = length - exchange.body.count
      } else {
        guard makeRoomForChunks() else { return refuse(.noMemoryBudget) }
        limit = exchange.body.capacity - exchange.body.count
      }
      switch stream.read(into: &exchange.body, atMost: limit) {
      case .bytes(let count):
        turn -= count
        exchange.receivedBytes += count
        bodyGrew()
      case .wouldBlock: return
      case .end: return perform(state.inputEnded())
      case .notTLS, .failed: return abort()
      }
    }
  }

  private func bodyGrew() {
    deadline = exchange.start &+ loop.bodyTimeout &+ loop.earnedTime(bytes: exchange.receivedBytes)
    if case .length(let length) = exchange.framing {
      if exchange.body.count == length { perform(state.bodyCompleted()) }
      return
    }
    do {
      guard case .complete(let trailing) = try chunks?.decode(&exchange.body) else { return }
      if trailing > 0 {
        // The start of the next request came along with the last chunk.
        input = loop.takeHeadBuffer()
        input.append(contentsOf: exchange.body.suffix(trailing))
        inputStart = 0
        exchange.body.removeLast(trailing)
      }
      perform(state.bodyCompleted())
    } catch {
      refuse(.framing(error))
    }
  }

  /// Chunked bodies do not tell their size: the buffer doubles, within the byte budget.
  private func makeRoomForChunks() -> Bool {
    guard exchange.body.count == exchange.body.capacity else { return true }
    let added = exchange.body.capacity
    if exchange.acceptance?.isExemptFromLimits != true {
      guard loop.capacity.takeBodyBytes(added) else { return false }
      exchange.reservation.bytes += added
    }
    var larger = loop.pool.take(capacity: exchange.body.capacity + added)
    larger.append(contentsOf: exchange.body)
    swap(&larger, &exchange.body)
    loop.pool.give(consume larger)
    return true
  }

  // MARK: Response

  private func respond() {
    guard let head = exchange.head, let acceptance = exchange.acceptance else {
      preconditionFailure("a response needs an admitted request")
    }
    let now = loop.freshNow()
    exchange.receiveNanoseconds = now &- exchange.start
    exchange.bodyByteCount = exchange.body.count
    var request = Request(
      head: head, body: exchange.takeBody(), receiveDuration: .nanoseconds(exchange.receiveNanoseconds))
    var execution = acceptance.execution
    if execution == .inline, !acceptance.isExemptFromLimits, !loop.responder.mayRespondInline(to: request) {
      // Only its head looked cheap, so it has no permit yet.
      guard loop.capacity.takeInFlight() else {
        loop.pool.give(request.takeBody())
        loop.capacity.release(&exchange.reservation)
        return start(loop.responder.refuse(.queueFull, head: head))
      }
      exchange.reservation.hasPermit = true
      execution = .pooled
    }
    switch execution {
    case .pooled:
      deadline = .max
      // What the request holds goes with it: the connection may be gone when it comes back.
      let job = ComputePool.Job(
        consume request, connection: id, mailbox: loop.mailbox, reservation: exchange.reservation)
      exchange.job = job
      loop.compute.submit(job)
      exchange.reservation = Reservation()
    case .inline:
      let response = loop.responder.respond(to: request)
      exchange.respondNanoseconds = loop.freshNow() &- now
      loop.pool.give(request.takeBody())
      loop.capacity.release(&exchange.reservation)
      start(response)
    }
  }

  private func refuse(_ refusal: Refusal) {
    state.refused()
    start(loop.responder.refuse(refusal, head: exchange.head))
  }

  private func start(_ response: Response) {
    let keepAlive = state.responseStarted(closes: response.closesConnection)
    exchange.status = response.status
    exchange.annotations = response.annotations
    exchange.writeStart = loop.freshNow()
    output = loop.takeHeadBuffer()
    ResponseSerializer.appendHead(
      response, keepAlive: keepAlive, version: exchange.head?.version ?? .http11, date: loop.date, to: &output
    )
    if exchange.head?.method != "HEAD" {
      // A small body rides along with its head; a large one is sent from where it is.
      if response.body.count <= EventLoop.headReadSize - output.count {
        output.append(contentsOf: response.body)
      } else {
        outputBody = response.body
      }
    }
    sentCount = 0
    flush()
  }

  private func flush() {
    guard state.phase == .writing else { return }
    let total = output.count + outputBody.count
    while sentCount < total {
      let first = output[min(sentCount, output.count)...]
      let second = outputBody[max(0, sentCount - output.count)...]
      switch first.isEmpty ? stream.write(second, []) : stream.write(first, second) {
      case .bytes(let count): sentCount += count
      case .wouldBlock:
        deadline = exchange.writeStart &+ loop.bodyTimeout &+ loop.earnedTime(bytes: sentCount)
        arm(.write)
        return
      case .failed: return abort()
      }
    }
    finishExchange(isBroken: false)
    perform(state.responseWritten())
  }

  private func linger() {
    stream.finishWriting()
    deadline = loop.now &+ EventLoop.lingerTime
    arm(.read)
    discardInput()
  }

  private func discardInput() {
    if input.capacity - input.count < EventLoop.headReadSize { input = loop.takeHeadBuffer() }
    var turn = Self.bytesPerTurn
    while turn > 0 {
      input.removeAll(keepingCapacity: true)
      inputStart = 0
      switch stream.read(into: &input, atMost: EventLoop.headReadSize) {
      case .bytes(let count): turn -= count
      case .wouldBlock: return
      case .end, .notTLS, .failed: return close()
      }
    }
  }

  // MARK: Bookkeeping

  private func arm(_ wanted: Readiness.Interest) {
    guard wanted != interest else { return }
    interest = wanted
    loop.setInterest(wanted, of: self)
  }

  /// Reports the exchange that just ended, if there was one, and forgets it.
  private func finishExchange(isBroken: Bool) {
    takeBackJob()
    // Empty already if the request went to the responder.
    loop.pool.give(exchange.takeBody())
    loop.capacity.release(&exchange.reservation)
    if !output.isEmpty || (isBroken && exchange.head != nil) {
      let now = loop.freshNow()
      loop.responder.finished(
        Exchange(
          head: exchange.head, status: isBroken && exchange.status == 0 ? 499 : exchange.status,
          annotations: exchange.annotations,
          bodyBytesReceived: exchange.bodyByteCount, bytesSent: sentCount,
          receive: .nanoseconds(exchange.receiveNanoseconds),
          respond: .nanoseconds(exchange.respondNanoseconds),
          write: .nanoseconds(exchange.writeStart == 0 ? 0 : now &- exchange.writeStart),
          remoteAddress: remote,
          connection: id, isBroken: isBroken))
    }
    if output.capacity > 0 { loop.giveHeadBuffer(output) }
    output = []
    outputBody = []
    sentCount = 0
  }

  /// Nobody waits for the answer any more: a request that no thread has begun with is not computed.
  private func takeBackJob() {
    guard let job = exchange.job else { return }
    exchange.job = nil
    guard var request = job.takeRequest() else { return }
    loop.pool.give(request.takeBody())
    exchange.reservation = job.reservation
  }

  private func close() {
    state.aborted()
    giveBackHeadBuffer()
    loop.closed(self)
  }
}
