/// A strict reader of JSON texts (RFC 8259) that walks the bytes once, front to back.
///
/// It rejects what lenient readers let pass: invalid UTF-8, leading zeros, raw control characters, unpaired
/// surrogates, duplicate member names, and anything behind the value. Nesting ends at ``maximumDepth``.
public struct JSONScanner: Sendable {
  static let maximumDepth = 64
  /// The most values ``readValue(maximumValueCount:)`` builds: they take far more memory than their text.
  public static let defaultMaximumValueCount = 1 << 22
  /// Longest number text; the longest float64 value written in full has 1,077 characters.
  static let maximumNumberLength = 2048

  let bytes: ArraySlice<UInt8>
  /// Index of the next unread byte.
  var cursor: Int

  public init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    self.cursor = bytes.startIndex
  }

  /// The text without a byte order mark, which whoever reads a message may ignore (RFC 8259 section 8.1).
  public static func withoutByteOrderMark(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    text.starts(with: [0xef, 0xbb, 0xbf]) ? text.dropFirst(3) : text
  }

  /// Whether a text is encoded in UTF-16 or UTF-32: it begins with their byte order mark, or has a zero byte among its
  /// first four, which no JSON text in UTF-8 has.
  public static func isWide(_ text: ArraySlice<UInt8>) -> Bool {
    let first = Array(text.prefix(4))
    guard first.count >= 2 else { return false }
    let brackets = [UInt8(ascii: "{"), UInt8(ascii: "[")]
    return first.starts(with: [0xff, 0xfe]) || first.starts(with: [0xfe, 0xff])
      || (first[1] == 0 && brackets.contains(first[0])) || (first[0] == 0 && brackets.contains(first[1]))
  }

  /// Bytes read so far.
  public var offset: Int { cursor - bytes.startIndex }

  /// The next byte that is not white space, left unread; nil at the end.
  public mutating func peek() -> UInt8? {
    while cursor < bytes.endIndex {
      let byte = bytes[cursor]
      guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { return byte }
      cursor += 1
    }
    return nil
  }

  /// Rejects everything but white space behind the value.
  public mutating func finish() throws(JSONError) {
    guard peek() == nil else { throw unexpected("the end of the text") }
  }

  // MARK: Objects and arrays

  /// The state of an object being read: which member names have been seen.
  public struct Members: Sendable {
    var isFirst = true
    // The first names need no memory beside the value; a handful more is compared one by one, and the set takes
    // over before that becomes quadratic.
    private var first = InlineArray<6, Name>(repeating: Name(""))
    private var firstCount = 0
    private var few: [Name] = []
    private var many: Set<Name> = []

    mutating func insert(_ name: Name) -> Bool {
      for index in 0..<firstCount where first[index] == name { return false }
      if firstCount < first.count {
        first[firstCount] = name
        firstCount += 1
        return true
      }
      if many.isEmpty {
        guard !few.contains(name) else { return false }
        few.append(name)
        if few.count > 10 { many = Set(few) }
        return true
      }
      return many.insert(name).inserted
    }
  }

  /// Reads `{`.
  public mutating func openObject() throws(JSONError) -> Members {
    guard peek() == UInt8(ascii: "{") else { throw mismatch("an object") }
    cursor += 1
    return Members()
  }

  /// Reads up to and including the colon of the next member; the value must be read before the next call.
  ///
  /// - Returns: the member's name, or nil after reading `}`.
  public mutating func nextMember(_ members: inout Members) throws(JSONError) -> String? {
    var next = peek()
    if next == UInt8(ascii: "}") {
      cursor += 1
      return nil
    }
    if !members.isFirst {
      guard next == UInt8(ascii: ",") else { throw unexpected("',' or '}'") }
      cursor += 1
      next = peek()
    }
    guard next == UInt8(ascii: "\"") else {
      throw unexpected(members.isFirst ? "a member name or '}'" : "a member name")
    }
    members.isFirst = false
    let start = offset
    let name = try readString()
    guard name.utf8.count <= Name.maximumBytes else {
      throw JSONError(
        offset: start, "a member name has \(name.utf8.count) bytes; at most \(Name.maximumBytes) are read")
    }
    guard members.insert(Name(name)) else {
      throw JSONError(offset: start, pointer: JSONPointer.token(name), "member \"\(name)\" occurs twice")
    }
    guard peek() == UInt8(ascii: ":") else { throw unexpected("':'") }
    cursor += 1
    return name
  }

  /// Reads a whole number from 0 on of at most 18 digits; nil, with nothing read but white space, before anything else.
  ///
  /// What follows the digits is for the next call to judge.
  public mutating func readPlainIndex() -> Int? {
    guard peek() != nil else { return nil }
    var value = 0
    var end = cursor
    while end < bytes.endIndex, end - cursor < 18 {
      let digit = bytes[end] &- 0x30
      guard digit <= 9 else { break }
      value = value &* 10 &+ Int(digit)
      end += 1
    }
    guard end > cursor, bytes[cursor] != UInt8(ascii: "0") || end == cursor + 1 else { return nil }
    cursor = end
    return value
  }

  /// Reads `[`.
  public mutating func openArray() throws(JSONError) {
    guard peek() == UInt8(ascii: "[") else { throw mismatch("an array") }
    cursor += 1
  }

  /// Reads the comma before an element, or the `]` behind the last one.
  ///
  /// - Parameter index: how many elements have been read; the call adds one.
  /// - Returns: whether an element follows.
  public mutating func nextElement(_ index: inout Int) throws(JSONError) -> Bool {
    guard try nextPlace(&index) else { return false }
    if index > 1, peek() == UInt8(ascii: "]") { throw unexpected("a value") }
    return true
  }

  /// The same for whoever says by itself what it misses behind a comma.
  @inline(__always)
  public mutating func nextPlace(_ index: inout Int) throws(JSONError) -> Bool {
    let next = peek()
    if next == UInt8(ascii: "]") {
      cursor += 1
      return false
    }
    if index > 0 {
      guard next == UInt8(ascii: ",") else { throw unexpected("',' or ']'") }
      cursor += 1
    }
    index += 1
    return true
  }

  // MARK: Values

  /// What reading values may take; several readings may share one.
  public struct Budget: Sendable {
    private var valuesLeft: Int
    private let isInterrupted: (@Sendable () -> Bool)?

    /// - Parameters:
    ///   - values: how many may be built.
    ///   - isInterrupted: asked every thousand values, which take a tenth of a millisecond; once true, `.interrupted` is
    ///     thrown.
    public init(
      values: Int = JSONScanner.defaultMaximumValueCount, isInterrupted: (@Sendable () -> Bool)? = nil
    ) {
      valuesLeft = values
      self.isInterrupted = isInterrupted
    }

    fileprivate mutating func spendOne(at offset: Int) throws(JSONError) {
      valuesLeft -= 1
      guard valuesLeft >= 0 else { throw JSONError(offset: offset, "too many values in one JSON text") }
      if valuesLeft & 1023 == 0, isInterrupted?() == true {
        throw JSONError(.interrupted, offset: offset, "")
      }
    }
  }

  /// Reads a value of any kind.
  public mutating func readValue(
    maximumValueCount: Int = Self.defaultMaximumValueCount
  ) throws(JSONError) -> JSONValue {
    var budget = Budget(values: maximumValueCount)
    return try readValue(budget: &budget)
  }

  /// Reads a value of any kind out of several that share a budget.
  public mutating func readValue(budget: inout Budget) throws(JSONError) -> JSONValue {
    try readValue(depth: 0, &budget)
  }

  private mutating func readValue(depth: Int, _ budget: inout Budget) throws(JSONError) -> JSONValue {
    try budget.spendOne(at: offset)
    switch peek() ?? 0 {
    case UInt8(ascii: "{"): return .object(try readObject(depth: depth + 1, &budget))
    case UInt8(ascii: "["): return .array(try readArray(depth: depth + 1, &budget))
    case UInt8(ascii: "\""): return .string(try readString())
    case UInt8(ascii: "t"):
      try readWord("true")
      return true
    case UInt8(ascii: "f"):
      try readWord("false")
      return false
    case UInt8(ascii: "n"):
      try readWord("null")
      return nil
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try readNumber()
    default: throw unexpected("a value")
    }
  }

  private mutating func readObject(depth: Int, _ budget: inout Budget) throws(JSONError) -> JSONObject {
    try checkDepth(depth)
    var names = try openObject()
    var members: [JSONObject.Member] = []
    while let name = try nextMember(&names) {
      do throws(JSONError) {
        members.append(.init(name: name, value: try readValue(depth: depth, &budget)))
      } catch {
        throw error.inside(name)
      }
    }
    return JSONObject(distinctMembers: members)
  }

  private mutating func readArray(depth: Int, _ budget: inout Budget) throws(JSONError) -> [JSONValue] {
    try checkDepth(depth)
    try openArray()
    var elements: [JSONValue] = []
    var index = 0
    while try nextElement(&index) {
      do throws(JSONError) {
        elements.append(try readValue(depth: depth, &budget))
      } catch {
        throw error.inside(index - 1)
      }
    }
    return elements
  }

  private func checkDepth(_ depth: Int) throws(JSONError) {
    guard depth <= Self.maximumDepth else {
      throw JSONError(offset: offset, "nesting deeper than \(Self.maximumDepth) levels")
    }
  }

  private mutating func readWord(_ word: StaticString) throws(JSONError) {
    for index in 0..<word.utf8CodeUnitCount {
      guard cursor < bytes.endIndex, bytes[cursor] == word.utf8Start[index] else {
        throw unexpected("'\(word)'")
      }
      cursor += 1
    }
  }

  // MARK: Errors

  /// A syntax error at the unread byte.
  func unexpected(_ expected: String) -> JSONError {
    JSONError(offset: offset, "expected \(expected), found \(found)")
  }

  /// A value of the wrong kind: an error of content when the next byte begins a value, else of syntax.
  public mutating func mismatch(_ expected: String) -> JSONError {
    guard let byte = peek() else { return unexpected(expected) }
    let kind: String? =
      switch byte {
      case UInt8(ascii: "{"): "an object"
      case UInt8(ascii: "["): "an array"
      case UInt8(ascii: "\""): "a string"
      case UInt8(ascii: "t"), UInt8(ascii: "f"): "a boolean"
      case UInt8(ascii: "n"): "null"
      case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): "a number"
      default: nil
      }
    guard let kind else { return unexpected(expected) }
    return JSONError(.content, offset: offset, "expected \(expected), found \(kind)")
  }

  private var found: String {
    guard cursor < bytes.endIndex else { return "the end of the text" }
    let rest = bytes[cursor...]
    if Self.isWide(bytes) { return "text in UTF-16 or UTF-32; encode JSON as UTF-8" }
    for word in ["NaN", "Infinity", "-Infinity"] where rest.starts(with: word.utf8) {
      return "\(word), which JSON does not have"
    }
    for (python, json) in [("True", "true"), ("False", "false"), ("None", "null")]
    where rest.starts(with: python.utf8) {
      return "Python's \(python); JSON writes \(json) (json.dumps does so)"
    }
    if rest.first == UInt8(ascii: "'") { return "a single quote; JSON writes strings in double quotes" }
    let byte = bytes[cursor]
    return (0x21...0x7e).contains(byte) ? "'\(Character(Unicode.Scalar(byte)))'" : "byte \(byte)"
  }
}
