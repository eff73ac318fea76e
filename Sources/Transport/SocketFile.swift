import LibC
import Synchronization

/// The file that a Unix-domain socket of this process is bound to; removed once, and only while it is still ours.
final class SocketFile: Sendable {
  private let path: String
  private let identity: Identity
  private let isRemoved = Atomic(false)

  /// What tells a file from another one of the same name. A bound socket keeps its inode: no other file has the
  /// number as long as the socket is open.
  private struct Identity: Equatable {
    let device: UInt64
    let inode: UInt64
  }

  private init(path: String, identity: Identity) {
    self.path = path
    self.identity = identity
  }

  func remove() {
    guard !isRemoved.exchange(true, ordering: .relaxed), let status = Self.status(of: path),
      Self.identity(status) == identity
    else { return }
    _ = unlink(path)
  }

  /// Binds `descriptor`, replacing the file of a server that is gone.
  ///
  /// Nothing but a socket that nobody answers is ever removed.
  static func bind(
    _ descriptor: Int32, to path: String, mode: UInt32
  ) throws(Server.StartError) -> SocketFile {
    func refused(_ reason: String) -> Server.StartError { .unusable(place: "unix:\(path)", reason: reason) }
    guard let address = SocketAddress(unixPath: path) else {
      throw refused("the path must have 1 to \(SocketAddress.longestUnixPath) bytes")
    }
    // The file gets the socket's bits less the umask's; chmod adds those. So it is never more open than asked.
    _ = fchmod(descriptor, mode_t(mode))
    if address.withSockaddr({ systemBind(descriptor, $0, $1) }) != 0 {
      guard errno == EADDRINUSE else { throw .listening(address: "unix:\(path)", SystemError("bind")) }
      if let obstacle = obstacle(at: path, address) { throw refused(obstacle) }
      _ = unlink(path)
      guard address.withSockaddr({ systemBind(descriptor, $0, $1) }) == 0 else {
        throw .listening(address: "unix:\(path)", SystemError("bind"))
      }
    }
    guard let status = status(of: path) else {
      throw .listening(address: "unix:\(path)", SystemError("lstat"))
    }
    let file = SocketFile(path: path, identity: identity(status))
    // Before listen(2): until then nobody can connect.
    guard chmod(path, mode_t(mode)) == 0 else {
      let error = SystemError("chmod")
      file.remove()
      throw .listening(address: "unix:\(path)", error)
    }
    return file
  }

  /// Why what lies at `path` must stay; nil for the socket of a server that is gone.
  private static func obstacle(at path: String, _ address: SocketAddress) -> String? {
    guard let status = status(of: path) else { return nil }
    guard status.st_mode & S_IFMT == S_IFSOCK else { return "there is a file that is not a socket" }
    let descriptor = systemSocket(AF_UNIX)
    guard descriptor >= 0 else { return "\(SystemError("socket"))" }
    let socket = FileDescriptor(owning: descriptor)
    // Non-blocking: a server whose queue is full is alive, too.
    if address.withSockaddr({ connect(socket.rawValue, $0, $1) }) == 0 || errno == EAGAIN {
      return "in use: a server accepts connections there"
    }
    let code = errno
    return code == ECONNREFUSED || code == ENOENT
      ? nil : "cannot tell whether it is in use (\(SystemError("connect", code: code)))"
  }

  private static func status(of path: String) -> stat? {
    var status = stat()
    return lstat(path, &status) == 0 ? status : nil
  }

  private static func identity(_ status: stat) -> Identity {
    Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
  }
}

private func systemBind(
  _ descriptor: Int32, _ address: UnsafePointer<sockaddr>, _ length: socklen_t
) -> Int32 { bind(descriptor, address, length) }
