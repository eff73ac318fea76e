import CLinux

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

// Inside `Listener` the name `socket` means the property.
private func openSocket(_ family: Int32, _ type: Int32, _ protocolNumber: Int32) -> Int32 {
  socket(family, type, protocolNumber)
}

/// A listening TCP socket, closed with its last reference.
final class Listener: Sendable {
  private let socket: FileDescriptor
  let address: SocketAddress

  enum Accepted {
    /// The receiver owns the descriptor.
    case connection(descriptor: Int32, remote: SocketAddress)
    case none
    /// No descriptor or memory left: accepting again at once would spin.
    case exhausted(SystemError)
  }

  init(address requested: SocketAddress, backlog: Int32) throws(SystemError) {
    #if canImport(Glibc)
      let streamType = Int32(SOCK_STREAM.rawValue)
    #else
      let streamType = SOCK_STREAM
    #endif
    let descriptor = openSocket(requested.family, streamType | Self.closeOnExec | Self.nonBlocking, 0)
    guard descriptor >= 0 else { throw SystemError("socket") }
    socket = FileDescriptor(owning: descriptor)
    // A restart must not wait for the last connections' TIME_WAIT.
    Self.set(descriptor, SOL_SOCKET, SO_REUSEADDR)
    // 0.0.0.0 and [::] are bound side by side, so [::] must not claim IPv4 as well.
    if requested.family == AF_INET6 { Self.set(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY) }
    guard requested.withSockaddr({ bind(descriptor, $0, $1) }) == 0 else { throw SystemError("bind") }
    guard listen(descriptor, backlog) == 0 else { throw SystemError("listen") }
    let (result, bound) = SocketAddress.filled { getsockname(descriptor, $0, $1) }
    guard result == 0 else { throw SystemError("getsockname") }
    address = bound
  }

  var descriptor: Int32 { socket.rawValue }

  func accept() -> Accepted {
    while true {
      let listening = socket.rawValue
      let (descriptor, remote) = SocketAddress.filled { crop_accept(listening, $0, $1) }
      if descriptor >= 0 {
        // Answers leave at once: Nagle's algorithm with delayed acknowledgements costs 40 ms.
        Self.set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY)
        return .connection(descriptor: descriptor, remote: remote)
      }
      switch errno {
      case EAGAIN, EWOULDBLOCK: return .none
      case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted(SystemError("accept"))
      // The peer gave up before it was accepted, or a signal came: try the next one.
      default: continue
      }
    }
  }

  private static func set(_ descriptor: Int32, _ level: Int32, _ option: Int32) {
    var one: Int32 = 1
    setsockopt(descriptor, level, option, &one, socklen_t(MemoryLayout<Int32>.size))
  }

  private static let closeOnExec = Int32(SOCK_CLOEXEC.rawValue)
  private static let nonBlocking = Int32(SOCK_NONBLOCK.rawValue)
}
