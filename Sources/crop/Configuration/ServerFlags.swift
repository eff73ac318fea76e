import ArgumentParser

/// One flag per setting; each is optional, so that "not given" is told from "given as the default".
struct ServerFlags: ParsableArguments {
  @Option(\.httpHost) var httpHost: SettingText?
  @Option(\.httpPort) var httpPort: SettingText?
  @Option(\.listen) var listen: SettingText?
  @Option(\.adminListen) var adminListen: SettingText?
  @Option(\.unixSocket) var unixSocket: SettingText?
  @Option(\.unixSocketMode) var unixSocketMode: SettingText?
  @Option(\.reusePort) var reusePort: SettingText?
  @Option(\.trustedProxies) var trustedProxies: SettingText?
  @Option(\.forwardedHeader) var forwardedHeader: SettingText?
  @Option(\.tlsCert) var tlsCert: SettingText?
  @Option(\.tlsKey) var tlsKey: SettingText?
  @Option(\.tlsClientCA) var tlsClientCA: SettingText?
  @Option(\.maxBodyBytes) var maxBodyBytes: SettingText?
  @Option(\.maxConnections) var maxConnections: SettingText?
  @Option(\.maxInFlight) var maxInFlight: SettingText?
  @Option(\.maxInFlightBytes) var maxInFlightBytes: SettingText?
  @Option(\.sharedMemory) var sharedMemory: SettingText?
  @Option(\.headerTimeout) var headerTimeout: SettingText?
  @Option(\.bodyTimeout) var bodyTimeout: SettingText?
  @Option(\.computeTimeout) var computeTimeout: SettingText?
  @Option(\.idleTimeout) var idleTimeout: SettingText?
  @Option(\.drainDelay) var drainDelay: SettingText?
  @Option(\.shutdownTimeout) var shutdownTimeout: SettingText?
  @Option(\.readyWhenOverloaded) var readyWhenOverloaded: SettingText?
  @Option(\.eventLoops) var eventLoops: SettingText?
  @Option(\.computeThreads) var computeThreads: SettingText?
  @Option(\.receiveSpin) var receiveSpin: SettingText?
  @Option(\.unixReceiveSpin) var unixReceiveSpin: SettingText?
  @Option(\.bulkPriority) var bulkPriority: SettingText?
  @Option(\.readiness) var readiness: SettingText?
  @Option(\.cpuLevel) var cpuLevel: SettingText?
  @Option(\.models) var models: SettingText?
  @Option(\.apiKeyFile) var apiKeyFile: SettingText?
  @Option(\.corsAllowedOrigins) var corsAllowedOrigins: SettingText?
  @Option(\.responseCompression) var responseCompression: SettingText?
  @Option(\.logFormat) var logFormat: SettingText?
  @Option(\.logLevel) var logLevel: SettingText?
  @Option(\.accessLog) var accessLog: SettingText?
  @Option(\.otlpEndpoint) var otlpEndpoint: SettingText?
  @Option(\.otlpServiceName) var otlpServiceName: SettingText?
  @Option(\.otlpResourceAttributes) var otlpResourceAttributes: SettingText?
  @Option(\.otlpRatio) var otlpRatio: SettingText?

  /// The text of each flag that was given, by setting key.
  var given: [String: String] {
    let options = Mirror(reflecting: self).children.compactMap { $0.value as? Option<SettingText?> }
    return Dictionary(uniqueKeysWithValues: options.compactMap(\.wrappedValue).map { ($0.key, $0.text) })
  }
}

/// What a flag says of a setting.
struct SettingText: Sendable {
  let key: String
  let text: String
}

extension Option<SettingText?> {
  /// The flag of the setting behind `member`, named and explained by the table.
  fileprivate init(_ member: PartialKeyPath<ServerConfiguration>) {
    let setting = Setting.of(member)
    self.init(
      name: NameSpecification((setting.otherFlags + [setting.flag]).map { .customLong($0) }),
      help: ArgumentHelp(
        "\(setting.summary) (\(setting.environmentName); default: \(setting.defaultText))",
        valueName: setting.valueName),
      transform: { SettingText(key: setting.key, text: $0) })
  }
}
