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
    let variables = try EnvironmentSource(environment)
    warnings = variables.warnings
    var problems: [String] = []
    for setting in Setting.all {
      let (text, origin) = Self.source(of: setting, flags, variables, file, platform: environment)
      if !setting.set(text, in: &configuration) {
        problems.append("\(origin): '\(text)' is not \(setting.expected)")
      }
      entries.append(Entry(key: setting.key, text: setting.text(in: configuration), origin: origin))
    }
    problems += contradictions
    guard problems.isEmpty else { throw ConfigurationError(problems) }
  }

  /// What the highest source that knows of a setting says.
  private static func source(
    of setting: Setting, _ flags: [String: String], _ environment: EnvironmentSource,
    _ file: ConfigurationFile?,
    platform: [String: String]
  ) -> (text: String, origin: Origin) {
    if let text = flags[setting.key] { return (text, .flag(setting.flag)) }
    let variable = setting.environmentName
    if let text = environment.variables[variable] { return (text, .environment(variable)) }
    if let file, let text = file.values[setting.key] {
      return (text, .file(path: file.path, key: setting.key))
    }
    // An empty variable is none.
    if let variable = setting.platformVariable, let text = platform[variable], !text.isEmpty {
      return (text, .platform(variable))
    }
    if let value = environment.standard.values[setting.key] {
      return (value.text, .environment(value.variable))
    }
    return (setting.defaultText, .byDefault)
  }

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
}
