import TLS

extension HealthProbe {
  /// The status code of the answer to `request`, encrypted.
  ///
  /// The server's certificate is not looked at: it seldom names the address that a probe on the same machine uses,
  /// and the probe has nothing to hide.
  static func exchangeOverTLS(
    _ request: [UInt8], on connection: borrowing OutgoingConnection, before deadline: ContinuousClock.Instant
  ) throws(Failure) -> Int {
    let session = try makeSession()
    var line: [UInt8] = []
    line.reserveCapacity(statusLength)
    var isSent = false
    while line.count < statusLength {
      let result = session.read(into: &line, atMost: statusLength - line.count)
      if !isSent, !session.isHandshaking {
        isSent = true
        _ = session.write(request[...])
      }
      if !session.outgoing.isEmpty {
        let bytes = Array(session.outgoing.slice)
        session.outgoing.consume(bytes.count)
        try connection.send(bytes, before: deadline)
      }
      switch result {
      case .bytes: break
      case .needsInput:
        session.received.append(contentsOf: try connection.receive(atMost: 16 << 10, before: deadline))
      case .end: throw Failure(description: "connection closed without a response")
      case .failed(let failure): throw Failure(description: "TLS: \(failure)")
      }
    }
    return try status(in: line)
  }

  private static func makeSession() throws(Failure) -> TLSSession {
    do throws(TLSFailure) {
      return try TLSSession.unverifiedClient()
    } catch {
      throw Failure(description: "TLS: \(error)")
    }
  }
}
