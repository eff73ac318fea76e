import COpenSSL

/// A certificate, its key and the rules of every session with them: TLS 1.2 or 1.3, forward secrecy and
/// authenticated ciphers only.
///
/// OpenSSL may make sessions from one context on many threads at once. A context never changes; a new certificate is
/// a new context, and sessions of the old one live on with it.
public final class TLSContext: Sendable {
  /// Of the server's own certificate.
  public let certificate: CertificateSummary
  /// Whether clients must show a certificate.
  public let requiresClientCertificate: Bool
  private let handle: ContextHandle

  /// Loads PEM files.
  ///
  /// - Parameters:
  ///   - certificatePath: the server's certificate, then the intermediate ones that lead to a known authority.
  ///   - keyPath: the private key of the first certificate, not encrypted.
  ///   - clientCAPath: authorities one of which must have issued each client's certificate; nil asks clients for none.
  /// - Throws: also for a certificate that is expired or not yet valid: no client would accept it.
  public init(
    certificatePath: String, keyPath: String, clientCAPath: String? = nil
  ) throws(TLSConfigurationError) {
    let handle = try ContextHandle.make()
    certificate = try handle.useCertificates(path: certificatePath)
    try handle.useKey(path: keyPath, certificatePath: certificatePath)
    if let clientCAPath { try handle.requireClientCertificates(caPath: clientCAPath) }
    requiresClientCertificate = clientCAPath != nil
    self.handle = handle
  }

  /// A fresh `SSL *` that accepts a connection, owned by the caller; nil when memory is out.
  func makeSession() -> OpaquePointer? {
    guard let session = SSL_new(handle.pointer) else { return nil }
    SSL_set_accept_state(session)
    return session
  }
}

/// What a certificate says of itself, for logs and metrics.
public struct CertificateSummary: Sendable, Equatable {
  /// As in RFC 2253: `CN=example.org,O=Example`; empty where only alternative names are given.
  public let subject: String
  /// Seconds since 1970.
  public let notBefore: Int
  public let notAfter: Int

  /// RFC 3339, UTC.
  public var notAfterText: String { UTCDate.text(secondsSince1970: notAfter) }
}
