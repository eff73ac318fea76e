import COpenSSL

/// Sole owner of an `SSL_CTX`, with the settings that every server context has.
///
/// The pointer is kept as a number, because a pointer is not `Sendable`; OpenSSL counts references atomically, and
/// nothing changes a context after it is set up.
struct ContextHandle: ~Copyable, Sendable {
  private let bits: UInt

  private init(owning context: OpaquePointer) { bits = UInt(bitPattern: context) }

  static func make() throws(TLSConfigurationError) -> ContextHandle {
    LibraryErrors.clear()
    guard let context = SSL_CTX_new(TLS_server_method()) else {
      throw .library(reason: LibraryErrors.first())
    }
    let handle = ContextHandle(owning: context)
    try handle.configure()
    return handle
  }

  deinit { SSL_CTX_free(OpaquePointer(bitPattern: bits)) }

  var pointer: OpaquePointer? { OpaquePointer(bitPattern: bits) }

  /// Ephemeral key exchange and authenticated encryption. TLS 1.3 has nothing else; this is for 1.2.
  private static let ciphers = "ECDHE+AESGCM:ECDHE+CHACHA20"
  /// A ticket is honoured for an hour: that long may a client skip the proof of its certificate.
  private static let ticketSeconds = 3600
  /// Tickets are valid only where they were made; the name itself does not matter.
  private static let sessionContext = Array("crop".utf8)

  private func configure() throws(TLSConfigurationError) {
    guard crop_ssl_ctx_set_min_version(pointer, TLS1_2_VERSION) == 1,
      SSL_CTX_set_cipher_list(pointer, Self.ciphers) == 1,
      SSL_CTX_set_session_id_context(pointer, Self.sessionContext, UInt32(Self.sessionContext.count)) == 1
    else { throw .library(reason: LibraryErrors.first()) }
    crop_ssl_ctx_set_server_options(pointer)
    crop_ssl_ctx_set_modes(pointer)
    crop_ssl_ctx_set_no_session_cache(pointer)
    SSL_CTX_set_timeout(pointer, Self.ticketSeconds)
    SSL_CTX_set_alpn_select_cb(pointer, selectProtocol, nil)
  }

  /// - Returns: what the first certificate says.
  func useCertificates(path: String) throws(TLSConfigurationError) -> CertificateSummary {
    let certificates = try PEMFile.certificates(path: path)
    defer { certificates.forEach { X509_free($0) } }
    let summary = CertificateSummary(certificates[0])
    // What is past or to come is said before what else may be wrong: it is the mistake that is made most.
    if X509_cmp_current_time(X509_get0_notAfter(certificates[0])) < 0 {
      throw .expired(path: path, date: summary.notAfterText)
    }
    if X509_cmp_current_time(X509_get0_notBefore(certificates[0])) > 0 {
      throw .notYetValid(path: path, date: UTCDate.text(secondsSince1970: summary.notBefore))
    }
    LibraryErrors.clear()
    guard SSL_CTX_use_certificate(pointer, certificates[0]) == 1 else {
      throw .unusable(path: path, reason: LibraryErrors.first())
    }
    for intermediate in certificates.dropFirst() {
      X509_up_ref(intermediate)
      guard crop_ssl_ctx_add0_chain_certificate(pointer, intermediate) == 1 else {
        X509_free(intermediate)
        throw .unusable(path: path, reason: LibraryErrors.first())
      }
    }
    return summary
  }

  func useKey(path: String, certificatePath: String) throws(TLSConfigurationError) {
    let key = try PEMFile.privateKey(path: path)
    defer { EVP_PKEY_free(key) }
    LibraryErrors.clear()
    guard X509_check_private_key(SSL_CTX_get0_certificate(pointer), key) == 1 else {
      throw .keyMismatch(certificate: certificatePath, key: path)
    }
    guard SSL_CTX_use_PrivateKey(pointer, key) == 1 else {
      throw .unusable(path: path, reason: LibraryErrors.first())
    }
  }

  func requireClientCertificates(caPath: String) throws(TLSConfigurationError) {
    let authorities = try PEMFile.certificates(path: caPath)
    defer { authorities.forEach { X509_free($0) } }
    LibraryErrors.clear()
    for authority in authorities {
      // The names are sent to clients, so that one with several certificates picks the right one.
      guard X509_STORE_add_cert(SSL_CTX_get_cert_store(pointer), authority) == 1,
        SSL_CTX_add_client_CA(pointer, authority) == 1
      else { throw .unusable(path: caPath, reason: LibraryErrors.first()) }
    }
    SSL_CTX_set_verify(pointer, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
  }
}

/// Chooses among the protocols that a client offers (RFC 7301): HTTP/1.1, else HTTP/1.0, else none of them.
///
/// A client that offers only others is rejected: it would send HTTP/2 to a server that does not speak it.
private func selectProtocol(
  _: OpaquePointer?, _ selected: UnsafeMutablePointer<UnsafePointer<UInt8>?>?,
  _ selectedLength: UnsafeMutablePointer<UInt8>?, _ offered: UnsafePointer<UInt8>?, _ length: UInt32,
  _: UnsafeMutableRawPointer?
) -> Int32 {
  let offers = UnsafeBufferPointer(start: offered, count: Int(length))
  for name in ["http/1.1", "http/1.0"] {
    var position = 0
    while position < offers.count {
      let start = position + 1
      let end = start + Int(offers[position])
      guard end <= offers.count else { return SSL_TLSEXT_ERR_ALERT_FATAL }
      if offers[start..<end].elementsEqual(name.utf8) {
        selected?.pointee = offered?.advanced(by: start)
        selectedLength?.pointee = UInt8(end - start)
        return SSL_TLSEXT_ERR_OK
      }
      position = end
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL
}
