import ArgumentParser

/// One flag per setting; each is optional, so that "not given" is told from "given as the default".
struct ServerFlags: ParsableArguments {
  @Option(\.httpHost) var httpHost: String?
  @Option(\.httpPort) var httpPort: String?
  @Option(\.listen) var listen: String?
  @Option(\.adminListen) var adminListen: String?
  @Option(\.unixSocket) var unixSocket: String?
  @Option(\.unixSocketMode) var unixSocketMode: String?
  @Option(\.reusePort) var reusePort: String?
  @Option(\.trustedProxies) var trustedProxies: String?
  @Option(\.forwardedHeader) var forwardedHeader: String?
  @Option(\.tlsCert) var tlsCert: String?
  @Option(\.tlsKey) var tlsKey: String?
  @Option(\.tlsClientCA) var tlsClientCA: String?
  @Option(\.maxBodyBytes) var maxBodyBytes: String?
  @Option(\.maxConnections) var maxConnections: String?
  @Option(\.maxInFlight) var maxInFlight: String?
  @Option(\.maxInFlightBytes) var maxInFlightBytes: String?
  @Option(\.sharedMemory) var sharedMemory: String?
  @Option(\.headerTimeout) var headerTimeout: String?
  @Option(\.bodyTimeout) var bodyTimeout: String?
  @Option(\.computeTimeout) var computeTimeout: String?
  @Option(\.idleTimeout) var idleTimeout: String?
  @Option(\.drainDelay) var drainDelay: String?
  @Option(\.shutdownTimeout) var shutdownTimeout: String?
  @Option(\.readyWhenOverloaded) var readyWhenOverloaded: String?
  @Option(\.eventLoops) var eventLoops: String?
  @Option(\.computeThreads) var computeThreads: String?
  @Option(\.receiveSpin) var receiveSpin: String?
  @Option(\.unixReceiveSpin) var unixReceiveSpin: String?
  @Option(\.bulkPriority) var bulkPriority: String?
  @Option(\.readiness) var readiness: String?
  @Option(\.cpuLevel) var cpuLevel: String?
  @Option(\.models) var models: String?
  @Option(\.apiKeyFile) var apiKeyFile: String?
  @Option(\.corsAllowedOrigins) var corsAllowedOrigins: String?
  @Option(\.responseCompression) var responseCompression: String?
  @Option(\.logFormat) var logFormat: String?
  @Option(\.logLevel) var logLevel: String?
  @Option(\.accessLog) var accessLog: String?
  @Option(\.otlpEndpoint) var otlpEndpoint: String?
  @Option(\.otlpServiceName) var otlpServiceName: String?
  @Option(\.otlpResourceAttributes) var otlpResourceAttributes: String?
  @Option(\.otlpRatio) var otlpRatio: String?

  /// The text of each flag that was given, by setting key.
  var given: [String: String] {
    let texts: [(PartialKeyPath<ServerConfiguration>, String?)] = [
      (\.httpHost, httpHost), (\.httpPort, httpPort), (\.listen, listen), (\.adminListen, adminListen),
      (\.unixSocket, unixSocket), (\.unixSocketMode, unixSocketMode), (\.reusePort, reusePort),
      (\.trustedProxies, trustedProxies), (\.forwardedHeader, forwardedHeader), (\.tlsCert, tlsCert),
      (\.tlsKey, tlsKey), (\.tlsClientCA, tlsClientCA), (\.maxBodyBytes, maxBodyBytes),
      (\.maxConnections, maxConnections), (\.maxInFlight, maxInFlight),
      (\.maxInFlightBytes, maxInFlightBytes), (\.sharedMemory, sharedMemory),
      (\.headerTimeout, headerTimeout), (\.bodyTimeout, bodyTimeout), (\.computeTimeout, computeTimeout),
      (\.idleTimeout, idleTimeout), (\.drainDelay, drainDelay), (\.shutdownTimeout, shutdownTimeout),
      (\.readyWhenOverloaded, readyWhenOverloaded), (\.eventLoops, eventLoops),
      (\.computeThreads, computeThreads), (\.receiveSpin, receiveSpin), (\.unixReceiveSpin, unixReceiveSpin),
      (\.bulkPriority, bulkPriority), (\.readiness, readiness), (\.cpuLevel, cpuLevel),
      (\.apiKeyFile, apiKeyFile), (\.models, models), (\.corsAllowedOrigins, corsAllowedOrigins),
      (\.responseCompression, responseCompression), (\.logFormat, logFormat), (\.logLevel, logLevel),
      (\.accessLog, accessLog), (\.otlpEndpoint, otlpEndpoint), (\.otlpServiceName, otlpServiceName),
      (\.otlpResourceAttributes, otlpResourceAttributes), (\.otlpRatio, otlpRatio),
    ]
    var given: [String: String] = [:]
    for (member, text) in texts { given[Setting.of(member).key] = text }
    return given
  }
}

extension Option<String?> {
  /// The flag of the setting behind `member`, named and explained by the table.
  fileprivate init(_ member: PartialKeyPath<ServerConfiguration>) {
    let setting = Setting.of(member)
    self.init(
      name: NameSpecification((setting.otherFlags + [setting.flag]).map { .customLong($0) }),
      help: ArgumentHelp(
        "\(setting.summary) (\(setting.environmentName); default: \(setting.defaultText))",
        valueName: setting.valueName))
  }
}
