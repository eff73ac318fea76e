/// The byte of an ASCII character.
@inline(__always)
func ascii(_ scalar: Unicode.Scalar) -> UInt8 { UInt8(ascii: scalar) }

// Where the parser stands, and what it passes over.

extension YAMLParser {
  static let flowIndicators = Set("[]{},".utf8)

  var column: Int { position - lineStart }

  func peek(_ distance: Int = 0) -> UInt8? {
    position + distance < bytes.count ? bytes[position + distance] : nil
  }

  /// Whether a space, a tab, a line end or the end of the text is there.
  func isBlank(at place: Int) -> Bool {
    place >= bytes.count || [0x20, 0x09, 0x0a, 0x0d].contains(bytes[place])
  }

  /// Whether `---` or `...` stands at the beginning of a line here.
  func isMarker(_ byte: UInt8) -> Bool {
    column == 0 && position + 3 <= bytes.count && bytes[position..<(position + 3)].allSatisfy { $0 == byte }
      && isBlank(at: position + 3)
  }

  var isDocumentEnd: Bool { isMarker(ascii("-")) || isMarker(ascii(".")) }

  /// What is here, in words for a message.
  var found: String {
    guard let byte = peek() else { return "the end of the text" }
    if byte == ascii("\n") || byte == ascii("\r") { return "the end of the line" }
    let rest = bytes[position...].prefix { $0 != ascii("\n") && $0 != ascii("\r") }.prefix(24)
    return "'\(String(decoding: rest, as: UTF8.self))'"
  }

  func failure(_ reason: String) -> YAMLError { YAMLError(line: line, reason: reason) }

  mutating func skipSpaces() {
    while let byte = peek(), byte == ascii(" ") || byte == ascii("\t") { position += 1 }
  }

  /// Goes behind the line end that is here.
  mutating func takeLineEnd() {
    if peek() == ascii("\r") { position += 1 }
    if peek() == ascii("\n") { position += 1 }
    line += 1
    lineStart = position
  }

  var isLineEnd: Bool { peek() == ascii("\n") || peek() == ascii("\r") }

  mutating func skipLine() {
    while position < bytes.count, !isLineEnd { position += 1 }
    if position < bytes.count { takeLineEnd() }
  }

  /// Passes over spaces, comments and line ends, to whatever comes next.
  ///
  /// - Throws: where a tab stands in an indentation, which has no width.
  mutating func skipBlank(isFlow: Bool = false) throws(YAMLError) {
    while position < bytes.count {
      let isIndentation = column == 0
      let start = position
      skipSpaces()
      let hasTab = isIndentation && bytes[start..<position].contains(ascii("\t"))
      // A comment begins a line or has a space before it.
      if peek() == ascii("#"), position == 0 || isBlank(at: position - 1) || column == 0 {
        while position < bytes.count, !isLineEnd { position += 1 }
      }
      guard isLineEnd else {
        if hasTab, position < bytes.count, !isFlow {
          throw failure("a tab in the indentation; use spaces")
        }
        return
      }
      takeLineEnd()
    }
  }
}
