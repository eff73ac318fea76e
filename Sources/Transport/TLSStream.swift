import LibC
import TLS

/// A stream socket with TLS on it.
///
/// Ciphertext passes through buffers of the loop; an idle connection holds none. The first byte decides whether the
/// peer speaks TLS at all: one that sends a plain request is answered in the clear, so that it learns of its mistake.
final class TLSStream: ByteStream {
  private enum Mode { case undecided, encrypted, plain }

  private let socket: SocketStream
  private let session: TLSSession
  private let buffers: CiphertextBuffers
  private var mode = Mode.undecided
  /// The socket's end was read. Without a close_notify before it, a request may be cut off: HTTP's own framing
  /// tells (RFC 9112 section 9.8), so it is an end like any other.
  private var socketHasEnded = false
  private var finishesWhenFlushed = false
  private var socketIsFinished = false

  /// Every TLS record of a handshake begins with its type, 22; no request line does.
  private static let handshakeRecord: UInt8 = 22
  /// What a peer may make this side say (alerts, key updates) without reading it.
  private static let maximumUnreadReplies = 256 << 10
  /// Reads of the socket that may pass without a byte of plaintext before others get their turn.
  private static let maximumFruitlessReads = 16

  init(_ socket: consuming FileDescriptor, context: TLSContext, buffers: CiphertextBuffers) throws(TLSFailure)
  {
    self.socket = SocketStream(socket)
    self.buffers = buffers
    session = try TLSSession(context)
  }

  deinit {
    // A connection that just ends looks cut off to the client. Whatever does not fit the socket now is lost.
    guard mode == .encrypted else { return }
    session.finish()
    _ = flush()
  }

  var descriptor: Int32 { socket.descriptor }
  var isHandshaking: Bool { mode != .plain && session.failure == nil && session.isHandshaking }
  var isEncrypted: Bool { true }
  var hasPendingOutput: Bool { !session.outgoing.isEmpty }
  var hasBufferedInput: Bool {
    switch mode {
    case .undecided: false
    case .encrypted: session.hasBufferedInput
    case .plain: !session.received.isEmpty
    }
  }

  // MARK: Reading

  func read(into buffer: inout [UInt8], atMost limit: Int) -> ReadOutcome {
    defer { releaseInput() }
    if mode == .plain { return readPlain(into: &buffer, atMost: limit) }
    var fruitlessReads = 0
    while true {
      switch session.read(into: &buffer, atMost: limit) {
      case .bytes(let count):
        // Replies such as key updates; what does not fit is sent with the next answer.
        if case .failed(let error) = flush() { return .failed(error) }
        return .bytes(count)
      case .end: return .end
      case .failed: return fail()
      case .needsInput: break
      }
      if case .failed(let error) = flush() { return .failed(error) }
      guard session.outgoing.count <= Self.maximumUnreadReplies else {
        return .failed(SystemError("TLS", code: ENOBUFS))
      }
      guard fruitlessReads < Self.maximumFruitlessReads else { return .wouldBlock }
      fruitlessReads += 1
      switch receive() {
      case .bytes: break
      case let other: return other
      }
    }
  }

  /// Ciphertext from the socket to the session; `.bytes` when there is something to decrypt.
  private func receive() -> ReadOutcome {
    guard !socketHasEnded else { return .end }
    if session.received.capacity == 0 { session.received.lend(buffers.take()) }
    let outcome = session.received.appending(room: CiphertextBuffers.recordsPerRead) {
      socket.read(into: &$0, atMost: CiphertextBuffers.recordsPerRead)
    }
    switch outcome {
    case .bytes where mode == .undecided:
      guard session.received.slice.first == Self.handshakeRecord else {
        mode = .plain
        return .notTLS
      }
      mode = .encrypted
    case .end: socketHasEnded = true
    default: break
    }
    return outcome
  }

  private func readPlain(into buffer: inout [UInt8], atMost limit: Int) -> ReadOutcome {
    guard !session.received.isEmpty else { return socket.read(into: &buffer, atMost: limit) }
    let count = min(limit, buffer.capacity - buffer.count, session.received.count)
    buffer.append(contentsOf: session.received.slice.prefix(count))
    session.received.consume(count)
    return .bytes(count)
  }

  /// Sends the alert that says why, and lets it arrive: closing with unread input would reset the connection.
  private func fail() -> ReadOutcome {
    session.received.removeAll()
    finishesWhenFlushed = true
    _ = flush()
    var rest: [UInt8] = []
    rest.reserveCapacity(CiphertextBuffers.recordsPerRead)
    _ = socket.read(into: &rest, atMost: CiphertextBuffers.recordsPerRead)
    return .failed(SystemError("TLS", code: EPROTO))
  }

  private func releaseInput() {
    if let storage = session.received.takeStorage() { buffers.give(storage) }
  }

  // MARK: Writing

  func write(_ first: ArraySlice<UInt8>, _ second: ArraySlice<UInt8>) -> WriteOutcome {
    if mode == .plain { return socket.write(first, second) }
    let before = flush()
    guard before == .bytes(0) else { return before }
    session.outgoing.lend(buffers.take())
    let most = CiphertextBuffers.plaintextPerWrite
    var count = session.write(first.prefix(most))
    if count == first.count { count += session.write(second.prefix(most - count)) }
    // An answer before the handshake is over would never become writable.
    guard count > 0 else { return .failed(SystemError("TLS", code: EPROTO)) }
    if case .failed(let error) = flush() { return .failed(error) }
    return .bytes(count)
  }

  func flush() -> WriteOutcome {
    while !session.outgoing.isEmpty {
      switch socket.write(session.outgoing.slice, []) {
      case .bytes(let count): session.outgoing.consume(count)
      case let other: return other
      }
    }
    if let storage = session.outgoing.takeStorage() { buffers.give(storage) }
    if finishesWhenFlushed, !socketIsFinished {
      socketIsFinished = true
      socket.finishWriting()
    }
    return .bytes(0)
  }

  /// A session stays with the loop that it began in.
  func duplicate() -> Int32? { nil }

  func finishWriting() {
    if mode != .plain { session.finish() }
    finishesWhenFlushed = true
    _ = flush()
  }
}

/// Buffers that the TLS streams of one loop share, each for as long as it has ciphertext in it.
final class CiphertextBuffers {
  /// Four whole records a system call.
  static let recordsPerRead = 64 << 10
  static let plaintextPerWrite = 64 << 10
  /// With room for what encryption adds to four records and to a short one before them.
  private static let size = recordsPerRead + (2 << 10)
  private static let maximumSpareCount = 16

  private var spare: [[UInt8]] = []

  /// An empty array with room for a read or a write.
  func take() -> [UInt8] {
    if let buffer = spare.popLast() { return buffer }
    var buffer: [UInt8] = []
    buffer.reserveCapacity(Self.size)
    return buffer
  }

  /// Keeps an emptied array; the small ones that handshakes made for themselves are let go.
  func give(_ buffer: consuming [UInt8]) {
    guard spare.count < Self.maximumSpareCount, buffer.capacity >= Self.size, buffer.capacity <= 2 * Self.size
    else { return }
    spare.append(buffer)
  }
}
