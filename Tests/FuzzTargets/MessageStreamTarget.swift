import HTTP1

extension FuzzTarget {
  /// A connection's whole input: parser, framing, chunks and connection state together, message after message.
  static let messageStream = FuzzTarget("message-stream", maximumBytes: 2048) { bytes throws(BrokenLaw) in
    let whole = PureConnection.events(bytes, deliveredIn: [bytes.count])
    let inPieces = PureConnection.events(bytes, deliveredIn: Cuts.chosen(by: bytes))
    try require(whole == inPieces, "cuts do not change what a connection reads: \(whole) and \(inPieces)")
    let bytewise = PureConnection.events(bytes, deliveredIn: Cuts.bytewise(bytes))
    try require(whole == bytewise, "bytewise delivery changes nothing: \(whole) and \(bytewise)")
    try require(whole.last == .closed, "a connection whose input ended is closed")
  }
}

/// What the transport's Connection does, without a socket: same calls, same order, answers at once.
struct PureConnection {
  enum Event: Equatable {
    case head(RequestHead, BodyFraming)
    case rejected(RequestHead)
    case body([UInt8])
    case refused(Refusal)
    case answered(keepsAlive: Bool)
    case closed
  }

  private static let maximumBodyBytes = 300

  private var events: [Event] = []
  private var state = ConnectionState()
  private var parser = RequestParser(limits: .low)
  private var input: [UInt8] = []
  private var inputStart = 0
  private var framing = BodyFraming.none
  private var body: [UInt8] = []
  private var chunks: ChunkedDecoder?

  static func events(_ bytes: [UInt8], deliveredIn ends: some Sequence<Int>) -> [Event] {
    var connection = PureConnection()
    var received = 0
    for end in ends where end > received {
      connection.receive(bytes[received..<end])
      received = end
    }
    connection.perform(connection.state.inputEnded())
    return connection.events
  }

  private mutating func receive(_ piece: ArraySlice<UInt8>) {
    var rest = piece
    while !rest.isEmpty {
      switch state.phase {
      case .idle, .receivingHead:
        input += rest
        rest = []
        parseHeads()
      case .receivingBody:
        // A body of known length is read no further than its end; the rest waits in the socket.
        var count = rest.count
        if case .length(let length) = framing { count = min(count, length - body.count) }
        body += rest.prefix(count)
        rest = rest.dropFirst(count)
        bodyGrew()
      case .responding, .writing, .lingering, .closed: return
      }
    }
  }

  private mutating func parseHeads() {
    while inputStart < input.count, state.phase == .idle || state.phase == .receivingHead {
      state.headStarted()
      do throws(FramingError) {
        guard case .head(let head, let byteCount) = try parser.parse(input, from: inputStart) else { return }
        inputStart += byteCount
        try received(head)
      } catch {
        refuse(.framing(error))
      }
    }
    if inputStart == input.count { (input, inputStart) = ([], 0) }
  }

  private mutating func received(_ head: RequestHead) throws(FramingError) {
    framing = try BodyFraming(of: head)
    let expectation = try head.expectation()
    if case .length(let length) = framing, length > Self.maximumBodyBytes {
      return refuse(.bodyTooLarge(limit: Self.maximumBodyBytes))
    }
    // Stands for the responder's rejections, which are decided on the head.
    if head.path == "/reject" {
      events.append(.rejected(head))
      state.headRejected(wantsKeepAlive: head.wantsKeepAlive, hasBody: framing.isOnTheWire)
      return answer()
    }
    events.append(.head(head, framing))
    perform(
      state.headAccepted(
        wantsKeepAlive: head.wantsKeepAlive, hasBody: framing.isOnTheWire,
        expectsContinue: expectation == .continueResponse, bodyBytesAreBuffered: inputStart < input.count))
  }

  private mutating func perform(_ action: ConnectionState.Action) {
    switch action {
    case .readHead: parseHeads()
    case .readBody: readBody()
    case .respond:
      events.append(.body(body))
      body = []
      answer()
    case .refuse(let refusal): refuse(refusal)
    case .linger: perform(state.inputEnded())
    case .close: events.append(.closed)
    case .none: break
    }
  }

  private mutating func readBody() {
    body = []
    switch framing {
    case .none, .shared: break
    case .length(let length):
      body += input[inputStart...].prefix(length)
      inputStart += body.count
    case .chunked:
      chunks = ChunkedDecoder(limits: .low, maximumBodyBytes: Self.maximumBodyBytes)
      body += input[inputStart...]
      inputStart = input.count
    }
    bodyGrew()
  }

  private mutating func bodyGrew() {
    if case .length(let length) = framing {
      if body.count == length { perform(state.bodyCompleted()) }
      return
    }
    do throws(FramingError) {
      guard case .complete(let trailing) = try chunks?.decode(&body) else { return }
      (input, inputStart) = (Array(body.suffix(trailing)), 0)
      body.removeLast(trailing)
      perform(state.bodyCompleted())
    } catch {
      refuse(.framing(error))
    }
  }

  private mutating func refuse(_ refusal: Refusal) {
    events.append(.refused(refusal))
    state.refused()
    answer()
  }

  private mutating func answer() {
    events.append(.answered(keepsAlive: state.responseStarted(closes: false)))
    perform(state.responseWritten())
  }
}
