// Collections in brackets and braces, as in JSON.

extension YAMLParser {
  mutating func parseFlowSequence() throws(YAMLError) -> YAMLNode {
    let start = line
    position += 1
    var items: [YAMLNode] = []
    while true {
      try skipFlowBlank()
      if take(ascii("]")) { return YAMLNode(.sequence(items), line: start) }
      let item = try parseFlowItem(separators: [ascii(","), ascii("]")])
      try skipFlowBlank()
      if isColon(behind: item) {
        position += 1
        items.append(
          YAMLNode(.mapping([.init(key: item, value: try parseFlowValue(ascii("]")))]), line: item.line))
      } else {
        items.append(item)
      }
      try endItem(ascii("]"))
    }
  }

  mutating func parseFlowMapping() throws(YAMLError) -> YAMLNode {
    let start = line
    position += 1
    var entries: [YAMLNode.Entry] = []
    while true {
      try skipFlowBlank()
      if take(ascii("}")) { return YAMLNode(.mapping(entries), line: start) }
      let key = try parseFlowItem(separators: [ascii(","), ascii("}")])
      guard key.text != nil else {
        throw YAMLError(line: key.line, reason: "a key must be a word, not a list or a mapping")
      }
      try skipFlowBlank()
      var value = YAMLNode.null(line: key.line)
      if isColon(behind: key) {
        position += 1
        value = try parseFlowValue(ascii("}"))
      }
      try add(key, value, to: &entries)
      try endItem(ascii("}"))
    }
  }

  /// What follows a colon; nothing is null.
  private mutating func parseFlowValue(_ end: UInt8) throws(YAMLError) -> YAMLNode {
    try skipFlowBlank()
    if peek() == ascii(",") || peek() == end { return .null(line: line) }
    return try parseFlowItem(separators: [])
  }

  private mutating func parseFlowItem(separators: [UInt8]) throws(YAMLError) -> YAMLNode {
    guard let byte = peek() else { throw failure("a bracket or brace is not closed") }
    guard !separators.contains(byte) else { throw failure("expected a value, found \(found)") }
    if byte == ascii("?"), isBlank(at: position + 1) { throw failure("explicit keys (?) are not supported") }
    return try parseValue(parent: -1, isFlow: true)
  }

  /// Whether a colon ends a key here: behind a quoted one anything may follow it.
  private func isColon(behind key: YAMLNode) -> Bool {
    guard peek() == ascii(":") else { return false }
    if case .scalar(_, isPlain: false) = key.content { return true }
    return isBlank(at: position + 1) || peek(1).map { Self.flowIndicators.contains($0) } ?? true
  }

  private mutating func endItem(_ end: UInt8) throws(YAMLError) {
    try skipFlowBlank()
    guard !take(ascii(",")), peek() != end else { return }
    throw position < bytes.count
      ? failure("expected ',' or '\(Character(Unicode.Scalar(end)))', found \(found)")
      : failure("a bracket or brace is not closed")
  }

  private mutating func skipFlowBlank() throws(YAMLError) {
    try skipBlank(isFlow: true)
    if isDocumentEnd { throw failure("a bracket or brace is not closed") }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard peek() == byte else { return false }
    position += 1
    return true
  }
}
