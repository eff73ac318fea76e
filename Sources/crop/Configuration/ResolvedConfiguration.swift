import Configuration
import Locking

/// The configuration in force, and where each value came from.
struct ResolvedConfiguration: Sendable {
  struct Entry: Sendable, Equatable {
    let key: String
    /// Canonical form: a file that says `1h` shows `3600s`.
    let text: String
    let origin: Origin
  }

  private(set) var configuration = ServerConfiguration()
  private(set) var entries: [Entry] = []
  /// What was ignored, for the log.
  let warnings: [String]

  /// Merges the sources: flags over environment over file over what a platform sets (`PORT`, `OTEL_*`) over defaults.
  ///
  /// - Parameter flags: the text of each flag that was given, by setting key.
  /// - Throws: every unknown name and unusable value found, each with its source and what was expected.
  init(
    flags: [String: String] = [:], environment: [String: String] = [:], file: ConfigurationFile? = nil
  ) throws(ConfigurationError) {
    let platform = Self.platformTexts(environment)
    let environment = try EnvironmentSource(environment)
    warnings = environment.warnings
    let sources: [Source] = [
      .flags, .environment, .file, .platform, .standard(environment.standard), .defaults,
    ]
    let recorder = ProviderRecorder()
    let reader = ConfigReader(
      providers: [
        InMemoryProvider(name: "flags", texts: flags),
        EnvironmentVariablesProvider(environmentVariables: environment.variables)
          .prefixKeys(with: ConfigKey(Self.environmentScope)),
        InMemoryProvider(name: "file", texts: file?.values ?? [:]),
        InMemoryProvider(name: "platform", texts: platform),
        InMemoryProvider(name: "OpenTelemetry", texts: environment.standard.values.mapValues(\.text)),
        InMemoryProvider(
          name: "defaults",
          texts: Dictionary(uniqueKeysWithValues: Setting.all.map { ($0.key, $0.defaultText) })),
      ], accessReporter: recorder)
    var problems: [String] = []
    for setting in Setting.all {
      guard let text = reader.string(forKey: ConfigKey(setting.key)), let rank = recorder.lastAnswering else {
        preconditionFailure("every setting has a default")
      }
      let origin = sources[rank].origin(of: setting, in: file)
      if !setting.set(text, in: &configuration) {
        problems.append("\(origin): '\(text)' is not \(setting.expected)")
      }
      entries.append(Entry(key: setting.key, text: setting.text(in: configuration), origin: origin))
    }
    problems += contradictions
    guard problems.isEmpty else { throw ConfigurationError(problems) }
  }

  /// By setting key. An empty variable is none.
  private static func platformTexts(_ environment: [String: String]) -> [String: String] {
    var texts: [String: String] = [:]
    for setting in Setting.all {
      guard let name = setting.platformVariable, let text = environment[name], !text.isEmpty else { continue }
      texts[setting.key] = text
    }
    return texts
  }

  private static let environmentScope = String(Setting.environmentPrefix.dropLast()).lowercased()

  /// Values that are fine alone and not together.
  private var contradictions: [String] { bodyBudgetProblems + listenProblems + adminProblems + tlsProblems }

  private var bodyBudgetProblems: [String] {
    guard (1..<configuration.maxBodyBytes).contains(configuration.maxInFlightBytes) else { return [] }
    let pair = entries.filter { ["max-body-bytes", "max-in-flight-bytes"].contains($0.key) }
      .map { "\($0.key) \($0.text) (\($0.origin))" }
    return ["\(pair.joined(separator: " exceeds ")), so that the largest body could never be accepted"]
  }

  private var listenProblems: [String] {
    guard !configuration.listen.isEmpty, let list = entries.first(where: { $0.key == "listen" }) else {
      return []
    }
    // A source that wins over theirs wins with its list, too: a flag over what a file says of host and port.
    var problems = entries.filter {
      ["http.host", "http.port"].contains($0.key) && $0.origin != .byDefault
        && $0.origin.rank <= list.origin.rank
    }
    .map { "\($0.origin): \($0.key) has no meaning beside listen (\(list.origin)); give one of them" }
    let asksForTLS = configuration.listen.contains(where: \.asksForTLS)
    if asksForTLS, configuration.tlsCert == nil {
      problems.append("\(list.origin): \(list.text) asks for https, which needs tls.cert and tls.key")
    } else if !asksForTLS, configuration.tlsCert != nil {
      problems.append("\(list.origin): \(list.text) has no https:// address for tls.cert to be used at")
    }
    return problems
  }

  private var adminProblems: [String] {
    guard let list = entries.first(where: { $0.key == "admin-listen" }) else { return [] }
    var problems: [String] = []
    if configuration.adminListen.contains(where: \.asksForTLS), configuration.tlsCert == nil {
      problems.append("\(list.origin): \(list.text) asks for https, which needs tls.cert and tls.key")
    }
    let shared = configuration.adminListen.filter { address in
      if case .tcp(_, port: 0, _) = address.place { return false }
      return configuration.listenAddresses.contains { $0.place == address.place }
    }
    problems += shared.map { "\(list.origin): \($0) is an address for requests already; give another one" }
    return problems
  }

  private var tlsProblems: [String] {
    let needs = [("tls.cert", "tls.key"), ("tls.key", "tls.cert"), ("tls.client-ca", "tls.cert")]
    func entry(_ key: String) -> Entry? { entries.first { $0.key == key && $0.text != "none" } }
    return needs.compactMap { given, needed in
      guard let origin = entry(given)?.origin, entry(needed) == nil else { return nil }
      return "\(origin): \(given) needs \(needed), which is not given"
    }
  }

  /// The ranks of the providers, highest first.
  private enum Source {
    case flags, environment, file, platform, defaults
    case standard(OpenTelemetryEnvironment)

    func origin(of setting: Setting, in file: ConfigurationFile?) -> Origin {
      switch self {
      case .flags: .flag(setting.flag)
      case .environment: .environment(setting.environmentName)
      case .file: .file(path: file?.path ?? "", key: setting.key)
      case .platform: .platform(setting.platformVariable ?? "")
      case .standard(let environment): .environment(environment.values[setting.key]?.variable ?? "")
      case .defaults: .byDefault
      }
    }
  }
}

/// Notes which provider answered the last question.
private final class ProviderRecorder: AccessReporter {
  private let rank = Locked<Int?>(nil)

  var lastAnswering: Int? { rank.withLock { $0 } }

  func report(_ event: AccessEvent) {
    let answering = event.providerResults.firstIndex { (try? $0.result.get().value) != nil }
    rank.withLock { $0 = answering }
  }
}

extension InMemoryProvider {
  fileprivate init(name: String, texts: [String: String]) {
    let pairs = texts.map {
      (AbsoluteConfigKey(ConfigKey($0.key)), ConfigValue(.string($0.value), isSecret: false))
    }
    self.init(name: name, values: Dictionary(uniqueKeysWithValues: pairs))
  }
}
