/// A JSON document (RFC 8259) as a value.
///
/// Numbers that are written without fraction or exponent and fit an `Int` are `.integer`, those above it that fit
/// 64 bits `.unsigned`; all others are `.number`. Both compare equal through ``doubleValue`` only, so a round trip keeps the written form.
public enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case integer(Int)
  /// Above `Int.max` only.
  case unsigned(UInt64)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  /// Strings are equal when their bytes are, as ``Name`` says.
  public static func == (left: JSONValue, right: JSONValue) -> Bool {
    switch (left, right) {
    case (.null, .null): true
    case (.bool(let left), .bool(let right)): left == right
    case (.integer(let left), .integer(let right)): left == right
    case (.unsigned(let left), .unsigned(let right)): left == right
    case (.number(let left), .number(let right)): left == right
    case (.string(let left), .string(let right)): Name.areSame(left, right)
    case (.array(let left), .array(let right)): left == right
    case (.object(let left), .object(let right)): left == right
    default: false
    }
  }
}

/// The members of a JSON object, in the order they were written or appended.
///
/// Lookup is linear: parameter objects have a handful of members, and order makes answers reproducible.
public struct JSONObject: Sendable, Equatable, ExpressibleByDictionaryLiteral {
  public private(set) var members: [Member]

  public struct Member: Sendable, Equatable {
    public let name: String
    public var value: JSONValue

    public init(name: String, value: JSONValue) {
      self.name = name
      self.value = value
    }

    public static func == (left: Member, right: Member) -> Bool {
      Name.areSame(left.name, right.name) && left.value == right.value
    }
  }

  public init() { members = [] }

  /// An object of members whose names are already known to differ, which is not checked again.
  ///
  /// - Complexity: O(1); assigning one by one is quadratic, too slow for what a client sends.
  public init(distinctMembers members: [Member]) { self.members = members }

  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    members = []
    members.reserveCapacity(elements.count)
    for (name, value) in elements { self[name] = value }
  }

  public var isEmpty: Bool { members.isEmpty }

  /// The members as ``JSONWriter`` writes them on one line, without the braces.
  public var compactMembers: [UInt8] {
    var bytes: [UInt8] = []
    // Of what most answers say, so that the text seldom grows.
    bytes.reserveCapacity(256)
    var writer = JSONWriter(appendingTo: consume bytes)
    writer.writeMembers(of: self)
    return writer.takeBytes()
  }

  public var names: [String] { members.map(\.name) }

  /// The member's value; assigning nil removes it, assigning a new name appends it.
  public subscript(name: String) -> JSONValue? {
    get {
      for index in members.indices where Name.areSame(members[index].name, name) {
        return members[index].value
      }
      return nil
    }
    set {
      let index = members.firstIndex { Name.areSame($0.name, name) }
      switch (index, newValue) {
      case (let index?, let value?): members[index].value = value
      case (let index?, nil): members.remove(at: index)
      case (nil, let value?): members.append(Member(name: name, value: value))
      case (nil, nil): break
      }
    }
  }
}

extension JSONValue {
  /// A list of texts.
  public static func list(_ texts: [String]) -> JSONValue { .array(texts.map { .string($0) }) }

  /// A list of whole numbers.
  public static func list(_ numbers: [Int]) -> JSONValue { .array(numbers.map { .integer($0) }) }

  public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }

  public var stringValue: String? { if case .string(let value) = self { value } else { nil } }

  public var arrayValue: [JSONValue]? { if case .array(let value) = self { value } else { nil } }

  public var objectValue: JSONObject? { if case .object(let value) = self { value } else { nil } }

  /// The value as a whole number: `3` and `3.0` both are, `3.5` is not.
  public var integerValue: Int? {
    switch self {
    case .integer(let value): value
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }

  /// The value as a whole number from 0 to 2^64 - 1.
  public var unsignedValue: UInt64? {
    switch self {
    case .integer(let value): UInt64(exactly: value)
    case .unsigned(let value): value
    case .number(let value): UInt64(exactly: value)
    default: nil
    }
  }

  public var doubleValue: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .unsigned(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// The word RFC 8259 uses for this kind of value, for error messages.
  public var kind: String {
    switch self {
    case .null: "null"
    case .bool: "boolean"
    case .integer, .unsigned, .number: "number"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }

  /// The same with its article: "an object", "a number", "null".
  public var kindWithArticle: String {
    switch self {
    case .null: kind
    case .array, .object: "an \(kind)"
    default: "a \(kind)"
    }
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral,
  ExpressibleByNilLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(nilLiteral: ()) { self = .null }
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    var object = JSONObject()
    for (name, value) in elements { object[name] = value }
    self = .object(object)
  }
}
