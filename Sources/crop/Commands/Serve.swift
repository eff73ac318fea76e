import ArgumentParser
import Dispatch
import FoundationEssentials
import JSON
import Locking
import Transport

struct Serve: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run the HTTP server.",
    discussion: """
      Each setting is taken from its flag, else from its environment variable, else from the file given \
      with --config, else it has its default. Durations are written 5, 5s, 500ms or 2m, sizes 67108864 or \
      64MiB. An unknown name is an error in any of these.

      EXAMPLES
        crop serve
        crop serve --http-host 0.0.0.0 --http-port 9000
        crop serve --listen http://127.0.0.1:8080,unix:/run/crop/crop.sock
        CROP_HTTP_PORT=9000 crop serve --config config/production.yaml
        crop serve --config config/crop.yaml --print-config
      """)

  @Option(help: ArgumentHelp("Settings as YAML or JSON; config/crop.yaml shows them all.", valueName: "path"))
  var config: String?

  @Flag(help: "Print every setting with its value and source, and exit.")
  var printConfig = false

  @Option(help: "Output format of --print-config: table or json.")
  var format = OutputFormat.table

  @OptionGroup(title: "Settings") var flags: ServerFlags

  func run() throws {
    let resolved = try resolveConfiguration(
      flags: flags.given, environment: ProcessInfo.processInfo.environment, path: config)
    for warning in resolved.warnings { StandardStreams.writeError("crop: warning: \(warning)\n") }
    guard !printConfig else {
      switch format {
      case .table: StandardStreams.writeOutput(resolved.table(for: .current()))
      case .json: StandardStreams.writeOutput(prettyText(of: .object(resolved.json(for: .current()))))
      }
      return
    }
    try Exit.badConfiguration.unless(resolved.configuration.cpuLevel.choose)
    try resolved.configuration.checkThreads()
    let manager = try serviceManager()
    let inherited = try inheritedListeners()
    try Self.wait { try await runServer(resolved.configuration, inherited: inherited, manager) }
  }

  /// Runs what is asynchronous on other threads while this one waits: nothing asynchronous begins before it is known that
  /// there are threads for it.
  private static func wait(for work: @escaping @Sendable () async throws -> Void) throws {
    let failure = Locked<(any Error)?>(nil)
    let ended = DispatchSemaphore(value: 0)
    Task.detached {
      do { try await work() } catch { failure.withLock { $0 = error } }
      ended.signal()
    }
    ended.wait()
    if let error = failure.withLock({ $0 }) { throw error }
  }
}

/// Whom to tell how the server is, once: afterwards the environment no longer names it.
private func serviceManager() throws(ExitCode) -> ServiceManager? {
  defer { ServiceManager.forget() }
  return try Exit.badConfiguration.unless {
    try ServiceManager(
      ProcessInfo.processInfo.environment, process: ProcessInfo.processInfo.processIdentifier)
  }
}

/// The sockets of a service manager, once: afterwards the environment no longer announces them.
private func inheritedListeners() throws(ExitCode) -> [ListenerConfiguration] {
  defer { SocketActivation.forget() }
  return try Exit.badConfiguration.unless {
    try SocketActivation.listeners(
      in: ProcessInfo.processInfo.environment, process: ProcessInfo.processInfo.processIdentifier)
  }
}

/// Reads the file if one is named, merges the sources, and turns failure into exit status 78.
func resolveConfiguration(
  flags: [String: String], environment: [String: String], path: String?
) throws(ExitCode) -> ResolvedConfiguration {
  try Exit.badConfiguration.unless {
    try ResolvedConfiguration(
      flags: flags, environment: environment, file: path.map(ConfigurationFile.init(path:)))
  }
}
