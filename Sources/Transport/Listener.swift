import CLinux
import LibC

/// A listening stream socket, closed with its last reference.
final class Listener: Sendable {
  private let socket: FileDescriptor
  private let file: SocketFile?
  let address: SocketAddress
  let preamble: Preamble
  /// Somebody else holds the socket, too: what waits in its queue is the next server's.
  let isInherited: Bool

  enum Accepted {
    /// The receiver owns the descriptor.
    case connection(descriptor: Int32, remote: String, preamble: Preamble)
    case none
    /// No descriptor or memory left: accepting again at once would spin.
    case exhausted(SystemError)
  }

  /// Listens on a TCP address.
  ///
  /// - Parameter reusesPort: other sockets with the same wish may listen on the address beside this one.
  init(
    tcp requested: SocketAddress, reusesPort: Bool, backlog: Int32, preamble: Preamble = .none
  ) throws(SystemError) {
    socket = try Self.open(requested.family)
    let descriptor = socket.rawValue
    // A restart must not wait for the last connections' TIME_WAIT.
    Self.set(descriptor, SOL_SOCKET, SO_REUSEADDR)
    if reusesPort, !Self.set(descriptor, SOL_SOCKET, SO_REUSEPORT) { throw SystemError("SO_REUSEPORT") }
    // 0.0.0.0 and [::] are bound side by side, so [::] must not claim IPv4 as well.
    if requested.family == AF_INET6 { Self.set(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY) }
    guard requested.withSockaddr({ bind(descriptor, $0, $1) }) == 0 else { throw SystemError("bind") }
    guard listen(descriptor, backlog) == 0 else { throw SystemError("listen") }
    address = try Self.boundAddress(descriptor)
    file = nil
    isInherited = false
    self.preamble = preamble
  }

  /// Listens on a Unix-domain socket, whose file goes when this listener does.
  init(unix path: String, mode: UInt32, backlog: Int32, preamble: Preamble = .none) throws(Server.StartError)
  {
    do throws(SystemError) { socket = try Self.open(AF_UNIX) } catch { throw .system(error) }
    let file = try SocketFile.bind(socket.rawValue, to: path, mode: mode)
    do throws(SystemError) {
      guard listen(socket.rawValue, backlog) == 0 else { throw SystemError("listen") }
      address = try Self.boundAddress(socket.rawValue)
    } catch {
      file.remove()
      throw .listening(address: "unix:\(path)", error)
    }
    self.file = file
    isInherited = false
    self.preamble = preamble
  }

  /// Takes over a socket that listens already.
  init(inheriting descriptor: Int32, preamble: Preamble = .none) throws(Server.StartError) {
    let place = ListenerConfiguration.Place.inherited(descriptor: descriptor).description
    guard fcntl(descriptor, F_GETFD) >= 0 else { throw .unusable(place: place, reason: "is not open") }
    guard Self.option(descriptor, SO_TYPE) == systemStreamType, Self.option(descriptor, SO_ACCEPTCONN) == 1
    else { throw .unusable(place: place, reason: "is not a listening stream socket") }
    do throws(SystemError) {
      let flags = fcntl(descriptor, F_GETFL)
      guard flags >= 0, fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) == 0,
        fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0
      else { throw SystemError("fcntl") }
      address = try Self.boundAddress(descriptor)
    } catch {
      throw .listening(address: place, error)
    }
    guard address.isUnix || address.isIP else {
      throw .unusable(place: place, reason: "is neither a TCP nor a Unix-domain socket")
    }
    socket = FileDescriptor(owning: descriptor)
    file = nil
    isInherited = true
    self.preamble = preamble
  }

  deinit { file?.remove() }

  var descriptor: Int32 { socket.rawValue }

  var endpoint: ListeningEndpoint {
    ListeningEndpoint(address: address, preamble: preamble, isInherited: isInherited)
  }

  func accept() -> Accepted {
    while true {
      let listening = socket.rawValue
      let (descriptor, remote) = SocketAddress.filled { crop_accept(listening, $0, $1) }
      if descriptor >= 0 {
        guard !address.isUnix else {
          // A peer may have bound its end to a path: its own choice of text, which says nothing.
          return .connection(descriptor: descriptor, remote: SocketAddress.unixRemote, preamble: preamble)
        }
        // Answers leave at once: Nagle's algorithm with delayed acknowledgements costs 40 ms.
        Self.set(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY)
        return .connection(descriptor: descriptor, remote: remote.description, preamble: preamble)
      }
      switch errno {
      case EAGAIN, EWOULDBLOCK, EINVAL, EBADF: return .none
      case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted(SystemError("accept"))
      // The peer gave up before it was accepted, or a signal came: try the next one.
      default: continue
      }
    }
  }

  /// Lets no new connection begin; those that have begun can still be accepted.
  ///
  /// Closing a socket resets what is in its queue, so the queue has to be emptied when nothing is added any more.
  ///
  /// - Returns: whether handshakes may be under way that end later: their connections are still to come.
  func refuseConnections() -> Bool {
    file?.remove()
    if address.isUnix {
      // Linux rejects to connect from here on, and accept(2) still hands out the queue (unix(7) has no handshake).
      _ = shutdown(socket.rawValue, Int32(SHUT_RD))
      return false
    }
    // Not shutdown(2), which resets a TCP queue. A filter drops the first packet of new connections: their clients
    // send it again after a second and meet a closed port, or the server that took over.
    return crop_drop_new_connections(socket.rawValue) == 0
  }

  // MARK: System calls

  private static func open(_ family: Int32) throws(SystemError) -> FileDescriptor {
    let descriptor = systemSocket(family)
    guard descriptor >= 0 else { throw SystemError("socket") }
    return FileDescriptor(owning: descriptor)
  }

  private static func boundAddress(_ descriptor: Int32) throws(SystemError) -> SocketAddress {
    let (result, bound) = SocketAddress.filled { getsockname(descriptor, $0, $1) }
    guard result == 0 else { throw SystemError("getsockname") }
    return bound
  }

  @discardableResult
  private static func set(_ descriptor: Int32, _ level: Int32, _ option: Int32) -> Bool {
    var one: Int32 = 1
    return setsockopt(descriptor, level, option, &one, socklen_t(MemoryLayout<Int32>.size)) == 0
  }

  private static func option(_ descriptor: Int32, _ option: Int32) -> Int32? {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    return getsockopt(descriptor, SOL_SOCKET, option, &value, &length) == 0 ? value : nil
  }
}

let systemStreamType = Int32(SOCK_STREAM.rawValue)

/// A new stream socket that does not block and is closed on exec; negative, with `errno`, when there is none.
package func systemSocket(_ family: Int32) -> Int32 {
  socket(family, systemStreamType | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
}
