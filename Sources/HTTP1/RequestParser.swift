/// Turns the bytes of a connection into request heads, however they are cut into pieces (RFC 9112 sections 2 to 5).
///
/// The outcome is a function of the bytes alone: each is judged once, in order, and a violation is thrown at the
/// first byte that proves it. A head delivered byte by byte therefore costs the same as a whole one and ends the
/// same way. Nothing is allocated until a field line is complete.
public struct RequestParser: Sendable {
  public enum Event: Sendable, Equatable {
    case needsMoreBytes
    /// A complete head; the body or the next message begins at `byteCount`.
    case head(RequestHead, byteCount: Int)
  }

  private enum Stage {
    case messageStart, requestLine, fieldStart, fieldName, fieldValue
  }

  private let limits: HTTPLimits
  private var stage = Stage.messageStart
  /// Every byte before it has been judged.
  private var position = 0
  /// The first byte of the line being read.
  private var lineStart = 0
  private var colon = 0
  private var fieldsStart = 0
  private var requestLine: RequestLine?
  /// Offsets are relative to `fieldsStart`.
  private var lines: [HeaderFields.Line] = []

  public init(limits: HTTPLimits = .init()) {
    self.limits = limits
    // Offsets into a head are kept in 32 bits.
    precondition(limits.headBytes < Int32.max, "a head limit of 2 GiB or more is no limit")
  }

  /// Whether the next byte is the first of a message.
  public var isBetweenMessages: Bool { stage == .messageStart && position == 0 }

  /// Reads on from where the last call stopped.
  ///
  /// - Parameter bytes: all bytes received of this message, from its first; one empty line before the request line
  ///   is skipped and counted in `byteCount` (RFC 9112 section 2.2). After `.head` the next call begins a message.
  /// - Throws: the violation and its status; the parser is of no further use then.
  /// - Complexity: over all calls for one message, linear in its length.
  public mutating func parse(_ bytes: RawSpan) throws(FramingError) -> Event {
    let end = min(bytes.byteCount, limits.headBytes)
    while true {
      let hasProgressed =
        switch stage {
        case .messageStart: try skipEmptyLine(bytes, end)
        case .requestLine: try readRequestLine(bytes, end)
        case .fieldStart: try startField(bytes, end)
        case .fieldName: try readFieldName(bytes, end)
        case .fieldValue: try readFieldValue(bytes, end)
        }
      if hasProgressed, stage == .messageStart, let requestLine { return try finish(requestLine, bytes) }
      guard hasProgressed else { break }
    }
    if bytes.byteCount > limits.headBytes {
      throw FramingError(431, "the request head exceeds \(limits.headBytes) bytes")
    }
    return .needsMoreBytes
  }

  /// Reads on in an array whose message begins at `start`; spares a caller that stores parser and buffer side by
  /// side the borrow of both.
  public mutating func parse(_ buffer: [UInt8], from start: Int = 0) throws(FramingError) -> Event {
    try parse(buffer.span.bytes.extracting(start..<buffer.count))
  }

  private mutating func skipEmptyLine(_ bytes: RawSpan, _ end: Int) throws(FramingError) -> Bool {
    guard end > 0 else { return false }
    switch bytes.byte(0) {
    case 0x16:
      // The handshake record that opens every TLS connection (RFC 8446 section 5.1).
      throw FramingError("this looks like TLS, but this port speaks plain HTTP")
    case ASCII.carriageReturn:
      guard try isLineEnd(bytes, 0, end) else { return false }
      position = 2
    default: break
    }
    lineStart = position
    stage = .requestLine
    return true
  }

  private mutating func readRequestLine(_ bytes: RawSpan, _ end: Int) throws(FramingError) -> Bool {
    let longest = lineStart + limits.requestLineBytes
    position = bytes.endOfText(from: position, to: min(end, longest))
    guard position < end else { return false }
    if position == longest, bytes.byte(position) != ASCII.carriageReturn {
      throw FramingError(414, "the request line exceeds \(limits.requestLineBytes) bytes")
    }
    guard try isLineEnd(bytes, position, end) else { return false }
    guard position > lineStart else { throw FramingError(FramingError.emptyLines) }
    requestLine = try RequestLine(bytes, lineStart..<position)
    position += 2
    fieldsStart = position
    stage = .fieldStart
    return true
  }

