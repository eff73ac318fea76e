/// Byte-level rules of RFC 9110 section 5.6 and RFC 5234: protocols are bytes, never `String`.
public enum ASCII {
  /// Folds A-Z only. `String.lowercased()` would fold U+212A (Kelvin sign) to `k`.
  @inlinable
  public static func lowercase(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }

  @inlinable
  public static func equalsIgnoringCase(_ a: some Collection<UInt8>, _ b: some Collection<UInt8>) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { lowercase($0) == lowercase($1) }
  }
}
