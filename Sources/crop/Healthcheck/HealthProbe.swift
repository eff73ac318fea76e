/// One GET over one connection, all of it within a deadline.
enum HealthProbe {
  typealias Failure = OutgoingConnection.Failure

  /// The status code of the answer.
  static func status(of url: EndpointURL, within timeout: Duration) throws(Failure) -> Int {
    let deadline = ContinuousClock.now + timeout
    let request = "GET \(url.target) HTTP/1.1\r\nHost: \(url.authority)\r\nConnection: close\r\n\r\n"
    return try OutgoingConnection.first(of: url, before: deadline) { connection throws(Failure) in
      if url.isTLS {
        return try exchangeOverTLS(Array(request.utf8), on: connection, before: deadline)
      }
      return try exchange(Array(request.utf8), on: connection, before: deadline)
    }
  }

  /// The status code of the answer to `request`; reads no further than the status line, "HTTP/1.1 200".
  static func exchange(
    _ request: [UInt8], on connection: borrowing OutgoingConnection, before deadline: ContinuousClock.Instant
  ) throws(Failure) -> Int {
    try connection.send(request, before: deadline)
    var line: [UInt8] = []
    while line.count < statusLength {
      line += try connection.receive(atMost: statusLength - line.count, before: deadline)
    }
    return try status(in: line)
  }

  static let statusLength = "HTTP/1.1 200".utf8.count

  static func status(in line: [UInt8]) throws(Failure) -> Int {
    let digits = line[9...]
    guard line.starts(with: "HTTP/1.".utf8), line[8] == UInt8(ascii: " "),
      digits.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") })
    else { throw Failure(description: "the response is not HTTP/1") }
    return digits.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
  }
}