  /// Decides on a line's first byte: the end of the head, a forbidden continuation or a field.
  private mutating func startField(_ bytes: RawSpan, _ end: Int) throws(FramingError) -> Bool {
    guard position < end else { return false }
    switch bytes.byte(position) {
    case ASCII.carriageReturn:
      guard try isLineEnd(bytes, position, end) else { return false }
      position += 2
      stage = .messageStart
    case ASCII.space, ASCII.tab:
      // obs-fold, and whitespace before the first field: both are smuggling tools (sections 2.2 and 5.2).
      throw FramingError("a header line must not begin with whitespace")
    default:
      guard lines.count < limits.fieldCount else {
        throw FramingError(431, "the request has more than \(limits.fieldCount) header fields")
      }
      lineStart = position
      stage = .fieldName
    }
    return true
  }

  private mutating func readFieldName(_ bytes: RawSpan, _ end: Int) throws(FramingError) -> Bool {
    var offset = position
    while offset < end, ASCII.isToken(bytes.byte(offset)) { offset += 1 }
    position = offset
    guard position < end else { return false }
    let byte = bytes.byte(position)
    guard byte == UInt8(ascii: ":") else {
      if ASCII.isWhitespace(byte) {
        // Section 5.1: no whitespace is allowed before the colon, and 400 is required.
        throw FramingError("there must be no whitespace before the colon of a header field")
      }
      throw FramingError("a header field name must not contain \(ASCII.describe(byte))")
    }
    guard position > lineStart else { throw FramingError("a header field name is empty") }
    colon = position
    position += 1
    stage = .fieldValue
    return true
  }

  private mutating func readFieldValue(_ bytes: RawSpan, _ end: Int) throws(FramingError) -> Bool {
    position = bytes.endOfText(from: position, to: end)
    guard position < end, try isLineEnd(bytes, position, end) else { return false }
    var (start, last) = (colon + 1, position)
    while start < last, ASCII.isWhitespace(bytes.byte(start)) { start += 1 }
    while start < last, ASCII.isWhitespace(bytes.byte(last - 1)) { last -= 1 }
    if lines.isEmpty { lines.reserveCapacity(min(limits.fieldCount, 12)) }
    lines.append(
      HeaderFields.Line(
        name: lineStart - fieldsStart..<colon - fieldsStart, value: start - fieldsStart..<last - fieldsStart))
    position += 2
    stage = .fieldStart
    return true
  }

  /// True when CRLF stands at `offset`, false when its second byte is still to come.
  private func isLineEnd(_ bytes: RawSpan, _ offset: Int, _ end: Int) throws(FramingError) -> Bool {
    let byte = bytes.byte(offset)
    guard byte == ASCII.carriageReturn else {
      // Section 2.2 lets a recipient take a lone LF for a line end; recipients that disagree can be smuggled past.
      if byte == ASCII.lineFeed { throw FramingError("lines must end with CRLF, not with LF alone") }
      throw FramingError("the request head must not contain the control byte \(ASCII.describe(byte))")
    }
    guard offset + 1 < end else { return false }
    guard bytes.byte(offset + 1) == ASCII.lineFeed else {
      throw FramingError("CR must be followed by LF")
    }
    return true
  }

  private mutating func finish(_ line: RequestLine, _ bytes: RawSpan) throws(FramingError) -> Event {
    let fields = HeaderFields(section: bytes.extracting(fieldsStart..<position - 2), lines: lines)
    try Self.checkHost(fields, version: line.version)
    let head = RequestHead(
      method: line.method, target: line.target, path: line.path, query: line.query, version: line.version,
      fields: fields)
    let byteCount = position
    self = RequestParser(limits: limits)
    return .head(head, byteCount: byteCount)
  }

  /// RFC 9112 section 3.2: one Host in every HTTP/1.1 request, never two, and never an invalid one.
  private static func checkHost(_ fields: HeaderFields, version: HTTPVersion) throws(FramingError) {
    var count = 0
    try fields.forEachValue("host") { (value) throws(FramingError) in
      count += 1
      guard Authority.isValid(value, port: .optional) else {
        throw FramingError("the Host header must be one host with an optional port")
      }
    }
    guard count <= 1 else { throw FramingError("the request has more than one Host header") }
    guard count == 1 || version == .http10 else {
      throw FramingError("an HTTP/1.1 request needs a Host header")
    }
  }
}
