/// One `name=value` of a query string, decoded.
public struct QueryItem: Sendable, Equatable {
  public let name: String
  /// Empty when there was no `=`.
  public let value: String

  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }

  /// Decodes a query string in the way HTML forms encode it: pairs between `&`, `+` for a space, `%` escapes.
  ///
  /// Empty pairs are skipped; a repeated name is kept as often as it came.
  /// - Parameter maximumCount: how many pairs are accepted.
  /// - Throws: ``PercentEncodingError`` for a broken escape, for bytes that are not UTF-8, for names that
  ///   are not ASCII, and for too many pairs.
  public static func decode(
    _ query: String, maximumCount: Int = 100
  ) throws(PercentEncodingError) -> [QueryItem] {
    let pairs = Array(query.utf8).split(separator: UInt8(ascii: "&"))
    var items: [QueryItem] = []
    items.reserveCapacity(min(pairs.count, maximumCount))
    for pair in pairs {
      guard items.count < maximumCount else {
        throw PercentEncodingError(reason: "the query has more than \(maximumCount) parameters")
      }
      let equals = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
      let name = try PercentEncoding.decode(pair[..<equals], plusIsSpace: true)
      // Names are compared before anybody is authenticated: ASCII is compared byte by byte.
      guard name.utf8.allSatisfy({ $0 < 0x80 }) else {
        throw PercentEncodingError(reason: "a parameter name in the URL is not ASCII")
      }
      let value = try PercentEncoding.decode(pair[equals...].dropFirst(), plusIsSpace: true)
      items.append(QueryItem(name, value))
    }
    return items
  }
}

public struct PercentEncodingError: Error, Sendable, Equatable {
  /// One lower-case sentence for the client.
  public let reason: String
}

/// Percent-encoding of RFC 3986 section 2.1.
public enum PercentEncoding {
  /// Replaces each `%` and two hexadecimal digits by the byte they name.
  ///
  /// - Throws: when a `%` is not followed by two digits or the result is not UTF-8; nothing is repaired, because a
  ///   repaired name could be another one.
  public static func decode(
    _ bytes: some Collection<UInt8>, plusIsSpace: Bool = false
  ) throws(PercentEncodingError) -> String {
    // As most are: ASCII that stands for itself.
    if bytes.allSatisfy({ $0 < 0x80 && $0 != UInt8(ascii: "%") && $0 != UInt8(ascii: "+") }) {
      return String(decoding: bytes, as: UTF8.self)
    }
    var decoded: [UInt8] = []
    decoded.reserveCapacity(bytes.count)
    var iterator = bytes.makeIterator()
    while let byte = iterator.next() {
      if byte == UInt8(ascii: "+"), plusIsSpace {
        decoded.append(ASCII.space)
      } else if byte == UInt8(ascii: "%") {
        guard let high = iterator.next().flatMap(ASCII.hexadecimal),
          let low = iterator.next().flatMap(ASCII.hexadecimal)
        else {
          throw PercentEncodingError(reason: "a % in the URL must be followed by two hexadecimal digits")
        }
        decoded.append(UInt8(high * 16 + low))
      } else {
        decoded.append(byte)
      }
    }
    guard let text = String(validating: decoded, as: UTF8.self) else {
      throw PercentEncodingError(reason: "the percent-encoded bytes in the URL are not UTF-8")
    }
    return text
  }
}
