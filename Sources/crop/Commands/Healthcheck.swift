import ArgumentParser
import FoundationEssentials

struct Healthcheck: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Ask a running server whether it is ready.",
    discussion: """
      Without --url it asks the server that 'crop serve' would be with the same environment and the same \
      --config: a port given to the server as a flag must be repeated here as --url. Prints one line; the \
      exit status is 0 for ready and 1 for anything else, as Docker expects.

      EXAMPLES
        crop healthcheck
        crop healthcheck --url http://127.0.0.1:9000/livez --timeout 500ms
      """)

  @Option(
    help: ArgumentHelp("What to get; default: /readyz of the configured host and port.", valueName: "url"))
  var url: String?

  @Option(help: ArgumentHelp("Longest wait for the answer.", valueName: "duration"))
  var timeout = "2s"

  @Option(help: ArgumentHelp("The server's configuration file.", valueName: "path"))
  var config: String?

  func run() throws {
    let grammar = ValueGrammar.duration(.milliseconds(1)...(.seconds(3600)))
    guard let timeout = grammar.parse(timeout) else {
      throw ValidationError("--timeout: '\(timeout)' is not \(grammar.expected).")
    }
    let text = try url ?? defaultURL()
    guard let url = HealthURL(text) else {
      throw ValidationError("--url: '\(text)' is not http://host:port/path.")
    }
    do throws(HealthProbe.Failure) {
      let status = try HealthProbe.status(of: url, within: timeout)
      StandardStreams.writeOutput("\(status == 200 ? "healthy" : "unhealthy"): \(status) from \(text)\n")
      guard status == 200 else { throw HealthProbe.Failure(description: "") }
    } catch {
      guard !error.description.isEmpty else { throw Exit.unhealthy.code }
      StandardStreams.writeOutput("unhealthy: \(error) (\(text))\n")
      throw Exit.unhealthy.code
    }
  }

  private func defaultURL() throws -> String {
    let resolved = try resolveConfiguration(
      flags: [:], environment: ProcessInfo.processInfo.environment, path: config)
    guard let url = Self.readinessURL(of: resolved.configuration) else {
      throw ValidationError("The configured port is 0, picked at start: say which with --url.")
    }
    return url
  }

  /// Where a probe on the same machine reaches the server; nil when the system picks the port.
  static func readinessURL(of configuration: ServerConfiguration) -> String? {
    guard configuration.httpPort != 0 else { return nil }
    let host =
      switch configuration.httpHost {
      // Addresses to listen on, not to connect to.
      case "0.0.0.0": "127.0.0.1"
      case "::": "[::1]"
      case let host: host.contains(":") ? "[\(host)]" : host
      }
    return "http://\(host):\(configuration.httpPort)/readyz"
  }
}
