import JSON
import Parameters
import PruningNumerics

/// A method's parameters after checking: every declared name has a value of its declared type and range.
struct Parameters: Sendable {
  private let values: [String: JSONValue]
  /// Those that are given and are not the default.
  private let changed: Set<String>

  /// - Throws: at `/method_parameters/<name>` for an unknown name (naming the nearest declared one), a wrong
  ///   type, a value out of range, or a change of a parameter that the use does not read.
  init(
    _ given: JSONObject = [:], for descriptor: MethodDescriptor, use: MethodUse = .prune
  ) throws(PruningError) {
    let reading = ParameterReading(given, at: "/method_parameters")
    try reading.refuseUnknown(besides: descriptor.parameters.map(\.name), of: "method \(descriptor.name)")
    var values: [String: JSONValue] = [:]
    var names: Set<String> = []
    for parameter in descriptor.parameters {
      let own = try reading.value(of: parameter)
      // What says the same as leaving it out asks for nothing.
      if let own, own != parameter.defaultValue,
        own.doubleValue != parameter.defaultValue.doubleValue || own.doubleValue == nil
      {
        names.insert(parameter.name)
        if let only = parameter.onlyUse, only != use {
          throw PruningError(
            at: "/method_parameters/\(parameter.name)",
            "only applies to /\(only.rawValue); \(descriptor.name) does not read it on /\(use.rawValue)")
        }
      }
      let value = own ?? parameter.defaultValue
      // A default of null marks a parameter that may be absent.
      if value != .null { values[parameter.name] = value }
    }
    self.values = values
    changed = names
  }

  /// Rejects a change of a parameter that others make meaningless: what nobody reads must not look as if it counted.
  func refuse(_ name: String, when isMeaningless: Bool, _ reason: String) throws(PruningError) {
    guard isMeaningless, changed.contains(name) else { return }
    throw PruningError(at: "/method_parameters/\(name)", reason)
  }

  /// Whether it is given, and not as its default.
  func isChanged(_ name: String) -> Bool { changed.contains(name) }

  // A declared parameter is present and of its type, so each accessor below can only fail on a name that
  // the method did not declare: a mistake of ours, not of the caller.

  func integer(_ name: String) -> Int {
    guard let value = values[name]?.integerValue else { preconditionFailure("undeclared integer \(name)") }
    return value
  }

  func number(_ name: String) -> Double {
    guard let value = values[name]?.doubleValue else { preconditionFailure("undeclared number \(name)") }
    return value
  }

  /// The number, or nil where the parameter may be absent and is.
  func optionalNumber(_ name: String) -> Double? { values[name]?.doubleValue }

  /// The whole number, or nil where the parameter may be absent and is.
  func optionalInteger(_ name: String) -> Int? { values[name]?.integerValue }

  func boolean(_ name: String) -> Bool {
    guard let value = values[name]?.boolValue else { preconditionFailure("undeclared boolean \(name)") }
    return value
  }

  func choice(_ name: String) -> String {
    guard let value = values[name]?.stringValue else { preconditionFailure("undeclared choice \(name)") }
    return value
  }
}

extension ParameterReading {
  /// The parameter's value where it is given, of the declared type and in its range.
  fileprivate func value(of parameter: ParameterDescriptor) throws(PruningError) -> JSONValue? {
    switch parameter.kind {
    case .integer(let range): try integer(parameter.name, in: range).map(JSONValue.integer)
    case .number(let range): try number(parameter.name, in: range).map(JSONValue.number)
    case .boolean: try boolean(parameter.name).map(JSONValue.bool)
    case .choice(let names): try name(parameter.name, among: names).map(JSONValue.string)
    }
  }
}
