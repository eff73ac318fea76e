import LibC
import Logging
import TLS
import Transport

/// Where certificates are read from, at the start and again on SIGHUP.
struct CertificateFiles: Sendable {
  let certificate: String
  let key: String
  let clientCA: String?

  /// - Returns: nil when TLS is not configured.
  init?(_ configuration: ServerConfiguration) {
    guard let certificate = configuration.tlsCert, let key = configuration.tlsKey else { return nil }
    self.certificate = certificate
    self.key = key
    clientCA = configuration.tlsClientCA
  }

  func load() throws(TLSConfigurationError) -> TLSContext {
    for (setting, path) in [("tls.cert", certificate), ("tls.key", key), ("tls.client-ca", clientCA ?? "")] {
      var status = stat()
      guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { continue }
      throw TLSConfigurationError.unreadable(
        path: path, reason: "\(setting) is a directory; give the PEM file in it")
    }
    return try TLSContext(certificatePath: certificate, keyPath: key, clientCAPath: clientCA)
  }

  /// Reads everything again; connections that are open go on with what they began with.
  func reloading(_ source: TLSSource, logger: Logger) -> Reloadable {
    Reloadable(name: "TLS certificate") {
      let context = try load()
      source.replace(with: context)
      warn(of: context, to: logger)
      return "\(context.certificate.subject), expires \(context.certificate.notAfterText)"
    }
  }

  func log(_ context: TLSContext, to logger: Logger) {
    logger.notice(
      "TLS",
      metadata: [
        "certificate": "\(context.certificate.subject)", "expires": "\(context.certificate.notAfterText)",
        "client-certificates": "\(context.requiresClientCertificate ? "required" : "not asked for")",
      ])
    warn(of: context, to: logger)
    if let warning = readersWarning(ofSecret: key, setting: "tls.key") { logger.warning("\(warning)") }
  }

  /// Renewals are made weeks before the end; a certificate this old has missed its own.
  private static let warningSeconds = 7 * 86_400

  private func warn(of context: TLSContext, to logger: Logger) {
    guard context.certificate.notAfter - time(nil) < Self.warningSeconds else { return }
    logger.warning(
      "the TLS certificate expires soon", metadata: ["expires": "\(context.certificate.notAfterText)"])
  }
}
