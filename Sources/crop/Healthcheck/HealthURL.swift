/// The parts of an `http://` address that a probe needs.
struct HealthURL: Equatable, Sendable {
  /// Without the brackets of an IPv6 address.
  let host: String
  let port: UInt16
  /// Path and query; at least `/`.
  let target: String

  /// - Returns: nil for anything but `http://host[:port][/path]`.
  init?(_ text: String) {
    guard text.hasPrefix("http://"),
      text.utf8.allSatisfy({ $0 > UInt8(ascii: " ") && $0 < 0x7f && $0 != UInt8(ascii: "@") })
    else { return nil }
    let rest = text.dropFirst("http://".count)
    let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    let target = rest[authority.endIndex...].prefix { $0 != "#" }
    guard let (host, port) = Self.split(authority) else { return nil }
    self.host = String(host)
    self.port = port
    self.target = target.hasPrefix("/") ? String(target) : "/" + target
  }

  private static func split(_ authority: Substring) -> (host: Substring, port: UInt16)? {
    let host: Substring
    var rest: Substring
    if authority.hasPrefix("[") {
      guard let close = authority.firstIndex(of: "]") else { return nil }
      host = authority[authority.index(after: authority.startIndex)..<close]
      rest = authority[authority.index(after: close)...]
    } else {
      host = authority.prefix { $0 != ":" }
      rest = authority[host.endIndex...]
    }
    guard !host.isEmpty else { return nil }
    guard !rest.isEmpty else { return (host, 80) }
    guard rest.removeFirst() == ":", rest.allSatisfy({ $0.isASCII && $0.isWholeNumber }),
      let port = UInt16(rest), port > 0
    else { return nil }
    return (host, port)
  }

  /// Host and port as the Host field has them.
  var authority: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
