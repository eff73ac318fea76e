// Scalars: plain, quoted and block.

extension YAMLParser {
  // MARK: Plain

  /// Text without quotation marks; further lines join it with a space each, where they may.
  mutating func parsePlain(parent: Int, isKey: Bool, isFlow: Bool) throws(YAMLError) -> String {
    guard canBeginPlain(isFlow: isFlow) else {
      throw failure("unexpected \(found); text that begins like this needs quotation marks")
    }
    var text = takePlainLine(isFlow: isFlow)
    while !isKey {
      let place = (position, line, lineStart)
      guard let blankLines = nextPlainLine(parent: parent, isFlow: isFlow) else {
        (position, line, lineStart) = place
        break
      }
      text += blankLines == 0 ? [ascii(" ")] : [UInt8](repeating: ascii("\n"), count: blankLines)
      text += takePlainLine(isFlow: isFlow)
    }
    if !isKey, !isFlow {
      skipSpaces()
      guard peek() != ascii(":") else {
        throw failure("a second ': ' in one value; put the value in quotation marks")
      }
    }
    return String(decoding: text, as: UTF8.self)
  }

  private func canBeginPlain(isFlow: Bool) -> Bool {
    guard let byte = peek() else { return false }
    if [ascii("-"), ascii("?"), ascii(":")].contains(byte) {
      return !isBlank(at: position + 1)
        && !(isFlow && peek(1).map { Self.flowIndicators.contains($0) } ?? true)
    }
    return !Set(",[]{}#&*!|>'\"%@`".utf8).contains(byte)
  }

  private mutating func takePlainLine(isFlow: Bool) -> [UInt8] {
    let start = position
    var end = position
    while let byte = peek(), !isLineEnd {
      if byte == ascii(":") {
        if isBlank(at: position + 1) { break }
        if isFlow, let next = peek(1), Self.flowIndicators.contains(next) { break }
      }
      if isFlow, Self.flowIndicators.contains(byte) { break }
      if byte == ascii("#"), position > start, isBlank(at: position - 1) { break }
      position += 1
      if byte != ascii(" "), byte != ascii("\t") { end = position }
    }
    position = end
    return Array(bytes[start..<end])
  }

  /// Goes to the next line that continues a plain scalar.
  ///
  /// - Returns: how many empty lines stand between; nil when no line continues it.
  private mutating func nextPlainLine(parent: Int, isFlow: Bool) -> Int? {
    skipSpaces()
    guard isLineEnd else { return nil }
    takeLineEnd()
    var blankLines = 0
    while true {
      skipSpaces()
      guard isLineEnd else { break }
      takeLineEnd()
      blankLines += 1
    }
    guard let byte = peek(), byte != ascii("#") else { return nil }
    if isFlow {
      return Self.flowIndicators.contains(byte) || byte == ascii(":") && isBlank(at: position + 1)
        ? nil : blankLines
    }
    guard column > parent, !bytes[lineStart..<position].contains(ascii("\t")), !isDocumentEnd else {
      return nil
    }
    return blankLines
  }

  // MARK: Quoted

  mutating func parseQuoted() throws(YAMLError) -> String {
    let quote = bytes[position]
    let isDouble = quote == ascii("\"")
    let start = line
    position += 1
    var text: [UInt8] = []
    /// Up to here spaces were written as escape sequences, and stay.
    var escapedCount = 0
    while let byte = peek() {
      if byte == quote {
        position += 1
        guard !isDouble, peek() == quote else { return String(decoding: text, as: UTF8.self) }
        text.append(quote)
        position += 1
      } else if byte == ascii("\\"), isDouble {
        try takeEscape(into: &text)
        escapedCount = text.count
      } else if isLineEnd {
        try foldQuotedLines(into: &text, keeping: escapedCount)
      } else {
        text.append(byte)
        position += 1
      }
    }
    throw YAMLError(line: start, reason: "a quotation mark is not closed")
  }

  /// A line end in quotation marks is a space, and of several one is dropped; spaces around them are, too.
  private mutating func foldQuotedLines(into text: inout [UInt8], keeping: Int, keepsSpaces: Bool = false)
    throws(YAMLError)
  {
    while !keepsSpaces, text.count > keeping, let last = text.last, last == ascii(" ") || last == ascii("\t")
    { text.removeLast() }
    var lineEnds = 0
    while isLineEnd {
      takeLineEnd()
      lineEnds += 1
      if isDocumentEnd { throw failure("a quotation mark is not closed") }
      skipSpaces()
    }
    let isOne = lineEnds == 1 && !keepsSpaces
    text += isOne ? [ascii(" ")] : [UInt8](repeating: ascii("\n"), count: lineEnds - 1)
  }

  private static let escapes: [UInt8: [UInt8]] = [
    ascii("0"): [0], ascii("a"): [7], ascii("b"): [8], ascii("t"): [9], ascii("\t"): [9], ascii("n"): [10],
    ascii("v"): [11], ascii("f"): [12], ascii("r"): [13], ascii("e"): [27], ascii(" "): [32],
    ascii("\""): [34],
    ascii("/"): [47], ascii("\\"): [92], ascii("N"): [0xc2, 0x85], ascii("_"): [0xc2, 0xa0],
    ascii("L"): [0xe2, 0x80, 0xa8], ascii("P"): [0xe2, 0x80, 0xa9],
  ]

