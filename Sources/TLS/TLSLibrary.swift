internal import COpenSSL

public enum TLSLibrary {
  /// As the library that is loaded says: `OpenSSL 3.0.17 1 Jul 2025`.
  public static var version: String { String(cString: OpenSSL_version(OPENSSL_VERSION)) }
}
