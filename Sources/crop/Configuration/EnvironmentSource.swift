import Parameters
import TokenPruning

/// The `CROP_*` environment variables, checked against the table.
struct EnvironmentSource: Sendable, Equatable {
  /// Variables that name a setting.
  let variables: [String: String]
  /// Values that variables of OpenTelemetry give settings, unless one of ours does.
  let standard: OpenTelemetryEnvironment
  /// What was ignored, and why.
  let warnings: [String]

  /// - Throws: for each variable that starts with `CROP_` and names no setting, with the nearest valid name.
  init(_ environment: [String: String]) throws(ConfigurationError) {
    let known = Setting.all.map(\.environmentName)
    var variables: [String: String] = [:]
    var warnings: [String] = []
    var problems: [String] = []
    for (name, value) in environment.sorted(by: { $0.key < $1.key })
    where name.hasPrefix(Setting.environmentPrefix) {
      if isServiceLink(name, value) {
        warnings.append(
          "environment \(name) ignored: it is a Kubernetes service link, not a setting "
            + "(enableServiceLinks: false in the pod spec avoids them)")
      } else if known.contains(name) {
        variables[name] = value
      } else {
        problems.append("environment: unknown variable \(name)" + suggestion(for: name, among: known))
      }
    }
    guard problems.isEmpty else { throw ConfigurationError(problems) }
    self.variables = variables
    standard = OpenTelemetryEnvironment(environment)
    self.warnings = warnings + standard.warnings
  }
}

/// Whether Kubernetes set the variable for a Service whose name starts with `crop`.
///
/// Per port it sets NAME_SERVICE_HOST, NAME_SERVICE_PORT[_PORTNAME], NAME_PORT=tcp://10.0.0.1:8080 and
/// NAME_PORT_8080_TCP[_PROTO|_PORT|_ADDR] (kubernetes.io, "Discovering services"). A Service `crop-http`
/// even hits the name CROP_HTTP_PORT, so for `_PORT` the value decides.
private func isServiceLink(_ name: String, _ value: String) -> Bool {
  if name.hasSuffix("_SERVICE_HOST") || name.hasSuffix("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
    return true
  }
  let protocols = ["TCP", "UDP", "SCTP"]
  if name.hasSuffix("_PORT") && protocols.contains(where: { value.hasPrefix("\($0.lowercased())://") }) {
    return true
  }
  let words = name.split(separator: "_")
  return words.indices.contains { index in
    guard words[index] == "PORT", index + 2 < words.endIndex, Int(words[index + 1]) != nil,
      protocols.contains(String(words[index + 2]))
    else { return false }
    return index + 3 == words.endIndex
      || (index + 4 == words.endIndex && ["PROTO", "PORT", "ADDR"].contains(words[index + 3]))
  }
}

/// "; did you mean 'X'?" for a typo or a name that lacks its beginning, or where to find the valid names.
func suggestion(for name: String, among known: [String]) -> String {
  if let nearest = nearestName(to: name, among: known) { return "; did you mean '\(nearest)'?" }
  // `port` for `http.port`, `CROP_PORT` for `CROP_HTTP_PORT`: right word, level forgotten.
  let lastWord = name.split { "._-".contains($0) }.last.map { String($0) } ?? name
  let sharing = known.filter { $0.split { "._-".contains($0) }.last.map { String($0) } == lastWord }
  if (1...3).contains(sharing.count) {
    return "; did you mean \(sharing.map { "'\($0)'" }.joined(separator: " or "))?"
  }
  return "; 'crop serve --help' lists the valid names"
}
