/// The parts of an `http://`, `https://` or `unix:` address that a client needs.
struct EndpointURL: Equatable, Sendable {
  enum Peer: Equatable, Sendable {
    /// The host is without the brackets of an IPv6 address.
    case tcp(host: String, port: UInt16)
    case unix(path: String)
  }

  let peer: Peer
  let isTLS: Bool
  /// Path and query; at least `/`.
  let target: String

  /// - Returns: nil for anything but `http[s]://host[:port][/path]` and `unix:/socket/file[:/path]`; without a path
  ///   a socket file is asked for `/livez`.
  init?(_ text: String) {
    guard text.utf8.allSatisfy({ $0 > UInt8(ascii: " ") && $0 < 0x7f && $0 != UInt8(ascii: "@") }) else {
      return nil
    }
    if text.hasPrefix("unix:/") {
      let parts = text.dropFirst("unix:".count).split(separator: ":/", maxSplits: 1)
      peer = .unix(path: String(parts[0]))
      isTLS = false
      target = parts.count == 2 ? "/" + parts[1] : "/livez"
      return
    }
    isTLS = text.hasPrefix("https://")
    guard isTLS || text.hasPrefix("http://") else { return nil }
    let rest = text.dropFirst(isTLS ? "https://".count : "http://".count)
    let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    let target = rest[authority.endIndex...].prefix { $0 != "#" }
    guard let (host, port) = Self.split(authority, defaultPort: isTLS ? 443 : 80) else { return nil }
    peer = .tcp(host: String(host), port: port)
    self.target = target.hasPrefix("/") ? String(target) : "/" + target
  }

  private static func split(_ authority: Substring, defaultPort: UInt16) -> (host: Substring, port: UInt16)? {
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
    guard !rest.isEmpty else { return (host, defaultPort) }
    guard rest.removeFirst() == ":", rest.allSatisfy({ $0.isASCII && $0.isWholeNumber }),
      let port = UInt16(rest), port > 0
    else { return nil }
    return (host, port)
  }

  /// What the Host field says; a socket file has no name there.
  var authority: String {
    switch peer {
    case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix: "localhost"
    }
  }
}
