import LibC
import Logging
import Transport

/// Tells a service manager such as systemd how the server is: the protocol of sd_notify(3), without its library.
struct ServiceManager: Sendable {
  private let address: [UInt8]
  /// Without a sign of life for so long the manager restarts the server; nil when it does not watch.
  let watchdogInterval: Duration?

  private static let names = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]

  /// The manager that the environment names; nil when it names none.
  ///
  /// - Throws: for an address that is neither a path nor an abstract name (`@...`), and for a watchdog interval that is no
  ///   number of microseconds: whoever set them waits for a message that would never come.
  init?(_ environment: [String: String], process: Int32) throws(ConfigurationError) {
    guard let name = environment["NOTIFY_SOCKET"], !name.isEmpty else { return nil }
    let room = MemoryLayout.size(ofValue: sockaddr_un().sun_path)
    var bytes = Array(name.utf8)
    guard bytes.count > 1, bytes.count < room, bytes[0] == UInt8(ascii: "/") || bytes[0] == UInt8(ascii: "@")
    else {
      throw ConfigurationError(
        "environment NOTIFY_SOCKET: '\(name)' is not an absolute path or @name of at most \(room - 1) bytes")
    }
    // Linux's names outside the file system begin with a zero, and end where the address does.
    bytes[0] = bytes[0] == UInt8(ascii: "@") ? 0 : bytes[0]
    address = bytes
    watchdogInterval = try Self.watchdogInterval(environment, process: process)
  }

  private static func watchdogInterval(
    _ environment: [String: String], process: Int32
  ) throws(ConfigurationError) -> Duration? {
    guard let text = environment["WATCHDOG_USEC"] else { return nil }
    if let owner = environment["WATCHDOG_PID"], Int32(owner) != process { return nil }
    guard let microseconds = ValueGrammar.integer(1...(Int.max >> 12)).parse(text) else {
      throw ConfigurationError("environment WATCHDOG_USEC: '\(text)' is not a number of microseconds")
    }
    return .microseconds(microseconds)
  }

  /// No child process may speak in this one's name.
  static func forget() {
    for name in names { unsetenv(name) }
  }

  /// - Returns: whether the manager's socket took the message.
  @discardableResult
  func notify(_ lines: String...) -> Bool {
    let kind = Int32(SOCK_DGRAM.rawValue)
    let descriptor = socket(AF_UNIX, kind, 0)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var target = sockaddr_un()
    target.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &target.sun_path) { $0.copyBytes(from: address) }
    let isAbstract = address[0] == 0
    let length =
      (MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2) + address.count + (isAbstract ? 0 : 1)
    let message = Array(lines.joined(separator: "\n").utf8)
    let sent = withUnsafePointer(to: &target) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        // A manager that does not read must not stop the server.
        sendto(descriptor, message, message.count, Int32(MSG_DONTWAIT), $0, socklen_t(length))
      }
    }
    return sent == message.count
  }

  // MARK: What there is to tell

  func ready(at endpoints: [ListeningEndpoint], _ logger: Logger) {
    let places = endpoints.map(\.url).joined(separator: " ")
    guard !notify("READY=1", "STATUS=listening on \(places)") else { return }
    logger.warning(
      "the service manager cannot be told that the server is ready", metadata: ["errno": "\(errno)"])
  }

  func draining() { notify("STOPPING=1", "STATUS=draining") }

  /// Tells of a reload around `work`.
  func reloading(_ work: () -> Void) {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    notify("RELOADING=1", "MONOTONIC_USEC=\(Int(time.tv_sec) * 1_000_000 + Int(time.tv_nsec) / 1000)")
    work()
    notify("READY=1")
  }

  /// Gives signs of life until it is cancelled, as long as every event loop of `servers` turns; nil when the manager does
  /// not watch.
  ///
  /// A loop that hangs answers no question, and so ends them.
  func watchdog(over servers: [Server]) -> Task<Void, Never>? {
    guard let watchdogInterval else { return nil }
    return Task {
      var questions = servers.map { $0.askLoops() }
      // Twice as often as sd_watchdog_enabled(3) asks for: the next turn finds the answers.
      while (try? await Task.sleep(for: watchdogInterval / 4)) != nil {
        guard questions.allSatisfy(\.isAnswered) else { continue }
        notify("WATCHDOG=1")
        questions = servers.map { $0.askLoops() }
      }
    }
  }
}
