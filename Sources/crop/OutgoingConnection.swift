import LibC

/// A plain connection to another program, every wait of which ends at a deadline.
struct OutgoingConnection: ~Copyable {
  struct Failure: Error, Equatable, CustomStringConvertible {
    let description: String
  }

  let descriptor: Int32

  /// - Throws: when nobody accepts the connection before the deadline.
  init(to address: Address, before deadline: ContinuousClock.Instant) throws(Failure) {
    descriptor = try Self.connect(to: address, before: deadline)
  }

  deinit { close(descriptor) }

  // MARK: Addresses

  struct Address {
    fileprivate var family: Int32
    /// A `sockaddr` of the family.
    fileprivate var bytes: [UInt8]
  }

  /// Every address of a host, at least one.
  static func addresses(of url: HealthURL) throws(Failure) -> [Address] {
    switch url.peer {
    case .tcp(let host, let port):
      let addresses = try addresses(host: host, port: port)
      guard !addresses.isEmpty else { throw Failure(description: "'\(url.authority)' has no address") }
      return addresses
    case .unix(let path): return [try address(ofSocketFile: path)]
    }
  }

  private static func address(ofSocketFile path: String) throws(Failure) -> Address {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let room = MemoryLayout.size(ofValue: address.sun_path)
    guard path.utf8.count < room else {
      throw Failure(description: "'\(path)' is longer than \(room - 1) bytes")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return Address(family: AF_UNIX, bytes: withUnsafeBytes(of: address) { Array($0) })
  }

  private static func addresses(host: String, port: UInt16) throws(Failure) -> [Address] {
    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = streamSocket
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, String(port), &hints, &list)
    guard code == 0 else {
      throw Failure(description: "'\(host)': \(String(cString: gai_strerror(code)))")
    }
    defer { freeaddrinfo(list) }
    var addresses: [Address] = []
    var next = list
    while let info = next?.pointee {
      let bytes = UnsafeRawBufferPointer(start: info.ai_addr, count: Int(info.ai_addrlen))
      addresses.append(Address(family: info.ai_family, bytes: Array(bytes)))
      next = info.ai_next
    }
    return addresses
  }

  // MARK: Bytes

  private static func connect(
    to address: Address, before deadline: ContinuousClock.Instant
  ) throws(Failure) -> Int32 {
    let descriptor = socket(address.family, streamSocket, 0)
    guard descriptor >= 0 else { throw failure(errno) }
    do throws(Failure) {
      guard fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0 else { throw failure(errno) }
      let result = address.bytes.withUnsafeBytes { bytes in
        bytes.withMemoryRebound(to: sockaddr.self) {
          systemConnect(descriptor, $0.baseAddress, socklen_t(bytes.count))
        }
      }
      if result != 0 {
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

// MARK: The names the systems disagree about

#if canImport(Glibc)
  private let streamSocket = Int32(SOCK_STREAM.rawValue)
#else
  private let streamSocket = SOCK_STREAM
#endif

private func systemConnect(_ descriptor: Int32, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t)
  -> Int32
{
  connect(descriptor, address, length)
}

/// A peer that is gone must be an error, not a SIGPIPE.
private func systemSend(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
  #if canImport(Darwin)
    send(descriptor, bytes, count, 0)
  #else
    send(descriptor, bytes, count, Int32(MSG_NOSIGNAL))
  #endif
}
