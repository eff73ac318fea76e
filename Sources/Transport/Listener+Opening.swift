import LibC

extension Listener {
  /// Opens everything the configuration asks for, or nothing.
  static func open(_ configuration: TransportConfiguration) throws(Server.StartError) -> [Listener] {
    var listeners: [Listener] = []
    for listener in configuration.listeners {
      // Accepting there would mean to talk plain HTTP where encryption was asked for.
      guard !listener.preamble.isTLS || configuration.tls != nil else {
        throw .unusable(place: listener.place.description, reason: "TLS is not configured")
      }
      switch listener.place {
      case .tcp(let host, let port):
        listeners += try open(host: host, port: port, listener.preamble, configuration)
      case .unix(let path, let mode):
        listeners.append(
          try Listener(unix: path, mode: mode, backlog: configuration.backlog, preamble: listener.preamble))
      case .inherited(let descriptor):
        listeners.append(try Listener(inheriting: descriptor, preamble: listener.preamble))
      }
    }
    return listeners
  }

  /// One listener for each address that `host` stands for.
  private static func open(
    host: String, port: UInt16, _ preamble: Preamble, _ configuration: TransportConfiguration
  ) throws(Server.StartError) -> [Listener] {
    let addresses: [SocketAddress]
    do throws(ResolutionError) {
      addresses = try SocketAddress.resolve(host: host, port: port)
    } catch {
      throw .resolution(error)
    }
    var listeners: [Listener] = []
    var missing: Server.StartError?
    for address in addresses {
      do throws(SystemError) {
        listeners.append(
          try Listener(
            tcp: address, reusesPort: configuration.reusesPort, backlog: configuration.backlog,
            preamble: preamble))
      } catch {
        let failure = Server.StartError.listening(address: address.description, error)
        // A name may stand for an address family that this machine does not have (::1 in containers).
        guard error.code == EAFNOSUPPORT || error.code == EADDRNOTAVAIL else { throw failure }
        missing = missing ?? failure
      }
      // A port of the system's choice is free on one address; nothing promises it on the next.
      if port == 0, !listeners.isEmpty { break }
    }
    if listeners.isEmpty, let missing { throw missing }
    return listeners
  }
}
