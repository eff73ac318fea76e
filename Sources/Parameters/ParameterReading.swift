public import JSON
public import PruningNumerics

/// Reads the members of one JSON object of a request and says where a wrong one is.
///
/// Every reader names the member by its JSON pointer (RFC 6901), what was expected and what was found. A member of
/// null is an absent one.
public struct ParameterReading: Sendable {
  public let object: JSONObject
  /// The object's own pointer: `/layout`, or empty for the request itself.
  public let pointer: String

  public init(_ object: JSONObject, at pointer: String = "") {
    self.object = object
    self.pointer = pointer
  }

  /// The pointer of a member.
  public func path(_ name: String) -> String { pointer + JSONPointer.token(name) }

  public func member(_ name: String) -> JSONValue? {
    guard let value = object[name], value != .null else { return nil }
    return value
  }

  /// - Throws: at the first member that is not among `known`, naming the nearest one.
  public func refuseUnknown(
    besides known: @autoclosure () -> [String], of what: @autoclosure () -> String
  ) throws(PruningError) {
    guard !object.isEmpty else { return }
    let known = known()
    for name in object.names where !known.contains(name) {
      throw PruningError(
        at: path(name),
        "\(what()) has no member '\(name.excerpt)'; \(nameSuggestion(for: name, among: known))")
    }
  }

  public func string(_ name: String) throws(PruningError) -> String? {
    guard let value = member(name) else { return nil }
    guard let text = value.stringValue else { throw mismatch(name, "a string", value) }
    return text
  }

  public func boolean(_ name: String) throws(PruningError) -> Bool? {
    guard let value = member(name) else { return nil }
    guard let flag = value.boolValue else { throw mismatch(name, "true or false", value) }
    return flag
  }

  /// The members of the object under `name`.
  public func nested(_ name: String) throws(PruningError) -> ParameterReading? {
    guard let value = member(name) else { return nil }
    guard let object = value.objectValue else { throw mismatch(name, "an object", value) }
    return ParameterReading(object, at: path(name))
  }

  public func integer(_ name: String, in range: ClosedRange<Int>) throws(PruningError) -> Int? {
    guard let value = member(name) else { return nil }
    guard let number = value.integerValue else { throw mismatch(name, "a whole number", value) }
    guard range.contains(number) else {
      throw PruningError(at: path(name), "must lie in \(Self.text(range)), not \(number)")
    }
    return number
  }

  /// Rejects the first of these members that is given where none has a meaning.
  public func refuse(_ names: [String], _ reason: String) throws(PruningError) {
    if let name = names.first(where: { member($0) != nil }) { throw PruningError(at: path(name), reason) }
  }

  public func requiredInteger(_ name: String, in range: ClosedRange<Int>) throws(PruningError) -> Int {
    guard let number = try integer(name, in: range) else {
      throw PruningError(at: path(name), "is missing; a whole number in \(Self.text(range)) is needed")
    }
    return number
  }

  public func number(_ name: String, in range: ClosedRange<Double>) throws(PruningError) -> Double? {
    guard let value = member(name) else { return nil }
    guard let number = value.doubleValue else { throw mismatch(name, "a number", value) }
    guard range.contains(number) else {
      throw PruningError(
        at: path(name), "must lie in \(range.lowerBound)...\(range.upperBound), not \(number)")
    }
    return number
  }

  /// The member as one of the given names.
  public func name(_ name: String, among known: [String]) throws(PruningError) -> String? {
    guard let value = member(name) else { return nil }
    guard let text = value.stringValue, known.contains(text) else { throw wrongName(name, value, known) }
    return text
  }

  /// The member as one of an enumeration's names.
  ///
  /// Specialised where it is used: generic code asks the runtime for its types in every call.
  @inlinable
  public func choice<Choice: RawRepresentable & CaseIterable>(
    _ name: String, _ type: Choice.Type
  ) throws(PruningError) -> Choice? where Choice.RawValue == String {
    guard let value = member(name) else { return nil }
    guard let choice = value.stringValue.flatMap(Choice.init(rawValue:)) else {
      throw wrongName(name, value, Choice.allCases.map { $0.rawValue })
    }
    return choice
  }

  @usableFromInline
  func wrongName(_ name: String, _ value: JSONValue, _ known: [String]) -> PruningError {
    let choices = "one of \(known.joined(separator: ", "))"
    guard let text = value.stringValue else { return mismatch(name, choices, value) }
    let hint = nearestName(to: text, among: known).map { "; did you mean '\($0)'?" } ?? ""
    return PruningError(at: path(name), "must be \(choices), not '\(text.excerpt)'\(hint)")
  }

  private func mismatch(_ name: String, _ expected: String, _ value: JSONValue) -> PruningError {
    PruningError(at: path(name), "must be \(expected), not \(Self.found(value))")
  }

  private static func text(_ range: ClosedRange<Int>) -> String {
    "\(range.lowerBound)...\(range.upperBound)"
  }

  /// A number as it is, or the kind of any other value with its article, for error messages.
  public static func found(_ value: JSONValue) -> String {
    switch value {
    case .integer(let number): "\(number)"
    case .unsigned(let number): "\(number)"
    case .number(let number): "\(number)"
    case .null, .array, .object, .bool, .string: value.kindWithArticle
    }
  }
}
