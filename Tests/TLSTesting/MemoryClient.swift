import COpenSSL

/// A TLS client of OpenSSL's own making that talks through memory: the other side of what is tested.
public final class MemoryClient {
  public struct Options {
    /// Trusted authority; nil trusts anybody.
    public var authorityPath: String?
    public var certificatePath: String?
    public var keyPath: String?
    public var protocols: [String] = []
    public var maximumVersion = TLS1_3_VERSION
    public var minimumVersion = TLS1_2_VERSION
    public var ciphers: String?

    public init() {}
  }

  /// What a client keeps to resume.
  public final class Ticket {
    fileprivate let session: OpaquePointer
    fileprivate init(_ session: OpaquePointer) { self.session = session }
    deinit { SSL_SESSION_free(session) }
    /// Whether the server handed out anything that can be resumed.
    public var isResumable: Bool { SSL_SESSION_is_resumable(session) == 1 }
  }

  private let context: OpaquePointer
  private let session: OpaquePointer
  private let input: OpaquePointer
  private let output: OpaquePointer

  public init(_ options: Options = Options(), resuming ticket: Ticket? = nil) throws {
    guard let context = SSL_CTX_new(TLS_client_method()), let input = BIO_new(BIO_s_mem()),
      let output = BIO_new(BIO_s_mem())
    else { throw ClientFailure(reason: "no memory") }
    // The oldest versions need the lowest security level.
    if options.minimumVersion < TLS1_2_VERSION { SSL_CTX_set_cipher_list(context, "DEFAULT:@SECLEVEL=0") }
    if let ciphers = options.ciphers { SSL_CTX_set_cipher_list(context, ciphers) }
    _ = crop_ssl_ctx_set_min_version(context, options.minimumVersion)
    _ = crop_ssl_ctx_set_max_version(context, options.maximumVersion)
    if let path = options.authorityPath {
      SSL_CTX_load_verify_locations(context, path, nil)
      SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
    }
    if let path = options.certificatePath {
      SSL_CTX_use_certificate_file(context, path, SSL_FILETYPE_PEM)
      SSL_CTX_use_PrivateKey_file(context, options.keyPath, SSL_FILETYPE_PEM)
    }
    let list = options.protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
    if !list.isEmpty { SSL_CTX_set_alpn_protos(context, list, UInt32(list.count)) }
    guard let session = SSL_new(context) else { throw ClientFailure(reason: "no memory") }
    SSL_set_bio(session, input, output)
    SSL_set_connect_state(session)
    if let ticket { SSL_set_session(session, ticket.session) }
    self.context = context
    self.session = session
    self.input = input
    self.output = output
  }

  deinit {
    SSL_free(session)
    SSL_CTX_free(context)
  }

  /// Moves the handshake on.
  ///
  /// - Returns: whether it is over.
  public func handshake() throws -> Bool {
    ERR_clear_error()
    let status = SSL_do_handshake(session)
    if status == 1 { return true }
    try throwUnlessWaiting(status)
    return false
  }

  /// The plaintext of everything that was received; empty after a close_notify.
  public func receive() throws -> [UInt8] {
    var received: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      ERR_clear_error()
      let count = SSL_read(session, &chunk, Int32(chunk.count))
      guard count > 0 else {
        try throwUnlessWaiting(count)
        return received
      }
      received += chunk[..<Int(count)]
    }
  }

  public func send(_ plaintext: [UInt8]) throws {
    ERR_clear_error()
    guard plaintext.isEmpty || SSL_write(session, plaintext, Int32(plaintext.count)) == plaintext.count else {
      throw ClientFailure(reason: Self.firstError)
    }
  }

  public func finish() { SSL_shutdown(session) }
  public func updateKeys() { SSL_key_update(session, SSL_KEY_UPDATE_REQUESTED) }

  /// Ciphertext for the server.
  public func takeOutput() -> [UInt8] {
    var data: UnsafeMutablePointer<CChar>?
    var bytes = [UInt8](repeating: 0, count: max(0, crop_bio_memory(output, &data)))
    let count = BIO_read(output, &bytes, Int32(bytes.count))
    return Array(bytes.prefix(max(0, Int(count))))
  }

  public func takeInput(_ ciphertext: some Collection<UInt8>) {
    let bytes = Array(ciphertext)
    if !bytes.isEmpty { BIO_write(input, bytes, Int32(bytes.count)) }
  }

  public var hasReceivedEnd: Bool { SSL_get_shutdown(session) & SSL_RECEIVED_SHUTDOWN != 0 }
  public var isResumed: Bool { SSL_session_reused(session) == 1 }
  public var version: String { String(cString: SSL_get_version(session)) }
  public var cipher: String { String(cString: SSL_CIPHER_get_name(SSL_get_current_cipher(session))) }
  public var ticket: Ticket? { SSL_get1_session(session).map(Ticket.init) }

  private func throwUnlessWaiting(_ status: Int32) throws {
    switch SSL_get_error(session, status) {
    case SSL_ERROR_WANT_READ, SSL_ERROR_ZERO_RETURN: return
    default: throw ClientFailure(reason: Self.firstError)
    }
  }

  private static var firstError: String {
    let code = ERR_peek_error()
    guard code != 0, let reason = ERR_reason_error_string(code) else { return "unknown" }
    return String(cString: reason)
  }
}

/// In OpenSSL's words: `tlsv13 alert certificate required`.
public struct ClientFailure: Error, Equatable {
  public let reason: String

  public init(reason: String) { self.reason = reason }
}
