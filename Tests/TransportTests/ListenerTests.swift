import Glibc
import Testing

@testable import Transport

@Suite struct ListenerTests {
  /// A folder of its own for a socket file, gone with the value.
  private final class Folder {
    let path: String

    init() throws {
      var template = Array("/tmp/cropXXXXXX".utf8CString)
      guard mkdtemp(&template) != nil else { throw ClientError(what: "mkdtemp", code: errno) }
      path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    var socket: String { path + "/s" }

    deinit {
      unlink(socket)
      rmdir(path)
    }
  }

  private func isThere(_ path: String) -> Bool { access(path, F_OK) == 0 }

  private func connected(to address: SocketAddress) -> FileDescriptor {
    let descriptor = systemSocket(address.family)
    _ = address.withSockaddr { connect(descriptor, $0, $1) }
    return FileDescriptor(owning: descriptor)
  }

  private func isConnected(_ listener: Listener) -> Bool {
    guard case .connection(let descriptor, _, _) = listener.accept() else { return false }
    close(descriptor)
    return true
  }

  @Test("what connected before new connections are refused is accepted after, on TCP and on a socket file")
  func queue() throws {
    let folder = try Folder()
    let loopback = try SocketAddress.resolve(host: "127.0.0.1", port: 0)[0]
    let listeners = [
      try Listener(tcp: loopback, reusesPort: false, backlog: 8),
      try Listener(unix: folder.socket, mode: 0o600, backlog: 8),
    ]
    for listener in listeners {
      let first = connected(to: listener.address)
      let second = connected(to: listener.address)
      _ = listener.refuseConnections()
      let third = connected(to: listener.address)
      #expect(isConnected(listener))
      #expect(isConnected(listener))
      #expect(!isConnected(listener))
      withExtendedLifetime(listener) {}
      _ = (first.rawValue, second.rawValue, third.rawValue)
    }
  }

  @Test("a socket file is replaced when nobody listens, kept when somebody does, and goes with its listener")
  func socketFile() throws {
    let folder = try Folder()
    var first: Listener? = try Listener(unix: folder.socket, mode: 0o600, backlog: 8)
    #expect(throws: Server.StartError.self) {
      try Listener(unix: folder.socket, mode: 0o600, backlog: 8)
    }
    #expect(first?.endpoint.url == "unix:\(folder.socket)")
    #expect(isThere(folder.socket))
    first = nil
    #expect(!isThere(folder.socket))
    let dead = FileDescriptor(owning: systemSocket(AF_UNIX))
    let address = try #require(SocketAddress(unixPath: folder.socket))
    #expect(address.withSockaddr { bind(dead.rawValue, $0, $1) } == 0)
    let second = try Listener(unix: folder.socket, mode: 0o600, backlog: 8)
    let client = connected(to: second.address)
    #expect(isConnected(second))
    _ = client.rawValue
  }

  @Test("a listener that inherits a socket leaves what waits in it to the next")
  func inherited() throws {
    let loopback = try SocketAddress.resolve(host: "127.0.0.1", port: 0)[0]
    let holder = try Listener(tcp: loopback, reusesPort: false, backlog: 8)
    var acceptor = Acceptor([try Listener(inheriting: dup(holder.descriptor))], mailboxes: [])
    #expect(acceptor.listeners[0].endpoint.isInherited)
    #expect(acceptor.listeners[0].address.port == holder.address.port)
    let client = connected(to: holder.address)
    let mayBeUnderWay = acceptor.refuseConnections()
    #expect(!mayBeUnderWay)
    #expect(acceptor.listeners.isEmpty)
    #expect(isConnected(holder))
    _ = client.rawValue
  }

  @Test("a descriptor that does not listen is refused, and so is a closed one")
  func notListening() throws {
    let plain = FileDescriptor(owning: systemSocket(AF_INET))
    for descriptor in [plain.rawValue, 999_999] {
      #expect(throws: Server.StartError.self) { try Listener(inheriting: descriptor) }
    }
  }

  @Test("no server starts with a TLS listener that it could only serve in the clear")
  func encryption() {
    let error = #expect(throws: Server.StartError.self) {
      try TestServer { $0.listeners = [.tcp("127.0.0.1", 0), .tcp("::1", 8443, isTLS: true)] }
    }
    #expect(error?.description == "cannot listen on [::1]:8443: TLS is not configured")
  }

  @Test(
    "paths that do not fit are no addresses",
    arguments: [("", false), ("/a", true), ("/a\0b", false), (String(repeating: "x", count: 107), true)])
  func paths(path: String, fits: Bool) {
    #expect((SocketAddress(unixPath: path)?.description == "unix:\(path)") == fits)
    #expect(SocketAddress(unixPath: path + String(repeating: "y", count: 108)) == nil)
  }

  @Test("requests on a socket file are answered, and the drain ends the file")
  func serving() async throws {
    let folder = try Folder()
    let server = try TestServer { $0.listeners = [.unix(folder.socket, mode: 0o600), .tcp("127.0.0.1", 0)] }
    #expect(server.server.endpoints.map(\.address.isUnix) == [true, false])
    await server.stop()
    #expect(!isThere(folder.socket))
  }
}
