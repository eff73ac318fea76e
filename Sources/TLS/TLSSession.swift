import COpenSSL

/// One connection's TLS, without a socket: ciphertext goes in, plaintext comes out, and the other way round.
///
/// ```
///  received ──read(into:)──▶ plaintext            plaintext ──write(_:)──▶ outgoing
/// ```
/// Any call may leave bytes in ``outgoing``: the handshake answers, alerts and tickets are made while reading.
/// Confined to one thread at a time.
public final class TLSSession {
  public enum ReadResult: Equatable {
    /// So many bytes of plaintext were appended.
    case bytes(Int)
    /// Nothing can be decrypted before more ciphertext is received.
    case needsInput
    /// The peer said that it sends nothing more (close_notify).
    case end
    case failed(TLSFailure)
  }

  private let session: OpaquePointer
  private let wire = Wire()
  /// Set once the session is dead.
  public private(set) var failure: TLSFailure?
  /// An end or a failure that came right behind plaintext, for the next read.
  private var unreported: ReadResult?
  private var inputHasEnded = false
  private var hasSentEnd = false

  /// The server's side of a connection.
  ///
  /// - Throws: when memory is out.
  public convenience init(_ context: TLSContext) throws(TLSFailure) {
    LibraryErrors.clear()
    try self.init(owning: context.makeSession())
  }

  /// The client's side of a connection to a server whose identity does not matter: a probe that sends nothing secret
  /// and believes nothing but a status.
  public static func unverifiedClient() throws(TLSFailure) -> TLSSession {
    LibraryErrors.clear()
    guard let context = SSL_CTX_new(TLS_client_method()) else {
      throw TLSFailure(reason: LibraryErrors.first())
    }
    // The session holds a reference of its own.
    defer { SSL_CTX_free(context) }
    let session = SSL_new(context)
    SSL_set_connect_state(session)
    return try TLSSession(owning: session)
  }

  private init(owning session: OpaquePointer?) throws(TLSFailure) {
    guard let session else { throw TLSFailure(reason: LibraryErrors.first()) }
    guard let bio = wire.makeBIO() else {
      SSL_free(session)
      throw TLSFailure(reason: LibraryErrors.first())
    }
    // One BIO for both directions; the session takes over the reference.
    SSL_set_bio(session, bio, bio)
    self.session = session
  }

  deinit { SSL_free(session) }

  /// Ciphertext from the peer that is not processed yet.
  public var received: ByteQueue {
    _read { yield wire.received }
    _modify { yield &wire.received }
  }

  /// Ciphertext for the peer that is not sent yet.
  public var outgoing: ByteQueue {
    _read { yield wire.outgoing }
    _modify { yield &wire.outgoing }
  }

  public var isHandshaking: Bool { SSL_is_init_finished(session) == 0 }

  /// Whether ``read(into:atMost:)`` may have something to say without more ciphertext.
  public var hasBufferedInput: Bool {
    unreported != nil
      || (failure == nil && !inputHasEnded && (SSL_pending(session) > 0 || !wire.received.isEmpty))
  }

  /// Appends at most `limit` bytes of plaintext to `buffer`, within its reserved capacity, and moves the handshake on.
  public func read(into buffer: inout [UInt8], atMost limit: Int) -> ReadResult {
    if let result = unreported {
      unreported = nil
      return result
    }
    if let failure { return .failed(failure) }
    if inputHasEnded { return .end }
    let room = min(limit, buffer.capacity - buffer.count)
    precondition(room > 0, "a read needs reserved room")
    var result = ReadResult.needsInput
    buffer.append(addingCapacity: room) { tail in
      tail.withUnsafeMutableBufferPointer { pointer, initializedCount in
        // One call decrypts at most one record.
        while initializedCount < room {
          var count = 0
          LibraryErrors.clear()
          let status = SSL_read_ex(
            session, pointer.baseAddress?.advanced(by: initializedCount), room - initializedCount, &count)
          guard status == 1 else {
            result = outcome(of: status)
            break
          }
          initializedCount += count
        }
        guard initializedCount > 0 else { return }
        if result != .needsInput { unreported = result }
        result = .bytes(initializedCount)
      }
    }
    return result
  }

  /// Encrypts the start of `plaintext` into ``outgoing``.
  ///
  /// - Returns: how many bytes of it; all, unless the session has failed or is still handshaking.
  public func write(_ plaintext: ArraySlice<UInt8>) -> Int {
    plaintext.withUnsafeBytes { bytes in
      var sent = 0
      while sent < bytes.count, failure == nil {
        var count = 0
        LibraryErrors.clear()
        let status = SSL_write_ex(session, bytes.baseAddress?.advanced(by: sent), bytes.count - sent, &count)
        guard status == 1 else {
          _ = outcome(of: status)
          break
        }
        sent += count
      }
      return sent
    }
  }

  /// Tells the peer that nothing more is sent (close_notify, RFC 8446 section 6.1); its own end is not waited for.
  public func finish() {
    // After a failure the alert has said enough, and before the handshake there is nobody to tell.
    guard failure == nil, !hasSentEnd, !isHandshaking else { return }
    hasSentEnd = true
    LibraryErrors.clear()
    SSL_shutdown(session)
  }

  /// The protocol that was agreed on (RFC 7301); nil when the client offered none.
  public var applicationProtocol: String? {
    var name: UnsafePointer<UInt8>?
    var length: UInt32 = 0
    SSL_get0_alpn_selected(session, &name, &length)
    return name.map { String(decoding: UnsafeBufferPointer(start: $0, count: Int(length)), as: UTF8.self) }
  }

  /// `TLSv1.3`
  public var version: String { String(cString: SSL_get_version(session)) }

  /// Whether the handshake continued an earlier session instead of proving the certificate again.
  public var isResumed: Bool { SSL_session_reused(session) == 1 }

  private func outcome(of status: Int32) -> ReadResult {
    switch SSL_get_error(session, status) {
    case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .needsInput
    case SSL_ERROR_ZERO_RETURN:
      inputHasEnded = true
      return .end
    default:
      let failure = TLSFailure(reason: LibraryErrors.first())
      self.failure = failure
      return .failed(failure)
    }
  }
}

/// The peer broke the protocol, or could not agree with this side; the session is dead.
public struct TLSFailure: Error, Equatable, CustomStringConvertible {
  /// In OpenSSL's words.
  public let reason: String

  public var description: String { reason }
}
