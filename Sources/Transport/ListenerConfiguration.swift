/// One place where the server accepts connections.
public struct ListenerConfiguration: Sendable, Equatable {
  public enum Place: Sendable, Equatable, CustomStringConvertible {
    /// A numeric address or a name (all its addresses); empty for every interface. Port 0 lets the system choose.
    case tcp(host: String, port: UInt16)
    /// A socket file with these permission bits, whatever the process's umask.
    case unix(path: String, mode: UInt32)
    /// A socket that listens already and stays open elsewhere: the server that holds it next serves what waits.
    case inherited(descriptor: Int32)

    public var description: String {
      switch self {
      case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
      case .unix(let path, _): "unix:\(path)"
      case .inherited(let descriptor): "inherited descriptor \(descriptor)"
      }
    }
  }

  public var place: Place
  public var preamble: Preamble

  public init(_ place: Place, isTLS: Bool = false, isProxied: Bool = false) {
    self.place = place
    preamble = Preamble(isTLS: isTLS, isProxied: isProxied)
  }

  public static func tcp(_ host: String, _ port: UInt16, isTLS: Bool = false, isProxied: Bool = false) -> Self
  {
    Self(.tcp(host: host, port: port), isTLS: isTLS, isProxied: isProxied)
  }

  public static func unix(_ path: String, mode: UInt32, isTLS: Bool = false, isProxied: Bool = false) -> Self
  {
    Self(.unix(path: path, mode: mode), isTLS: isTLS, isProxied: isProxied)
  }

  public static func inherited(_ descriptor: Int32, isTLS: Bool = false, isProxied: Bool = false) -> Self {
    Self(.inherited(descriptor: descriptor), isTLS: isTLS, isProxied: isProxied)
  }
}

/// What comes on a connection before its first request.
public struct Preamble: Sendable, Equatable {
  /// A TLS handshake.
  public var isTLS: Bool
  /// A balancer says for whom it speaks, by the PROXY protocol; before the handshake, if both come.
  public var isProxied: Bool

  public static let none = Preamble(isTLS: false, isProxied: false)
}

/// Where a server listens, as the system reports it.
public struct ListeningEndpoint: Sendable {
  public let address: SocketAddress
  public let preamble: Preamble
  public let isInherited: Bool

  /// `http://127.0.0.1:8080`, `https://[::]:8443`, `unix:/run/crop.sock`, or one of them behind `proxy+`.
  public var url: String {
    let expectation = preamble.isProxied ? "proxy+" : ""
    if address.isUnix { return "\(expectation)\(address)" }
    return "\(expectation)\(preamble.isTLS ? "https" : "http")://\(address)"
  }
}
