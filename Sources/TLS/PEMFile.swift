import COpenSSL

/// Reads certificates and keys from PEM files; whoever asks owns the results.
enum PEMFile {
  /// - Returns: at least one `X509 *`, in the order of the file.
  static func certificates(path: String) throws(TLSConfigurationError) -> [OpaquePointer] {
    let file = try open(path)
    defer { BIO_free(file) }
    var certificates: [OpaquePointer] = []
    while let certificate = PEM_read_bio_X509(file, nil, refusePassword, nil) {
      certificates.append(certificate)
    }
    // The end of the file is an error as well; it is none after the first certificate.
    guard !certificates.isEmpty, crop_error_is_end_of_pem(ERR_peek_last_error()) != 0 else {
      certificates.forEach { X509_free($0) }
      throw .notCertificates(path: path, reason: LibraryErrors.first())
    }
    return certificates
  }

  /// - Returns: an `EVP_PKEY *`.
  static func privateKey(path: String) throws(TLSConfigurationError) -> OpaquePointer {
    let file = try open(path)
    defer { BIO_free(file) }
    var isEncrypted = false
    let key = withUnsafeMutablePointer(to: &isEncrypted) {
      PEM_read_bio_PrivateKey(file, nil, refusePassword, $0)
    }
    if isEncrypted {
      EVP_PKEY_free(key)
      throw .encryptedKey(path: path)
    }
    guard let key else { throw .notAKey(path: path, reason: LibraryErrors.first()) }
    return key
  }

  private static func open(_ path: String) throws(TLSConfigurationError) -> OpaquePointer {
    LibraryErrors.clear()
    guard let file = BIO_new_file(path, "r") else {
      throw .unreadable(path: path, reason: LibraryErrors.first())
    }
    return file
  }
}

/// Asked for the password of an encrypted block; the default would read it from the terminal.
private func refusePassword(
  _: UnsafeMutablePointer<CChar>?, _: Int32, _: Int32, _ isEncrypted: UnsafeMutableRawPointer?
) -> Int32 {
  isEncrypted?.assumingMemoryBound(to: Bool.self).pointee = true
  return -1
}

extension CertificateSummary {
  /// - Parameter certificate: an `X509 *`, borrowed.
  init(_ certificate: OpaquePointer) {
    subject = Self.subject(of: certificate)
    notBefore = Self.seconds(X509_get0_notBefore(certificate))
    notAfter = Self.seconds(X509_get0_notAfter(certificate))
  }

  private static func subject(of certificate: OpaquePointer) -> String {
    guard let memory = BIO_new(BIO_s_mem()) else { return "" }
    defer { BIO_free(memory) }
    // Control characters come out escaped, so that no certificate writes lines into a log.
    X509_NAME_print_ex(memory, X509_get_subject_name(certificate), 0, crop_name_format())
    var text: UnsafeMutablePointer<CChar>?
    let count = crop_bio_memory(memory, &text)
    return String(decoding: UnsafeRawBufferPointer(start: text, count: max(0, count)), as: UTF8.self)
  }

  private static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int {
    guard let epoch = ASN1_TIME_set(nil, 0) else { return 0 }
    defer { ASN1_TIME_free(epoch) }
    var days: Int32 = 0
    var seconds: Int32 = 0
    ASN1_TIME_diff(&days, &seconds, epoch, time)
    return Int(days) * 86_400 + Int(seconds)
  }
}
