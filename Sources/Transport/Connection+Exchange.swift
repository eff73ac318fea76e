import HTTP1

// One request's body and its answer; what happens next is decided in Connection.swift.

extension Connection {
  // MARK: Body

  func readBody(sendsContinue: Bool) {
    if sendsContinue {
      // 25 bytes on a connection with nothing else in flight always fit the socket buffer; a peer for which
      // they do not is not reading.
      let line = ResponseSerializer.continueLine
      guard stream.write(line[...], []) == .bytes(line.count) else { return abort() }
    }
    guard let acceptance = exchange.acceptance else { preconditionFailure("a body needs an admitted head") }
    if answerFromStart() { return }
    if takeSmallBody(acceptance) { return bodyCompleted() }
    let prefixCount = BodyReceiver.prefixCount(exchange.framing, available: input.count - inputStart)
    let whole = BodyReceiver.capacity(for: exchange.framing, acceptance, available: prefixCount)
    let capacity = hasRoomAtOnce(whole) ? whole : BodyReceiver.firstCapacity(available: prefixCount)
    body = BodyReceiver(
      exchange.framing, acceptance, into: loop.pool.take(capacity: capacity),
      prefix: input[inputStart..<(inputStart + prefixCount)], limits: loop.configuration.headLimits,
      makeWindow: loop.takeHeadBuffer)
    loop.capacity.bodyBegan()
    inputStart += prefixCount
    giveBackHeadBuffer()
    receiveBody()
  }

  /// Whether a body may have all its room before it has come; else its buffer grows with it.
  private func hasRoomAtOnce(_ count: Int) -> Bool {
    guard count > BodyReceiver.firstCapacity else { return true }
    guard loop.capacity.takeRoom(count) else { return false }
    exchange.roomBytes = count
    return true
  }

  /// Takes a small plain body that came whole with its head, in a buffer of the loop's: nothing is left to receive.
  private func takeSmallBody(_ acceptance: Acceptance) -> Bool {
    guard case .length(let length) = exchange.framing, acceptance.contentCoding == nil,
      length <= min(EventLoop.headReadSize, input.count - inputStart),
      acceptance.isExemptFromLimits || loop.capacity.takeBodyBytes(length)
    else { return false }
    exchange.reservation.bytes = acceptance.isExemptFromLimits ? 0 : length
    exchange.body = loop.takeHeadBuffer()
    exchange.body.append(contentsOf: input[inputStart..<(inputStart + length)])
    inputStart += length
    giveBackHeadBuffer()
    return true
  }

  func receiveBody() {
    do {
      while true {
        let turn = loop.servesOneConnection ? BodyReceiver.bytesPerLoneTurn : BodyReceiver.bytesPerTurn
        guard
          let progress = try body?.receive(
            from: (exchange.source as (any ByteSource)?) ?? stream, turn: turn,
            spin: loop.receiveSpin(isUnix: isUnix))
        else { return }
        deadline =
          exchange.start &+ loop.bodyTimeout &+ loop.earnedTime(bytes: body?.receivedCount ?? 0)
        guard holdReceivedBytes(), progress == .complete || holdHead() else { return refuse(.noMemoryBudget) }
        switch progress {
        case .needsRoom: growBody()
        case .complete: return bodyCompleted()
        case .turnIsOver: return resumeLater()
        case .wouldBlock: return
        case .ended:
          if let source = exchange.source { return refuse(.sharedMemory(source.failure)) }
          return perform(state.inputEnded())
        case .failed: return abort()
        }
      }
    } catch {
      refuse(error)
    }
  }

  private func bodyCompleted() {
    if body != nil { exchange.body = body?.takeBytes() ?? [] }
    exchange.source = nil
    exchange.bodyByteCount = exchange.body.count
    if let leftover = body?.leftover, !leftover.isEmpty {
      input = loop.takeHeadBuffer()
      input.append(contentsOf: leftover)
      inputStart = 0
    }
    dropBody()
    perform(state.bodyCompleted())
  }

  func dropBody() {
    guard body != nil else { return }
    loop.capacity.bodyEnded()
    if exchange.roomBytes > 0 { loop.capacity.giveRoom(exchange.roomBytes) }
    exchange.roomBytes = 0
    if let window = body?.takeWindow() { loop.giveHeadBuffer(window) }
    if let unfinished = body?.takeBytes() { loop.pool.give(unfinished) }
    body = nil
  }

  /// Counts what has arrived against the byte budget; false when that is used up.
  ///
  /// The rest of a large buffer is address space that nobody has touched, or memory of the pool, which has a bound.
  private func holdReceivedBytes() -> Bool {
    guard exchange.acceptance?.isExemptFromLimits != true else { return true }
    let added = (body?.heldBytes ?? 0) - exchange.reservation.bytes
    guard added > 0 else { return true }
    guard loop.capacity.takeBodyBytes(added, beside: exchange.reservation.bytes) else { return false }
    exchange.reservation.bytes += added
    return true
  }

