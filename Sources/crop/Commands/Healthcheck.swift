import ArgumentParser
import FoundationEssentials

struct Healthcheck: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check whether a running server is alive.",
    discussion: """
      Without --url it checks the address that 'crop serve' would use with the same environment and \
      --config; if the server's port was given as a flag, pass --url here. Prints one line; the \
      exit status is 0 for a response of 200 and 1 for anything else, as Docker expects. Load or a drain do \
      not make a server unhealthy; --url with /readyz checks whether it accepts requests. Over https the \
      server's certificate is not verified and no client certificate is sent: a server with --tls-client-ca \
      needs a plain address or a socket file for probes.

      EXAMPLES
        crop healthcheck
        crop healthcheck --url http://127.0.0.1:9000/livez --timeout 500ms
        crop healthcheck --url unix:/run/crop/crop.sock
      """)

  @Option(help: ArgumentHelp("URL to request; default: /livez of the configured address.", valueName: "url"))
  var url: String?

  @Option(help: ArgumentHelp("Longest wait for the response.", valueName: "duration"))
  var timeout = "2s"

  @Option(help: ArgumentHelp("The server's configuration file.", valueName: "path"))
  var config: String?

  func run() throws {
    let grammar = ValueGrammar.duration(.milliseconds(1)...(.seconds(3600)))
    guard let timeout = grammar.parse(timeout) else {
      throw ValidationError("--timeout: '\(timeout)' is not \(grammar.expected).")
    }
    let text = try url ?? defaultURL()
    guard let url = EndpointURL(text) else {
      throw ValidationError(
        "--url: '\(text)' is not http://host:port/path, https://host:port/path or unix:/socket/file:/path.")
    }
    let status: Int
    do throws(HealthProbe.Failure) {
      status = try HealthProbe.status(of: url, within: timeout)
    } catch {
      StandardStreams.writeOutput("unhealthy: \(error) (\(text))\n")
      throw Exit.unhealthy.code
    }
    StandardStreams.writeOutput("\(status == 200 ? "healthy" : "unhealthy"): \(status) from \(text)\n")
    guard status == 200 else { throw Exit.unhealthy.code }
  }

  private func defaultURL() throws -> String {
    let resolved = try resolveConfiguration(
      flags: [:], environment: ProcessInfo.processInfo.environment, path: config)
    guard let url = Self.livenessURL(of: resolved.configuration) else {
      throw ValidationError(
        "No configured address can be probed: port 0 is chosen at startup, and proxy+ expects a balancer. "
          + "Give --url, or set admin-listen.")
    }
    return url
  }

  /// Where a probe on the same machine reaches the server: its first plain address, else its socket file, else its
  /// first encrypted address, those for administration first; nil when the system picks the port.
  static func livenessURL(of configuration: ServerConfiguration) -> String? {
    let addresses = configuration.adminListen + configuration.listenAddresses
    for case .tcp(let name, let port, isTLS: false) in addresses where port != 0 {
      return "http://\(reachable(name)):\(port)/livez"
    }
    for case .unix(let path) in addresses { return "unix:\(path):/livez" }
    for case .tcp(let name, let port, isTLS: true) in addresses where port != 0 {
      return "https://\(reachable(name)):\(port)/livez"
    }
    return nil
  }

  private static func reachable(_ host: String) -> String {
    switch host {
    // Addresses to listen on, not to connect to.
    case "0.0.0.0": "127.0.0.1"
    case "::": "[::1]"
    default: host.contains(":") ? "[\(host)]" : host
    }
  }
}
