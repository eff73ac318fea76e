/// One entry of the setting `listen`: `http://127.0.0.1:8080`, `https://[::]:8443` or `unix:/run/crop.sock`, or any of
/// them behind `proxy+`.
enum ListenAddress: Sendable, Equatable, CustomStringConvertible {
  case tcp(host: String, port: Int, isTLS: Bool)
  case unix(path: String)
  /// Connections begin with a header of the PROXY protocol.
  indirect case proxied(ListenAddress)

  private static let proxied = "proxy+"

  /// - Returns: nil for anything that is not exactly of one of these forms; the port must be there.
  init?(_ text: Substring) {
    if text.hasPrefix(Self.proxied) {
      guard let address = Self(text.dropFirst(Self.proxied.count)), !address.isProxied else { return nil }
      self = .proxied(address)
      return
    }
    if text.hasPrefix("unix:") {
      guard let path = ValueGrammar.path.parse(String(text.dropFirst("unix:".count))), let path else {
        return nil
      }
      self = .unix(path: path)
      return
    }
    let isTLS = text.hasPrefix("https://")
    guard isTLS || text.hasPrefix("http://") else { return nil }
    let authority = text.dropFirst(isTLS ? "https://".count : "http://".count)
    guard let colon = authority.lastIndex(of: ":"),
      let port = ValueGrammar.integer(0...65_535).parse(String(authority[authority.index(after: colon)...]))
    else { return nil }
    var host = authority[..<colon]
    let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
    if isBracketed { host = host.dropFirst().dropLast() }
    // Colons only inside brackets: http://::1:8080 could mean two things.
    guard host.contains(":") == isBracketed, let host = ValueGrammar.host.parse(String(host)) else {
      return nil
    }
    self = .tcp(host: host, port: port, isTLS: isTLS)
  }

  var isProxied: Bool { if case .proxied = self { true } else { false } }

  /// The address itself, however its connections begin.
  var place: ListenAddress { if case .proxied(let address) = self { address.place } else { self } }

  var asksForTLS: Bool { if case .tcp(_, _, isTLS: true) = place { true } else { false } }

  var description: String {
    switch self {
    case .proxied(let address): "\(Self.proxied)\(address)"
    case .unix(let path): "unix:\(path)"
    case .tcp(let host, let port, let isTLS):
      "\(isTLS ? "https" : "http")://\(host.contains(":") ? "[\(host)]" : host):\(port)"
    }
  }
}

extension ValueGrammar<[ListenAddress]> {
  /// One address or several with commas between; `none` is the empty list.
  static var addresses: Self {
    Self(
      valueName: "urls",
      expected: "a list such as http://127.0.0.1:8080,http://[::]:8080,unix:/run/crop.sock, or none",
      parse: { text in
        if text == "none" { return [] }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        let addresses = parts.compactMap { ListenAddress($0) }
        return addresses.count == parts.count ? addresses : nil
      },
      render: { $0.isEmpty ? "none" : $0.map(\.description).joined(separator: ",") })
  }
}

extension ValueGrammar<String?> {
  /// An absolute path, or `none`.
  static var path: Self {
    optional("path", expected: "an absolute path") {
      // A comma would end the path where paths stand in lists.
      $0.hasPrefix("/") && $0.utf8.count > 1 && !$0.utf8.contains(0) && !$0.contains(",")
    }
  }

  /// A path, from the working directory where it is relative, or `none`; whether the file is there shows at the start.
  static var file: Self { optional("file", expected: "the path of a file", isValid: isPath) }

  /// The path of a folder, relative to where the server starts unless it begins with a slash.
  static var folder: Self { optional("folder", expected: "the path of a folder", isValid: isPath) }

  @Sendable
  private static func isPath(_ text: String) -> Bool { !text.isEmpty && !text.utf8.contains(0) }
}

extension ValueGrammar<Int> {
  /// Permission bits as chmod(1) writes them: `0660`.
  static var fileMode: Self {
    Self(
      valueName: "mode", expected: "permission bits in octal from 0000 to 0777, such as 0660",
      parse: { text in
        guard (3...4).contains(text.utf8.count),
          text.utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "7") }),
          let mode = Int(text, radix: 8), mode <= 0o777
        else { return nil }
        return mode
      },
      render: { mode in
        let digits = String(mode, radix: 8)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
      })
  }
}
