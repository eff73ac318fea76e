import HTTP1

/// A request body on its way into its final buffer: counted off, or decoded from chunks in place.
struct BodyReceiver {
  enum Progress: Equatable {
    case complete
    /// Everything received so far is taken in; the socket has no more for now.
    case wouldBlock
    /// More could be read, but others wait for their turn.
    case turnIsOver
    /// The buffer is full and the body is not: ``grow(into:)`` and go on.
    case needsRoom
    case ended
    case failed
  }

  static let firstChunkedCapacity = 64 << 10
  /// Bytes read for one connection before the others get their turn.
  static let bytesPerTurn = 4 << 20

  /// What has arrived of the body; never moves but in ``grow(into:)``.
  private(set) var bytes: [UInt8]
  /// Bytes that came after the head's, as the measure of the peer's speed.
  private(set) var receivedCount = 0
  /// Behind a chunked body: the start of the next request.
  private(set) var leftover: [UInt8] = []

  private let length: Int?
  private var chunks: ChunkedDecoder?

  /// - Parameters:
  ///   - buffer: empty, with room for the whole body where its length is known.
  ///   - prefix: what arrived in the same read as the head; the only bytes of a body that are copied.
  ///   - prefixCount: how many of those belong to the body.
  init(
    _ framing: BodyFraming, into buffer: consuming [UInt8], prefix: ArraySlice<UInt8>,
    limits: HTTPLimits, maximumBytes: Int
  ) {
    bytes = consume buffer
    switch framing {
    case .none: length = 0
    case .length(let count): length = count
    case .chunked:
      length = nil
      chunks = ChunkedDecoder(limits: limits, maximumBodyBytes: maximumBytes)
    }
    bytes.append(contentsOf: prefix)
  }

  /// How many bytes behind the head belong to this body, as far as its framing says.
  static func prefixCount(_ framing: BodyFraming, available: Int) -> Int {
    switch framing {
    case .none: 0
    case .length(let length): min(length, available)
    case .chunked: available
    }
  }

  /// Reads straight into the body's final place until there is nothing to read.
  mutating func receive(from stream: any ByteStream) throws(Refusal) -> Progress {
    var turn = Self.bytesPerTurn
    if try takeIn() { return .complete }
    while turn > 0 {
      let limit = length.map { $0 - bytes.count } ?? bytes.capacity - bytes.count
      guard limit > 0 else { return .needsRoom }
      switch stream.read(into: &bytes, atMost: limit) {
      case .bytes(let count):
        turn -= count
        receivedCount += count
        if try takeIn() { return .complete }
      case .wouldBlock: return .wouldBlock
      case .end: return .ended
      case .failed, .notTLS: return .failed
      }
    }
    return .turnIsOver
  }

  /// Decodes what has just arrived, and says whether the body is whole.
  private mutating func takeIn() throws(Refusal) -> Bool {
    if let length { return bytes.count == length }
    do {
      guard case .complete(let trailing) = try chunks?.decode(&bytes) else { return false }
      if trailing > 0 {
        leftover = Array(bytes.suffix(trailing))
        bytes.removeLast(trailing)
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
}
