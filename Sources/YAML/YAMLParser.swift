/// Reads one YAML document: mappings, sequences and scalars in block and flow style, anchors, comments.
///
/// Source: YAML 1.2.2 (yaml.org/spec/1.2.2). Not read, and rejected by name: explicit keys (`? key`), keys that are no
/// scalars, and streams of several documents. Tags are skipped, but that they keep a scalar from being null.
///
/// - Complexity: linear in the text; the nesting is limited to ``maximumDepth``.
public struct YAMLParser {
  static let maximumDepth = 64

  let bytes: [UInt8]
  var position = 0
  /// Counted from 1.
  var line = 1
  var lineStart = 0
  private var anchors: [String: YAMLNode] = [:]
  private var depth = 0

  /// The node of the one document in `text`; nil when there is none but comments.
  public static func parse(_ text: String) throws(YAMLError) -> YAMLNode? {
    var parser = YAMLParser(text)
    return try parser.parseStream()
  }

  private init(_ text: String) {
    bytes = Array(text.utf8)
    // A byte order mark.
    if bytes.starts(with: [0xef, 0xbb, 0xbf]) { position = 3 }
    lineStart = position
  }

  // MARK: The stream

  private mutating func parseStream() throws(YAMLError) -> YAMLNode? {
    try skipBlank()
    while peek() == ascii("%"), column == 0 {
      skipLine()
      try skipBlank()
    }
    if isMarker(ascii("-")) {
      position += 3
      try skipBlank()
    }
    guard position < bytes.count, !isMarker(ascii(".")) else { return nil }
    let node = try parseBlockNode(parent: -1)
    try skipBlank()
    if isMarker(ascii(".")) {
      skipLine()
      try skipBlank()
    }
    guard position == bytes.count else {
      throw failure(
        isMarker(ascii("-")) ? "only one document is read" : "unexpected \(found); is the indentation right?")
    }
    return node
  }

  // MARK: Block style

  /// The node that begins here, on a line of its own or behind `- `.
  ///
  /// - Parameter parent: the column of the mapping or sequence that it belongs to, which what goes on must exceed.
  mutating func parseBlockNode(parent: Int) throws(YAMLError) -> YAMLNode {
    try enter()
    defer { depth -= 1 }
    guard let byte = peek(), column > parent, !isDocumentEnd else { return .null(line: line) }
    if byte == ascii("-"), isBlank(at: position + 1) { return try parseSequence() }
    if byte == ascii("?"), isBlank(at: position + 1) { throw failure("explicit keys (?) are not supported") }
    let start = (position, line, lineStart)
    if let key = try parseImplicitKey() { return try parseMapping(at: start.0 - start.2, firstKey: key) }
    (position, line, lineStart) = start
    return try parseValue(parent: parent)
  }

  private mutating func parseSequence() throws(YAMLError) -> YAMLNode {
    let (start, indentation) = (line, column)
    var items: [YAMLNode] = []
    while peek() == ascii("-"), column == indentation, isBlank(at: position + 1), !isDocumentEnd {
      let dash = line
      position += 1
      try skipBlank()
      // An item begins behind its dash, or on a later line farther in.
      let isThere = line == dash || column > indentation
      items.append(isThere ? try parseBlockNode(parent: indentation) : .null(line: dash))
      try skipBlank()
    }
    try checkEnd(of: indentation)
    return YAMLNode(.sequence(items), line: start)
  }

  private mutating func parseMapping(at indentation: Int, firstKey: YAMLNode) throws(YAMLError) -> YAMLNode {
    var entries: [YAMLNode.Entry] = []
    var key = firstKey
    while true {
      try add(key, try parseMappingValue(indentation), to: &entries)
      try skipBlank()
      guard position < bytes.count, column == indentation, !isDocumentEnd else { break }
      if peek() == ascii("-"), isBlank(at: position + 1) {
        throw failure("a list item among the keys of a mapping")
      }
      if peek() == ascii("?"), isBlank(at: position + 1) {
        throw failure("explicit keys (?) are not supported")
      }
      let start = (position, line, lineStart)
      guard let next = try parseImplicitKey() else {
        (position, line, lineStart) = start
        throw failure("expected 'key: value', found \(found)")
      }
      key = next
    }
    try checkEnd(of: indentation)
    return YAMLNode(.mapping(entries), line: firstKey.line)
  }

  /// What follows the colon of a key that stands at `indentation`.
  private mutating func parseMappingValue(_ indentation: Int) throws(YAMLError) -> YAMLNode {
    let start = line
    try skipBlank()
    if line == start, position < bytes.count {
      if peek() == ascii("-"), isBlank(at: position + 1) {
        throw failure("a list must begin on a line of its own")
      }
      return try parseValue(parent: indentation)
    }
    // A list may stand as far in as the key that it belongs to.
    let isList = peek() == ascii("-") && isBlank(at: position + 1) && column == indentation
    guard position < bytes.count, column > indentation || isList, !isDocumentEnd else {
      return .null(line: start)
    }
    return try parseBlockNode(parent: isList ? indentation - 1 : indentation)
  }

