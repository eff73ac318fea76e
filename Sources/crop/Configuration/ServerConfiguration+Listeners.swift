import Transport

extension ServerConfiguration {
  /// Every place to accept connections, as configured; socket activation may replace those of TCP.
  var listenAddresses: [ListenAddress] {
    let addresses = listen.isEmpty ? [.tcp(host: httpHost, port: httpPort, isTLS: tlsCert != nil)] : listen
    return addresses + (unixSocket.map { [.unix(path: $0)] } ?? [])
  }

  func listeners(inherited: [ListenerConfiguration]) -> [ListenerConfiguration] {
    inherited
      + listenAddresses.compactMap { address in
        if case .tcp = address.place, !inherited.isEmpty { return nil }
        return listener(at: address)
      }
  }

  /// Of probes and metrics alone.
  var adminListeners: [ListenerConfiguration] { adminListen.map(listener) }

  private func listener(at address: ListenAddress) -> ListenerConfiguration {
    switch address {
    case .proxied(let address):
      var listener = listener(at: address)
      listener.preamble.isProxied = true
      return listener
    // The range of ports is the grammar's.
    case .tcp(let host, let port, let isTLS): return .tcp(host, UInt16(port), isTLS: isTLS)
    case .unix(let path): return .unix(path, mode: UInt32(unixSocketMode))
    }
  }
}
