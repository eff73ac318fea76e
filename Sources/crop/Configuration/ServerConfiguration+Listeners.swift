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
        switch address {
        case .tcp(let host, let port, let isTLS):
          // The range of ports is the grammar's.
          inherited.isEmpty ? .tcp(host, UInt16(port), isTLS: isTLS) : nil
        case .unix(let path): .unix(path, mode: UInt32(unixSocketMode))
        }
      }
  }
}
