package import LibC

/// A numeric IPv4 or IPv6 address and port, or the path of a Unix-domain socket.
public struct SocketAddress: Sendable, CustomStringConvertible {
  /// What clients on a Unix socket are called, which have no address.
  static let unixRemote = "unix"

  private var storage: sockaddr_storage
  private var length: socklen_t

  private init(storage: sockaddr_storage, length: socklen_t) {
    self.storage = storage
    self.length = length
  }

  /// The bytes that `sun_path` has room for, less the terminating zero.
  package static let longestUnixPath = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1
  private static let pathOffset = socklen_t(MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2)

  /// The address of a socket file; nil when the path is empty, too long or holds a zero.
  package init?(unixPath path: String) {
    let bytes = Array(path.utf8)
    guard !bytes.isEmpty, bytes.count <= Self.longestUnixPath, !bytes.contains(0) else { return nil }
    storage = sockaddr_storage()
    storage.ss_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &storage) { target in
      UnsafeMutableRawBufferPointer(rebasing: target[Int(Self.pathOffset)...]).copyBytes(from: bytes)
    }
    length = Self.pathOffset + socklen_t(bytes.count) + 1
  }

  /// All addresses `host` stands for: a numeric address, a name, or the empty string for every interface.
  public static func resolve(host: String, port: UInt16) throws(ResolutionError) -> [SocketAddress] {
    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = systemStreamType
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
    var list: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(host.isEmpty ? nil : host, String(port), &hints, &list)
    guard status == 0 else {
      throw ResolutionError(host: host, reason: String(cString: gai_strerror(status)))
    }
    defer { freeaddrinfo(list) }
    var addresses: [SocketAddress] = []
    var entry = list
    while let info = entry?.pointee {
      if let source = info.ai_addr {
        var storage = sockaddr_storage()
        withUnsafeMutableBytes(of: &storage) { target in
          target.copyMemory(from: UnsafeRawBufferPointer(start: source, count: Int(info.ai_addrlen)))
        }
        addresses.append(SocketAddress(storage: storage, length: info.ai_addrlen))
      }
      entry = info.ai_next
    }
    return addresses
  }

  /// The address a call such as `getsockname` or `accept` fills in.
  static func filled(by call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32) -> (
    result: Int32, address: SocketAddress
  ) {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let result = withUnsafeMutablePointer(to: &storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { call($0, &length) }
    }
    return (result, SocketAddress(storage: storage, length: length))
  }

  package func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
    withUnsafePointer(to: storage) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
    }
  }

  package var family: Int32 { Int32(storage.ss_family) }

  public var isUnix: Bool { family == AF_UNIX }
  var isIP: Bool { family == AF_INET || family == AF_INET6 }

  /// 0 for a Unix-domain socket.
  public var port: UInt16 {
    guard isIP else { return 0 }
    return withUnsafeBytes(of: storage) { bytes in
      // The port stands at the same place in sockaddr_in and sockaddr_in6, in network order.
      UInt16(bigEndian: bytes.load(fromByteOffset: 2, as: UInt16.self))
    }
  }

  /// The bytes of `sun_path` that the system filled in, without a terminating zero.
  private var pathBytes: [UInt8] {
    let count = Int(length) - Int(Self.pathOffset)
    guard isUnix, count > 0 else { return [] }
    let bytes = withUnsafeBytes(of: storage) { Array($0.dropFirst(Int(Self.pathOffset)).prefix(count)) }
    return bytes.last == 0 ? bytes.dropLast() : bytes
  }

  /// `127.0.0.1:8080`, `[::1]:8080`, `unix:/run/crop.sock`; `unix` for a socket without a name.
  public var description: String {
    guard isIP else {
      // Linux has names outside the file system; they begin with a zero and are written with an @.
      let name = pathBytes.map { $0 == 0 ? UInt8(ascii: "@") : $0 }
      return name.isEmpty ? "unix" : "unix:\(String(decoding: name, as: UTF8.self))"
    }
    var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    let status = withSockaddr { address, length in
      getnameinfo(address, length, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST)
    }
    guard status == 0 else { return "unknown" }
    let name = String(decoding: host.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    return family == AF_INET6 ? "[\(name)]:\(port)" : "\(name):\(port)"
  }
}

public struct ResolutionError: Error, Sendable, CustomStringConvertible {
  public let host: String
  public let reason: String

  public var description: String { "cannot resolve host '\(host)': \(reason)" }
}
