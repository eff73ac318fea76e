import LibC
import Transport

/// The listening sockets that a service manager opened for this process: sd_listen_fds(3).
///
/// The manager keeps them open, so connections wait in their queues while the server restarts.
enum SocketActivation {
  /// Descriptors come without gaps from here on.
  static let firstDescriptor: Int32 = 3

  private static let names = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"]

  /// What the environment announces to `process`; empty when it announces nothing, or to another process.
  ///
  /// A socket whose name contains `https` begins with TLS, one whose name contains `proxy` with a header of the PROXY
  /// protocol: `FileDescriptorName=proxy-https` in the socket unit, or a unit that is called so.
  /// - Throws: for a count that is none, and for a number of names that differs from it.
  static func listeners(
    in environment: [String: String], process: Int32
  ) throws(ConfigurationError) -> [ListenerConfiguration] {
    guard let owner = environment["LISTEN_PID"], Int32(owner) == process,
      let text = environment["LISTEN_FDS"]
    else { return [] }
    guard let count = ValueGrammar.integer(0...1024).parse(text) else {
      throw ConfigurationError("environment LISTEN_FDS: '\(text)' is not a number of sockets from 0 to 1024")
    }
    var names = [Substring](repeating: "", count: count)
    if let list = environment["LISTEN_FDNAMES"] {
      names = list.split(separator: ":", omittingEmptySubsequences: false)
      guard names.count == count else {
        throw ConfigurationError(
          "environment LISTEN_FDNAMES: '\(list)' names \(names.count) sockets, but LISTEN_FDS says \(count)")
      }
    }
    return names.enumerated().map { offset, name in
      .inherited(
        firstDescriptor + Int32(offset), isTLS: name.contains("https"), isProxied: name.contains("proxy"))
    }
  }

  /// No child process may take the sockets for its own.
  static func forget() {
    for name in names { unsetenv(name) }
  }
}
