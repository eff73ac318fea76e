import COpenSSL
import FoundationEssentials

/// A folder of certificates and keys made for one test, gone with this object.
public final class CertificateFolder {
  private let folder: URL
  private var serialNumber = 1

  public init() throws {
    folder = FileManager.default.temporaryDirectory.appending(path: "crop-tls-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  public func path(_ name: String) -> String { folder.appending(path: name).path }

  public func write(_ text: String, to name: String) throws -> String {
    try Data(text.utf8).write(to: folder.appending(path: name))
    return path(name)
  }

  /// A certificate and its key, both in memory and as PEM files.
  public final class Issued {
    public let certificatePath: String
    public let keyPath: String
    fileprivate let certificate: OpaquePointer
    fileprivate let key: OpaquePointer

    fileprivate init(
      certificatePath: String, keyPath: String, certificate: OpaquePointer, key: OpaquePointer
    ) {
      self.certificatePath = certificatePath
      self.keyPath = keyPath
      self.certificate = certificate
      self.key = key
    }

    deinit {
      X509_free(certificate)
      EVP_PKEY_free(key)
    }
  }

  struct MakingError: Error { let step: String }

  /// Makes `NAME.pem` and `NAME.key`.
  ///
  /// - Parameters:
  ///   - issuer: who signs; nil for a self-signed authority.
  ///   - validFrom: seconds from now.
  ///   - validUntil: seconds from now.
  ///   - password: encrypts the key file.
  public func issue(
    _ name: String, by issuer: Issued? = nil, validFrom: Int = -60, validUntil: Int = 86_400,
    password: String? = nil
  ) throws -> Issued {
    let key = try Self.makeKey()
    guard let certificate = X509_new() else { throw MakingError(step: "X509_new") }
    X509_set_version(certificate, 2)
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serialNumber)
    serialNumber += 1
    X509_gmtime_adj(X509_getm_notBefore(certificate), validFrom)
    X509_gmtime_adj(X509_getm_notAfter(certificate), validUntil)
    X509_set_pubkey(certificate, key)
    let subject = X509_get_subject_name(certificate)
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, Array(name.utf8), Int32(name.utf8.count), -1, 0)
    X509_set_issuer_name(certificate, issuer.map { X509_get_subject_name($0.certificate) } ?? subject)
    if issuer == nil {
      try Self.add(NID_basic_constraints, "critical,CA:TRUE", to: certificate)
    } else {
      try Self.add(NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1", to: certificate)
    }
    guard X509_sign(certificate, issuer?.key ?? key, EVP_sha256()) > 0 else {
      throw MakingError(step: "X509_sign")
    }
    let issued = Issued(
      certificatePath: path("\(name).pem"), keyPath: path("\(name).key"), certificate: certificate, key: key)
    try Self.writeFile(issued.certificatePath) { PEM_write_bio_X509($0, certificate) }
    try Self.writeFile(issued.keyPath) {
      guard let password else { return PEM_write_bio_PrivateKey($0, key, nil, nil, 0, nil, nil) }
      let bytes = Array(password.utf8)
      return PEM_write_bio_PrivateKey($0, key, EVP_aes_128_cbc(), bytes, Int32(bytes.count), nil, nil)
    }
    return issued
  }

  private static func makeKey() throws -> OpaquePointer {
    guard let context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nil) else { throw MakingError(step: "key context") }
    defer { EVP_PKEY_CTX_free(context) }
    var key: OpaquePointer?
    guard EVP_PKEY_keygen_init(context) == 1,
      EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1) == 1,
      EVP_PKEY_keygen(context, &key) == 1, let key
    else { throw MakingError(step: "key") }
    return key
  }

  private static func add(_ kind: Int32, _ value: String, to certificate: OpaquePointer) throws {
    guard let entry = X509V3_EXT_conf_nid(nil, nil, kind, value) else { throw MakingError(step: value) }
    defer { X509_EXTENSION_free(entry) }
    X509_add_ext(certificate, entry, -1)
  }

  private static func writeFile(_ path: String, _ write: (OpaquePointer) -> Int32) throws {
    guard let file = BIO_new_file(path, "w") else { throw MakingError(step: path) }
    defer { BIO_free(file) }
    guard write(file) == 1 else { throw MakingError(step: path) }
  }
}