  private mutating func takeEscape(into text: inout [UInt8]) throws(YAMLError) {
    position += 1
    if isLineEnd { return try foldQuotedLines(into: &text, keeping: text.count, keepsSpaces: true) }
    guard let byte = peek() else { throw failure("a quotation mark is not closed") }
    if let plain = Self.escapes[byte] {
      position += 1
      text += plain
      return
    }
    let digits = [ascii("x"): 2, ascii("u"): 4, ascii("U"): 8][byte]
    guard let digits else {
      throw failure("'\\\(Character(Unicode.Scalar(byte)))' is not an escape sequence")
    }
    position += 1
    var value = try takeHexadecimal(digits)
    // JSON writes characters beyond the first plane as two halves.
    if digits == 4, (0xd800..<0xdc00).contains(value), peek() == ascii("\\"), peek(1) == ascii("u") {
      position += 2
      let low = try takeHexadecimal(4)
      guard (0xdc00..<0xe000).contains(low) else {
        throw failure("half of a character in an escape sequence")
      }
      value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
    }
    guard let scalar = Unicode.Scalar(value) else { throw failure("an escape sequence names no character") }
    text += Array(String(Character(scalar)).utf8)
  }

  private mutating func takeHexadecimal(_ count: Int) throws(YAMLError) -> UInt32 {
    guard position + count <= bytes.count,
      bytes[position..<(position + count)].allSatisfy({
        Character(Unicode.Scalar($0)).isHexDigit && $0 < 0x80
      }),
      let value = UInt32(String(decoding: bytes[position..<(position + count)], as: UTF8.self), radix: 16)
    else { throw failure("an escape sequence needs \(count) hexadecimal digits") }
    position += count
    return value
  }

  // MARK: Block

  /// What becomes of the line ends behind the last line of a block scalar.
  private enum Chomping { case clip, strip, keep }

  mutating func parseBlockScalar(parent: Int) throws(YAMLError) -> String {
    let isFolded = bytes[position] == ascii(">")
    position += 1
    let (chomping, given) = try takeBlockHeader()
    var indentation = given.map { max(parent, 0) + $0 }
    // A line's spaces beyond the indentation belong to it.
    var lines: [[UInt8]] = []
    while position < bytes.count, !isDocumentEnd {
      let start = position
      while peek() == ascii(" "), indentation.map({ column < $0 }) ?? true { position += 1 }
      if isLineEnd || position == bytes.count {
        lines.append([])
      } else {
        guard column > parent, indentation.map({ column >= $0 }) ?? true else {
          position = start
          break
        }
        indentation = indentation ?? column
        let end = bytes[position...].firstIndex { $0 == ascii("\n") || $0 == ascii("\r") } ?? bytes.count
        lines.append(Array(bytes[position..<end]))
        position = end
      }
      guard position < bytes.count else { break }
      takeLineEnd()
    }
    // Of the text's last line the end may be missing.
    let hasEnd = bytes[lineStart..<position].isEmpty || lines.last?.isEmpty ?? true
    return Self.joined(lines, isFolded: isFolded, hasEnd ? chomping : .strip)
  }

  private mutating func takeBlockHeader() throws(YAMLError) -> (Chomping, Int?) {
    var chomping = Chomping.clip
    var indentation: Int?
    while let byte = peek(), !isBlank(at: position) {
      switch byte {
      case ascii("-"): chomping = .strip
      case ascii("+"): chomping = .keep
      case ascii("1")...ascii("9"): indentation = Int(byte - ascii("0"))
      default: throw failure("unexpected \(found) after the sign of a block scalar")
      }
      position += 1
    }
    skipSpaces()
    guard isLineEnd || peek() == nil || peek() == ascii("#") else {
      throw failure("unexpected \(found) after the sign of a block scalar")
    }
    skipLine()
    return (chomping, indentation)
  }

  private static func joined(_ lines: [[UInt8]], isFolded: Bool, _ chomping: Chomping) -> String {
    let lineEnd = ascii("\n")
    let count = (lines.lastIndex { !$0.isEmpty } ?? -1) + 1
    var text: [UInt8] = []
    for index in 0..<count {
      text += lines[index]
      guard index + 1 < count else { break }
      let isIndented = [lines[index], lines[index + 1]].map {
        $0.first == ascii(" ") || $0.first == ascii("\t")
      }
      // Folded lines join with a space; empty ones and those that are indented farther stay.
      if isFolded, !isIndented[0], !isIndented[1], !lines[index].isEmpty, !lines[index + 1].isEmpty {
        text.append(ascii(" "))
      } else if isFolded, !lines[index].isEmpty, lines[index + 1].isEmpty, !isIndented[0],
        lines[(index + 1)..<count].first(where: { !$0.isEmpty }).map({
          $0.first != ascii(" ") && $0.first != ascii("\t")
        }) ?? false
      {
        continue
      } else {
        text.append(lineEnd)
      }
    }
    switch chomping {
    case .strip: break
    case .clip: if count > 0 { text.append(lineEnd) }
    case .keep: text += [UInt8](repeating: lineEnd, count: lines.count - count + (count > 0 ? 1 : 0))
    }
    return String(decoding: text, as: UTF8.self)
  }
}
