import ContentCodings
import HTTP1

/// A request body on its way into its final buffer: counted off, or decoded from chunks in place, or inflated there.
struct BodyReceiver {
  enum Progress: Equatable {
    case complete
    /// Everything received so far is taken in; the socket has no more for now.
    case wouldBlock
    /// More could be done, but others wait for their turn.
    case turnIsOver
    /// The buffer is full and the body is not: ``grow(into:)`` and go on.
    case needsRoom
    case ended
    case failed
  }

  static let firstCapacity = 64 << 10
  private static let leastCapacity = 16 << 10
  /// Bytes read for one connection before the others get their turn: about a tenth of a millisecond, so that a small
  /// request waits little for large bodies beside it.
  static let bytesPerTurn = 512 << 10
  /// The same where nobody else waits, so that a body of megabytes takes one turn.
  static let bytesPerLoneTurn = 4 << 20
  /// The same for bytes that are inflated on arrival, which takes longer.
  private static let inflatedBytesPerTurn = 1 << 20
  /// The same before that: a stream may take its time and yield nothing.
  private static let codedBytesPerTurn = 32 << 10
  /// Coded bytes inflated at once: they may become a thousand times as many.
  private static let codedStep = 4 << 10

  /// What has arrived of the body; never moves but in ``grow(into:)``.
  private(set) var bytes: [UInt8]
  /// Bytes that came after the head's, as the measure of the peer's speed.
  private(set) var receivedCount = 0
  /// Behind a chunked body: the start of the next request.
  private(set) var leftover: [UInt8] = []

  /// The memory that the body takes so far.
  var heldBytes: Int {
    // Small buffers come from the heap, where they may have been touched before.
    let room = bytes.capacity <= Self.firstCapacity ? bytes.capacity : bytes.count
    return room + (coded == nil ? 0 : Self.inflaterBytes)
  }

  /// zlib's window and tables, and the window of coded bytes.
  private static let inflaterBytes = 64 << 10

  /// What is left to receive of a body of known length.
  private var lengthLeft: Int?
  private var chunks: ChunkedDecoder?
  private var coded: CodedBody?

  private struct CodedBody {
    let inflater: Inflater
    /// Received and not inflated yet: `window[start...]`, of chunks only what is decoded.
    var window: [UInt8]
    var start = 0
    var isFramed = false
  }

  /// - Parameters:
  ///   - buffer: empty, with room for `prefix`, and best for the whole body.
  ///   - prefix: what arrived in the same read as the head; the only bytes of a body that are copied.
  init(
    _ framing: BodyFraming, _ acceptance: Acceptance, into buffer: consuming [UInt8],
    prefix: ArraySlice<UInt8>, limits: HTTPLimits, makeWindow: () -> [UInt8]
  ) {
    bytes = consume buffer
    switch framing {
    case .none: lengthLeft = 0
    case .length(let count): lengthLeft = count - prefix.count
    case .shared(let reference): lengthLeft = reference.length
    case .chunked:
      chunks = ChunkedDecoder(limits: limits, maximumBodyBytes: acceptance.maximumBodyBytes)
    }
    guard let coding = acceptance.contentCoding else {
      bytes.append(contentsOf: prefix)
      return
    }
    var window = makeWindow()
    window.append(contentsOf: prefix)
    coded = CodedBody(
      inflater: Inflater(coding, maximumOutputBytes: acceptance.maximumBodyBytes), window: window)
  }

  /// Room for the whole of a plain body of known length, and to start with for others.
  static func capacity(for framing: BodyFraming, _ acceptance: Acceptance, available: Int = 0) -> Int {
    if let length = framing.length, acceptance.contentCoding == nil { return length }
    return max(min(acceptance.maximumBodyBytes, firstCapacity), available)
  }

  /// Room to start with for a body that is not given all of it.
  static func firstCapacity(available: Int) -> Int { max(leastCapacity, available) }

  /// Twice what is there, at most what the whole body takes where that is known.
  var largerCapacity: Int {
    let doubled = 2 * bytes.capacity
    guard coded == nil, let lengthLeft else { return doubled }
    return min(doubled, bytes.count + lengthLeft)
  }

  /// How many bytes behind the head belong to this body, as far as its framing says.
  static func prefixCount(_ framing: BodyFraming, available: Int) -> Int {
    switch framing {
    case .none, .shared: 0
    case .length(let length): min(length, available)
    case .chunked: available
    }
  }

  /// Reads until the body is whole or there is nothing to read; a plain body straight into its final place.
  ///
  /// The first call decodes the prefix before it reads.
  /// - Parameters:
  ///   - turn: bytes after which others get theirs.
  ///   - spin: nanoseconds for which an empty socket is asked again, see `Pause`.
  mutating func receive(
    from stream: any ByteSource, turn: Int = bytesPerTurn, spin: Int64 = 0
  ) throws(Refusal) -> Progress {
    try coded == nil ? receivePlain(from: stream, turn, spin: spin) : receiveCoded(from: stream)
  }

