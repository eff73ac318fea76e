import JSON

extension FuzzTarget {
  /// JSON texts as values: the scanner, the writer, and a reference reader that knows the grammar and no limit.
  static let json = FuzzTarget("json", maximumBytes: 2048) { bytes throws(BrokenLaw) in
    let outcome = parse(bytes[...])
    // The same text amid bytes that would continue it: whatever reads past the end gets another result.
    let embedded = Array("[1,".utf8) + bytes + Array("99]}\"".utf8)
    try require(
      outcome == parse(embedded[3..<(3 + bytes.count)]), "a slice is read as if nothing stood around it")
    switch outcome {
    case .success(let value):
      try require(JSONGrammar.accepts(bytes), "what is accepted follows the grammar")
      let text = value.serialized()
      try require(parse(text[...]) == .success(value), "a value written again is the same")
      try require(
        parse(value.serialized(prettyPrinted: true)[...]) == .success(value), "so is one in many lines")
    case .failure(let error):
      try require(error.offset >= 0 && error.offset <= bytes.count, "an error lies in the text")
      let isLimit = ["twice", "nesting deeper", "exceeds the range", "characters", "too many values"]
        .contains { error.message.contains($0) }
      try require(isLimit || !JSONGrammar.accepts(bytes), "what follows the grammar is accepted: \(error)")
    }
  }

  private static func parse(_ bytes: ArraySlice<UInt8>) -> Result<JSONValue, JSONError> {
    Result { () throws(JSONError) in try JSONValue.parse(bytes) }
  }
}

/// The grammar of RFC 8259 and the rules of UTF-8 and UTF-16 about it, without values.
struct JSONGrammar {
  private var rest: ArraySlice<UInt8>

  static func accepts(_ bytes: [UInt8]) -> Bool {
    guard String(validating: bytes, as: UTF8.self) != nil else { return false }
    var reader = JSONGrammar(rest: bytes[...])
    guard reader.value() else { return false }
    reader.space()
    return reader.rest.isEmpty
  }

  /// -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)? and nothing else.
  static func isNumber(_ bytes: [UInt8]) -> Bool {
    var reader = JSONGrammar(rest: bytes[...])
    return reader.number() && reader.rest.isEmpty
  }

  private mutating func space() {
    while let byte = rest.first, " \t\r\n".utf8.contains(byte) { rest.removeFirst() }
  }

  private mutating func take(_ text: String) -> Bool {
    guard rest.starts(with: text.utf8) else { return false }
    rest = rest.dropFirst(text.utf8.count)
    return true
  }

  private mutating func value() -> Bool {
    space()
    switch rest.first {
    case UInt8(ascii: "{"): return list("{", "}") { $0.member() }
    case UInt8(ascii: "["): return list("[", "]") { $0.value() }
    case UInt8(ascii: "\""): return string()
    case UInt8(ascii: "t"): return take("true")
    case UInt8(ascii: "f"): return take("false")
    case UInt8(ascii: "n"): return take("null")
    default: return number()
    }
  }

  private mutating func list(
    _ opening: String, _ closing: String, _ item: (inout JSONGrammar) -> Bool
  ) -> Bool {
    guard take(opening) else { return false }
    space()
    if take(closing) { return true }
    while item(&self) {
      space()
      if take(closing) { return true }
      guard take(",") else { return false }
    }
    return false
  }

  private mutating func member() -> Bool {
    space()
    guard string() else { return false }
    space()
    return take(":") && value()
  }

  private mutating func string() -> Bool {
    guard take("\"") else { return false }
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "\""): return true
      case UInt8(ascii: "\\"): guard escape() else { return false }
      case 0..<0x20: return false
      default: break
      }
    }
    return false
  }

  private mutating func escape() -> Bool {
    guard let kind = rest.popFirst() else { return false }
    guard kind == UInt8(ascii: "u") else { return "\"\\/bfnrt".utf8.contains(kind) }
    guard let first = unit() else { return false }
    switch first {
    case 0xd800..<0xdc00: return take("\\u") && (unit().map { (0xdc00..<0xe000).contains($0) } ?? false)
    case 0xdc00..<0xe000: return false
    default: return true
    }
  }

  private mutating func unit() -> Int? {
    let digits = rest.prefix(4)
    guard digits.count == 4, digits.allSatisfy({ "0123456789abcdefABCDEF".utf8.contains($0) }) else {
      return nil
    }
    rest = rest.dropFirst(4)
    return Int(String(decoding: digits, as: UTF8.self), radix: 16)
  }

  private mutating func digits() -> Int {
    let count = rest.prefix { (0x30...0x39).contains($0) }.count
    rest = rest.dropFirst(count)
    return count
  }

  private mutating func number() -> Bool {
    _ = take("-")
    if !take("0") { guard digits() > 0 else { return false } }
    if take(".") { guard digits() > 0 else { return false } }
    guard take("e") || take("E") else { return true }
    if !take("-") { _ = take("+") }
    return digits() > 0
  }
}
