import JSON

// Reading request members: each failure says where (a JSON pointer) and what would be right.

extension JSONObject {
  /// The member, or nil when it is absent or null.
  func member(_ name: String) -> JSONValue? {
    guard let value = self[name], value != .null else { return nil }
    return value
  }

  func string(_ name: String, at base: String = "") throws(PruningError) -> String? {
    guard let value = member(name) else { return nil }
    guard let string = value.stringValue else {
      throw PruningError(at: "\(base)/\(name)", "must be a string, not a \(value.kind)")
    }
    return string
  }

  func boolean(_ name: String, at base: String = "") throws(PruningError) -> Bool? {
    guard let value = member(name) else { return nil }
    guard let bool = value.boolValue else {
      throw PruningError(at: "\(base)/\(name)", "must be true or false, not a \(value.kind)")
    }
    return bool
  }

  func object(_ name: String, at base: String = "") throws(PruningError) -> JSONObject? {
    guard let value = member(name) else { return nil }
    guard let object = value.objectValue else {
      throw PruningError(at: "\(base)/\(name)", "must be an object, not a \(value.kind)")
    }
    return object
  }

  func integer(
    _ name: String, in range: ClosedRange<Int>, at base: String = ""
  ) throws(PruningError) -> Int? {
    guard let value = member(name) else { return nil }
    guard let number = value.integerValue else {
      throw PruningError(
        at: "\(base)/\(name)",
        "must be a whole number, not \(value.doubleValue.map { "\($0)" } ?? "a \(value.kind)")")
    }
    guard range.contains(number) else {
      throw PruningError(
        at: "\(base)/\(name)", "must lie in \(range.lowerBound)...\(range.upperBound), not \(number)")
    }
    return number
  }

  func number(
    _ name: String, in range: ClosedRange<Double>, at base: String = ""
  ) throws(PruningError) -> Double? {
    guard let value = member(name) else { return nil }
    guard let number = value.doubleValue else {
      throw PruningError(at: "\(base)/\(name)", "must be a number, not a \(value.kind)")
    }
    guard range.contains(number) else {
      throw PruningError(
        at: "\(base)/\(name)", "must lie in \(range.lowerBound)...\(range.upperBound), not \(number)")
    }
    return number
  }

  /// Refuses members that are not among `known`, naming the nearest one.
  func requireOnly(_ known: [String], at base: String) throws(PruningError) {
    for name in names where !known.contains(name) {
      throw PruningError(
        at: "\(base)/\(name)",
        "there is no member '\(name.prefix(64))' here; "
          + (nearestName(to: name, among: known).map { "did you mean '\($0)'?" }
            ?? "there is \(known.joined(separator: ", "))"))
    }
  }
}