  private mutating func receivePlain(
    from stream: any ByteSource, _ turn: Int, spin: Int64
  ) throws(Refusal) -> Progress {
    var turn = turn
    // The head came a moment ago; its client is likely still writing.
    var pause = Pause(follows: receivedCount == 0 ? Self.quickRead : 0)
    while true {
      if let lengthLeft {
        if lengthLeft == 0 { return .complete }
      } else if try Self.unchunk(&bytes, &chunks, &leftover) {
        return .complete
      }
      guard turn > 0 else { return .turnIsOver }
      let limit = min(lengthLeft ?? .max, bytes.capacity - bytes.count)
      guard limit > 0 else { return .needsRoom }
      switch stream.read(into: &bytes, atMost: min(limit, turn)) {
      case .bytes(let count):
        turn -= count
        receivedCount += count
        pause = Pause(follows: count)
        if let left = lengthLeft { lengthLeft = left - count }
      case .wouldBlock: guard pause.isWorthWaiting(spin) else { return .wouldBlock }
      case .end: return .ended
      case .failed, .notTLS, .notProxied: return .failed
      }
    }
  }

  /// A read that brought less says that the peer is slow; asking again at once would burn a processor for nothing.
  private static let quickRead = 4 << 10

  /// The time since the socket was first found empty.
  ///
  /// Sleeping and being woken costs tens of microseconds, about what a fast peer takes for the next piece. So a short
  /// while is spent on asking again: bounded, and only behind a read that brought much.
  private struct Pause {
    private let isAfterQuickRead: Bool
    private var end: Int64 = 0

    init(follows count: Int) { isAfterQuickRead = count >= BodyReceiver.quickRead }

    mutating func isWorthWaiting(_ spin: Int64) -> Bool {
      guard spin > 0, isAfterQuickRead else { return false }
      let now = Clock.now
      if end == 0 { end = now &+ spin }
      return now < end
    }
  }

  private mutating func receiveCoded(from stream: any ByteSource) throws(Refusal) -> Progress {
    let end = bytes.count + Self.inflatedBytesPerTurn
    let lastCount = receivedCount + Self.codedBytesPerTurn
    while true {
      if let progress = try inflateWindow(upTo: end) { return progress }
      guard receivedCount < lastCount else { return .turnIsOver }
      guard var window = coded?.window else { return .failed }
      // One owner, or appending would copy.
      coded?.window = []
      let outcome = stream.read(into: &window, atMost: min(lengthLeft ?? .max, window.capacity))
      coded?.window = consume window
      switch outcome {
      case .bytes(let count):
        receivedCount += count
        if let left = lengthLeft { lengthLeft = left - count }
      case .wouldBlock: return .wouldBlock
      case .end: return .ended
      case .failed, .notTLS, .notProxied: return .failed
      }
    }
  }

  /// Inflates what was received; nil when all of that is done and more is needed.
  private mutating func inflateWindow(upTo end: Int) throws(Refusal) -> Progress? {
    guard var body = coded else { return nil }
    coded = nil
    defer { coded = body }
    if !body.isFramed {
      if let lengthLeft {
        body.isFramed = lengthLeft == 0
      } else {
        body.isFramed = try Self.unchunk(&body.window, &chunks, &leftover)
      }
    }
    let available = chunks?.decodedCount ?? body.window.count
    do throws(ContentCodingError) {
      while body.start < available {
        guard bytes.count < end else { return .turnIsOver }
        let piece = body.window[body.start..<min(body.start + Self.codedStep, available)]
        let (consumed, step) = try body.inflater.decode(piece, into: &bytes)
        body.start += consumed
        if step == .needsRoom { return .needsRoom }
      }
      guard !body.isFramed else {
        try body.inflater.finish()
        return .complete
      }
    } catch {
      throw .coding(error)
    }
    body.window.removeAll(keepingCapacity: true)
    body.start = 0
    chunks?.forgetDecoded()
    return nil
  }

  /// Decodes chunks in place, and says whether the last one is there.
  private static func unchunk(
    _ buffer: inout [UInt8], _ chunks: inout ChunkedDecoder?, _ leftover: inout [UInt8]
  ) throws(Refusal) -> Bool {
    do {
      guard case .complete(let trailing) = try chunks?.decode(&buffer) else { return false }
      if trailing > 0 {
        leftover = Array(buffer.suffix(trailing))
        buffer.removeLast(trailing)
      }
      return true
    } catch {
      throw .framing(error)
    }
  }

  /// Goes on in `larger`, and hands the old buffer back.
  mutating func grow(into larger: consuming [UInt8]) -> [UInt8] {
    larger.append(contentsOf: bytes)
    swap(&larger, &bytes)
    return larger
  }

  /// Hands the body over: afterwards the receiver of it is its only owner.
  mutating func takeBytes() -> [UInt8] {
    var taken: [UInt8] = []
    swap(&taken, &bytes)
    return taken
  }

  /// Hands back the buffer that `makeWindow` made.
  mutating func takeWindow() -> [UInt8] {
    guard var body = coded else { return [] }
    coded = nil
    var taken: [UInt8] = []
    swap(&taken, &body.window)
    return taken
  }
}
