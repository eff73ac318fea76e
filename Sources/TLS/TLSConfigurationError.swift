/// Why certificates and keys cannot be used; every message names the file.
public enum TLSConfigurationError: Error, Equatable, CustomStringConvertible {
  case unreadable(path: String, reason: String)
  case notCertificates(path: String, reason: String)
  case notAKey(path: String, reason: String)
  /// There is nobody to ask for a password.
  case encryptedKey(path: String)
  case keyMismatch(certificate: String, key: String)
  /// `date` as in RFC 3339, UTC.
  case expired(path: String, date: String)
  case notYetValid(path: String, date: String)
  /// OpenSSL rejects it: a key that is too short, a signature by a broken hash.
  case unusable(path: String, reason: String)
  /// Not about a file: out of memory, or an OpenSSL without the ciphers that are wanted.
  case library(reason: String)

  public var description: String {
    switch self {
    case .unreadable(let path, let reason): "\(path) cannot be read: \(reason)"
    case .notCertificates(let path, let reason):
      "\(path) is not a PEM file of certificates ('-----BEGIN CERTIFICATE-----'): \(reason)"
    case .notAKey(let path, let reason):
      "\(path) is not a PEM file with a private key ('-----BEGIN PRIVATE KEY-----'): \(reason)"
    case .encryptedKey(let path):
      "the private key in \(path) is encrypted; 'openssl pkey -in \(path)' writes one that is not"
    case .keyMismatch(let certificate, let key):
      "the private key in \(key) does not belong to the first certificate in \(certificate)"
    case .expired(let path, let date): "the certificate in \(path) expired on \(date)"
    case .notYetValid(let path, let date): "the certificate in \(path) is not valid before \(date)"
    case .unusable(let path, let reason): "\(path) cannot be used: \(reason)"
    case .library(let reason): "TLS cannot be set up: \(reason)"
    }
  }
}