  /// A scalar, alias or flow collection that ends in this line and has a colon behind it; nil, at some place of the line,
  /// when there is none.
  private mutating func parseImplicitKey() throws(YAMLError) -> YAMLNode? {
    guard let byte = peek(), byte != ascii("|"), byte != ascii(">") else { return nil }
    let start = line
    let end = bytes[position...].firstIndex(of: ascii("\n")) ?? bytes.count
    // Only then is it worth to read what may be a value of many lines.
    guard bytes[position..<end].contains(ascii(":")) else { return nil }
    // A value that only looks like a key is read again, and then says what is wrong with it.
    guard let node = try? parseValue(parent: column, isKey: true), line == start else { return nil }
    skipSpaces()
    guard peek() == ascii(":"), isBlank(at: position + 1) else { return nil }
    guard node.text != nil else { throw failure("a key must be a word, not a list or a mapping") }
    position += 1
    return node
  }

  func add(_ key: YAMLNode, _ value: YAMLNode, to entries: inout [YAMLNode.Entry]) throws(YAMLError) {
    if entries.contains(where: { $0.key.text == key.text }) {
      throw YAMLError(line: key.line, reason: "the key '\(key.text ?? "")' appears twice")
    }
    entries.append(YAMLNode.Entry(key: key, value: value))
  }

  private func checkEnd(of indentation: Int) throws(YAMLError) {
    guard position < bytes.count, !isDocumentEnd, column > indentation else { return }
    throw failure("unexpected \(found), which is indented too far")
  }

  // MARK: Values

  /// A scalar, an alias or a flow collection, with its anchor and tag.
  ///
  /// - Parameter isKey: it ends in this line.
  mutating func parseValue(
    parent: Int, isKey: Bool = false, isFlow: Bool = false
  ) throws(YAMLError) -> YAMLNode {
    var (anchor, isString): (String?, Bool) = (nil, false)
    while let byte = peek(), byte == ascii("&") || byte == ascii("!") {
      let start = line
      let word = takeWord(isFlow: isFlow)
      if byte == ascii("&") { anchor = word } else { isString = isString || word != "!null" }
      if isKey { skipSpaces() } else { try skipBlank() }
      if line != start, !isFlow {
        let node = column > parent ? try parseBlockNode(parent: parent) : .null(line: start)
        return remember(node, as: anchor, isString: isString)
      }
    }
    let node = try parseContent(parent: parent, isKey: isKey, isFlow: isFlow)
    return remember(node, as: anchor, isString: isString)
  }

  private mutating func remember(_ node: YAMLNode, as anchor: String?, isString: Bool) -> YAMLNode {
    var node = node
    if isString, let text = node.text { node = YAMLNode(.scalar(text, isPlain: false), line: node.line) }
    if let anchor { anchors[anchor] = node }
    return node
  }

  private mutating func parseContent(parent: Int, isKey: Bool, isFlow: Bool) throws(YAMLError) -> YAMLNode {
    let start = line
    switch peek() {
    case nil: return .null(line: start)
    case ascii("["), ascii("{"):
      try enter()
      defer { depth -= 1 }
      return try peek() == ascii("[") ? parseFlowSequence() : parseFlowMapping()
    case ascii("\""), ascii("'"):
      return YAMLNode(.scalar(try parseQuoted(), isPlain: false), line: start)
    case ascii("|"), ascii(">"):
      guard !isKey, !isFlow else { throw failure("a block scalar is not allowed here") }
      return YAMLNode(.scalar(try parseBlockScalar(parent: parent), isPlain: false), line: start)
    case ascii("*"):
      let name = takeWord(isFlow: isFlow)
      guard let node = anchors[name] else { throw failure("no anchor &\(name) before *\(name)") }
      return node
    default:
      return YAMLNode(
        .scalar(try parsePlain(parent: parent, isKey: isKey, isFlow: isFlow), isPlain: true), line: start)
    }
  }

  /// The word behind an indicator: the name of an anchor, or a tag.
  private mutating func takeWord(isFlow: Bool) -> String {
    position += 1
    let start = position
    while let byte = peek(), !isBlank(at: position), !(isFlow && Self.flowIndicators.contains(byte)) {
      position += 1
    }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  private mutating func enter() throws(YAMLError) {
    depth += 1
    guard depth <= Self.maximumDepth else { throw failure("nested deeper than \(Self.maximumDepth) levels") }
  }
}