  private func growBody() {
    let capacity = body?.largerCapacity ?? 0
    if let old = body?.grow(into: loop.pool.take(capacity: capacity)) { loop.pool.give(old) }
  }

  // MARK: Response

  func respond() {
    guard let head = exchange.head, let acceptance = exchange.acceptance else {
      preconditionFailure("a response needs an admitted request")
    }
    let now = loop.freshNow()
    exchange.receiveNanoseconds = now &- exchange.start
    var request = Request(
      head: head, body: exchange.takeBody(), receiveNanoseconds: exchange.receiveNanoseconds)
    let placement = loop.placement(of: &request, acceptance)
    if placement != .pool, compute(request, boundedly: placement == .attempt) {
      request.preparation = nil
      return loop.giveBodyBuffer(request.takeBody())
    }
    if !acceptance.isExemptFromLimits {
      guard loop.takeInFlight(for: client) else {
        loop.pool.give(request.takeBody())
        loop.capacity.release(&exchange.reservation)
        return start(loop.responder.refuse(.queueFull, head: head))
      }
      exchange.reservation.hasPermit = true
    }
    deadline = .max
    // What the request holds goes with it: the connection may be gone when it comes back.
    let job = ComputePool.Job(
      request, connection: token, client: client, mailbox: loop.mailbox, reservation: exchange.reservation)
    // The job is the only owner of its buffer, before a thread can begin with it.
    _ = request.takeBody()
    request.preparation = nil
    exchange.job = job
    loop.compute.submit(job)
    exchange.reservation = Reservation()
  }

  /// Computes a request on this loop and begins to answer, in buffers that the last answer left.
  ///
  /// - Parameter boundedly: whether to give up after a while.
  /// - Returns: false where the pool is to compute it: it took too long, or there is no memory for it now.
  private func compute(_ request: Request, boundedly: Bool) -> Bool {
    let now = loop.now
    var request = request
    var attempt: Attempt?
    var memory: InlineMemory?
    if boundedly {
      let limit = Attempt(until: now &+ Attempt.patience)
      request.isAbandoned = { limit.mustStop() }
      attempt = limit
    }
    if request.preparation != nil {
      let held = InlineMemory(loop.capacity)
      request.useMemory = { held.use($0) }
      memory = held
    }
    var response = loop.takeSpareResponse()
    loop.responder.respond(to: request, into: &response)
    guard attempt?.isOver != true, memory?.wasRefused != true else { return false }
    exchange.respondNanoseconds = loop.freshNow() &- now
    loop.capacity.release(&exchange.reservation)
    start(response)
    loop.giveSpareResponse(consume response)
    return true
  }

  func refuse(_ refusal: Refusal) {
    state.refused()
    start(loop.responder.refuse(refusal, head: exchange.head))
  }

  func start(_ response: Response) {
    let keepAlive = state.responseStarted(closes: response.closesConnection)
    exchange.status = response.status
    exchange.annotations = response.annotations
    // An answer that was just computed has this turn's time already.
    exchange.writeStart = loop.now
    var head = loop.takeHeadBuffer()
    ResponseSerializer.appendHead(
      response, keepAlive: keepAlive, version: exchange.head?.version ?? .http11, date: loop.date, to: &head)
    output.begin(
      head: consume head, body: exchange.head?.method == "HEAD" ? [] : response.body,
      isBodyShared: response.isBodyShared)
    writeResponse()
  }

  func writeResponse() {
    guard state.phase == .writing else { return }
    switch output.write(to: stream) {
    case .complete:
      finishExchange(isBroken: false)
      perform(state.responseWritten())
    case .wouldBlock:
      guard settleOutput() else { return abort() }
      deadline = exchange.writeStart &+ loop.bodyTimeout &+ loop.earnedTime(bytes: output.sentCount)
      arm(.write)
    case .failed: abort()
    }
  }

  func linger() {
    stream.finishWriting()
    deadline = loop.now &+ EventLoop.lingerTime
    arm(.read)
    inputStart = input.count
    giveBackHeadBuffer()
    _ = holdBuffers(0)
    discardInput()
  }

  func discardInput() {
    // The loop's: thousands of connections may linger.
    var scratch = loop.takeHeadBuffer()
    var turn = BodyReceiver.bytesPerTurn
    var outcome = ReadOutcome.bytes(0)
    while turn > 0, case .bytes = outcome {
      scratch.removeAll(keepingCapacity: true)
      outcome = stream.read(into: &scratch, atMost: EventLoop.headReadSize)
      turn -= scratch.count
    }
    loop.giveHeadBuffer(consume scratch)
    switch outcome {
    case .bytes, .wouldBlock: break
    case .end, .failed, .notTLS, .notProxied: close()
    }
  }
}
