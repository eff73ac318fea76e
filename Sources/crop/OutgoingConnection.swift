import LibC
import Transport

/// A plain connection to another program, every wait of which ends at a deadline.
struct OutgoingConnection: ~Copyable {
  struct Failure: Error, Equatable, CustomStringConvertible {
    let description: String
  }

  let descriptor: Int32

  /// - Throws: when nobody accepts the connection before the deadline.
  private init(to address: SocketAddress, before deadline: ContinuousClock.Instant) throws(Failure) {
    descriptor = try Self.connect(to: address, before: deadline)
  }

  deinit { close(descriptor) }

  // MARK: Addresses

  /// What `exchange` makes of a connection to `url`: each address of the host is tried in turn until one succeeds.
  static func first<Result>(
    of url: EndpointURL, before deadline: ContinuousClock.Instant,
    _ exchange: (borrowing OutgoingConnection) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var failure = Failure(description: "'\(url.authority)' has no address")
    for address in try addresses(of: url) {
      do throws(Failure) {
        let connection = try OutgoingConnection(to: address, before: deadline)
        return try exchange(connection)
      } catch {
        failure = error
      }
    }
    throw failure
  }

  private static func addresses(of url: EndpointURL) throws(Failure) -> [SocketAddress] {
    switch url.peer {
    case .tcp(let host, let port):
      do throws(ResolutionError) {
        return try SocketAddress.resolve(host: host, port: port)
      } catch {
        throw Failure(description: "'\(error.host)': \(error.reason)")
      }
    case .unix(let path):
      guard let address = SocketAddress(unixPath: path) else {
        throw Failure(description: "'\(path)' is longer than \(SocketAddress.longestUnixPath) bytes")
      }
      return [address]
    }
  }

  // MARK: Bytes

  private static func connect(
    to address: SocketAddress, before deadline: ContinuousClock.Instant
  ) throws(Failure) -> Int32 {
    let descriptor = systemSocket(address.family)
    guard descriptor >= 0 else { throw failure(errno) }
    do throws(Failure) {
      if address.withSockaddr({ systemConnect(descriptor, $0, $1) }) != 0 {
        guard errno == EINPROGRESS else { throw failure(errno) }
        try wait(for: POLLOUT, on: descriptor, before: deadline)
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 else { throw failure(errno) }
        guard code == 0 else { throw failure(code) }
      }
      return descriptor
    } catch {
      close(descriptor)
      throw error
    }
  }

  func send(
    _ bytes: [UInt8], before deadline: ContinuousClock.Instant
  ) throws(Failure) {
    var rest = bytes[...]
    while !rest.isEmpty {
      try Self.wait(for: POLLOUT, on: descriptor, before: deadline)
      let count = rest.withUnsafeBytes { systemSend(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno != EINTR && errno != EAGAIN {
        throw Self.failure(errno)
      }
    }
  }

  /// At least one byte.
  func receive(
    atMost limit: Int, before deadline: ContinuousClock.Instant
  ) throws(Failure) -> ArraySlice<UInt8> {
    while true {
      try Self.wait(for: POLLIN, on: descriptor, before: deadline)
      var buffer = [UInt8](repeating: 0, count: limit)
      let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
      guard count != 0 else { throw Failure(description: "connection closed without a response") }
      if count > 0 { return buffer.prefix(count) }
      guard errno == EINTR || errno == EAGAIN else { throw Self.failure(errno) }
    }
  }

  /// Reads the rest of an answer, so that closing does not cut the peer off in the middle of it.
  func discardInput(atMost limit: Int, before deadline: ContinuousClock.Instant) {
    var count = 0
    while count < limit {
      do throws(Failure) {
        count += try receive(atMost: min(16 << 10, limit - count), before: deadline).count
      } catch {
        return
      }
    }
  }

  private static func wait(
    for event: some BinaryInteger, on descriptor: Int32, before deadline: ContinuousClock.Instant
  ) throws(Failure) {
    while true {
      let left = deadline - ContinuousClock.now
      guard left > .zero else { throw Failure(description: "no response in time") }
      var item = pollfd(fd: descriptor, events: Int16(event), revents: 0)
      // Rounded up, so that the last millisecond is not spent spinning.
      let milliseconds = left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000
      let count = poll(&item, 1, Int32(clamping: milliseconds + 1))
      if count > 0 { return }
      guard count == 0 || errno == EINTR else { throw failure(errno) }
    }
  }

  private static func failure(_ code: Int32) -> Failure {
    Failure(description: String(cString: strerror(code)).lowercased())
  }
}

// MARK: Calls that members of the same name hide

private func systemConnect(_ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ length: socklen_t)
  -> Int32
{
  connect(descriptor, address, length)
}

/// A peer that is gone must be an error, not a SIGPIPE.
private func systemSend(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
  send(descriptor, bytes, count, Int32(MSG_NOSIGNAL))
}
