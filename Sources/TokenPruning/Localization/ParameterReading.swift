import JSON

/// Reads the members of one JSON object and says where a wrong one is.
///
/// Every reader names the pointer of the member (RFC 6901), what was expected and what was found.
struct ParameterReading {
  let object: JSONObject
  /// The object's own pointer: `/layout`.
  let pointer: String

  /// - Throws: at the unknown member, naming the nearest known one.
  func refuseUnknown(besides known: [String], of what: String) throws(PruningError) {
    for name in object.names where !known.contains(name) {
      let hint =
        nearestName(to: name, among: known).map { "did you mean '\($0)'?" }
        ?? "known: \(known.joined(separator: ", "))"
      throw PruningError(at: path(name), "\(what) has no member '\(Self.excerpt(name))'; \(hint)")
    }
  }

  func path(_ name: String) -> String { "\(pointer)/\(pointerToken(name))" }

  func integer(
    _ name: String, in range: ClosedRange<Int>, default defaultValue: Int? = nil
  ) throws(PruningError) -> Int {
    guard let value = object[name] else {
      if let defaultValue { return defaultValue }
      throw PruningError(at: path(name), "is missing; a whole number in \(describe(range)) is needed")
    }
    guard let number = value.integerValue else {
      throw PruningError(at: path(name), "must be a whole number, not \(Self.found(value))")
    }
    guard range.contains(number) else {
      throw PruningError(at: path(name), "must lie in \(describe(range)), not \(number)")
    }
    return number
  }

  func number(
    _ name: String, in range: ClosedRange<Double>, default defaultValue: Double
  ) throws(PruningError) -> Double {
    guard let value = object[name] else { return defaultValue }
    guard let number = value.doubleValue else {
      throw PruningError(at: path(name), "must be a number, not \(Self.found(value))")
    }
    guard range.contains(number) else {
      throw PruningError(
        at: path(name), "must lie in \(range.lowerBound)...\(range.upperBound), not \(number)")
    }
    return number
  }

  /// The member as one of an enumeration's names.
  func choice<Choice: RawRepresentable & CaseIterable>(
    _ name: String, _ type: Choice.Type
  ) throws(PruningError) -> Choice? where Choice.RawValue == String {
    guard let value = object[name] else { return nil }
    let names = Choice.allCases.map(\.rawValue)
    guard let text = value.stringValue else {
      throw PruningError(
        at: path(name), "must be one of \(names.joined(separator: ", ")), not \(Self.found(value))")
    }
    guard let choice = Choice(rawValue: text) else {
      let hint = nearestName(to: text, among: names).map { "; did you mean '\($0)'?" } ?? ""
      throw PruningError(
        at: path(name), "must be one of \(names.joined(separator: ", ")), not '\(Self.excerpt(text))'\(hint)")
    }
    return choice
  }

  /// `[width, height]` in pixels, each 1...1,000,000, or nil when the member is absent.
  func size(_ name: String) throws(PruningError) -> ImageSize? {
    guard let value = object[name] else { return nil }
    let limit = 1_000_000
    guard let sides = value.arrayValue?.map(\.integerValue), sides.count == 2,
      let width = sides[0], let height = sides[1], (1...limit).contains(width), (1...limit).contains(height)
    else {
      throw PruningError(
        at: path(name), "must be [width, height] in pixels, two whole numbers in 1...\(limit)")
    }
    return ImageSize(width: width, height: height)
  }

  private func describe(_ range: ClosedRange<Int>) -> String { "\(range.lowerBound)...\(range.upperBound)" }

  /// The kind of a JSON value with its article, for error messages.
  static func found(_ value: JSONValue) -> String {
    switch value {
    case .null: "null"
    case .array, .object: "an \(value.kind)"
    case .integer(let number): "\(number)"
    case .number(let number): "\(number)"
    case .bool, .string: "a \(value.kind)"
    }
  }

  /// At most 60 characters of untrusted text, control characters replaced, so that it can be quoted in an error.
  static func excerpt(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars.prefix(60) {
      result.unicodeScalars.append(scalar.value < 0x20 || scalar.value == 0x7f ? " " : scalar)
    }
    return text.unicodeScalars.count > 60 ? result + "..." : result
  }
}

/// A member's name as one reference token of a JSON pointer, shortened to 64 characters.
private func pointerToken(_ name: String) -> String {
  var result = ""
  for scalar in name.unicodeScalars.prefix(64) {
    switch scalar {
    case "~": result += "~0"
    case "/": result += "~1"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}
