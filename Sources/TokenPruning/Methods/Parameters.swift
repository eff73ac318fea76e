public import JSON

/// A method's parameters after checking: every declared name has a value of its declared type and range.
public struct Parameters: Sendable {
  private let values: [String: JSONValue]

  /// - Throws: at `/method_parameters/<name>` for an unknown name (naming the nearest declared one), a wrong
  ///   type, or a value out of range.
  public init(_ given: JSONObject = [:], for descriptor: MethodDescriptor) throws(PruningError) {
    for name in given.names where !descriptor.parameters.contains(where: { $0.name == name }) {
      let known = descriptor.parameters.map(\.name)
      throw PruningError(
        at: "/method_parameters/\(name)",
        "method \(descriptor.name) has no parameter '\(name)'"
          + (nearestName(to: name, among: known).map { "; did you mean '\($0)'?" }
            ?? (known.isEmpty ? "; it has none" : "; it has \(known.joined(separator: ", "))")))
    }
    var values: [String: JSONValue] = [:]
    for parameter in descriptor.parameters {
      let value = given[parameter.name] ?? parameter.defaultValue
      // A null default marks a parameter that may be absent; null then says so.
      if value == .null, parameter.defaultValue == .null { continue }
      if let complaint = parameter.complaint(about: value) {
        throw PruningError(at: "/method_parameters/\(parameter.name)", complaint)
      }
      values[parameter.name] = value
    }
    self.values = values
  }

  // A declared parameter is present and of its type, so each accessor below can only fail on a name that
  // the method did not declare: a mistake of ours, not of the caller.

  public func integer(_ name: String) -> Int {
    guard let value = values[name]?.integerValue else { preconditionFailure("undeclared integer \(name)") }
    return value
  }

  public func number(_ name: String) -> Double {
    guard let value = values[name]?.doubleValue else { preconditionFailure("undeclared number \(name)") }
    return value
  }

  /// The number, or nil where the parameter may be absent and is.
  public func optionalNumber(_ name: String) -> Double? { values[name]?.doubleValue }

  public func boolean(_ name: String) -> Bool {
    guard let value = values[name]?.boolValue else { preconditionFailure("undeclared boolean \(name)") }
    return value
  }

  public func choice(_ name: String) -> String {
    guard let value = values[name]?.stringValue else { preconditionFailure("undeclared choice \(name)") }
    return value
  }
}

extension ParameterDescriptor {
  fileprivate func complaint(about value: JSONValue) -> String? {
    switch kind {
    case .integer(let range):
      guard let number = value.integerValue else { return "must be a whole number, not a \(value.kind)" }
      return range.contains(number)
        ? nil : "must lie in \(range.lowerBound)...\(range.upperBound), not \(number)"
    case .number(let range):
      guard let number = value.doubleValue else { return "must be a number, not a \(value.kind)" }
      return range.contains(number)
        ? nil : "must lie in \(range.lowerBound)...\(range.upperBound), not \(number)"
    case .boolean:
      return value.boolValue == nil ? "must be true or false, not a \(value.kind)" : nil
    case .choice(let names):
      guard let name = value.stringValue else { return "must be a string, not a \(value.kind)" }
      return names.contains(name) ? nil : "must be one of \(names.joined(separator: ", ")), not '\(name)'"
    }
  }
}
