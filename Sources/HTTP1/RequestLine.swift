/// The three parts of a request line (RFC 9112 section 3).
struct RequestLine: Sendable {
  let method: String
  let target: String
  let path: String
  let query: String?
  let version: HTTPVersion

  /// Reads a complete line, its CRLF left out, whose bytes are all text.
  init(_ bytes: RawSpan, _ line: Range<Int>) throws(FramingError) {
    // Section 3 allows a lenient reading of whitespace and says why it is dangerous: one SP, twice, or nothing.
    var offset = line.lowerBound
    while offset < line.upperBound, ASCII.isToken(bytes.byte(offset)) { offset += 1 }
    let method = line.lowerBound..<offset
    guard !method.isEmpty else { throw FramingError("the request line must begin with a method") }
    // "PROXY TCP4 192.0.2.1 ..." would read as a method and a target.
    if method.count == 5, bytes.string(method) == "PROXY" { throw FramingError(FramingError.proxyProtocol) }
    guard offset < line.upperBound, bytes.byte(offset) == ASCII.space else {
      throw FramingError("the method must be a token followed by one space")
    }
    let targetStart = offset + 1
    offset = targetStart
    var queryMark: Int?
    while offset < line.upperBound, bytes.byte(offset) != ASCII.space {
      let byte = bytes.byte(offset)
      if byte == UInt8(ascii: "?"), queryMark == nil { queryMark = offset }
      guard byte > 0x20, byte < 0x7f, byte != UInt8(ascii: "#") else {
        throw FramingError("the request target must not contain \(ASCII.describe(byte)); percent-encode it")
      }
      offset += 1
    }
    let target = targetStart..<offset
    guard !target.isEmpty else { throw FramingError("the request target is empty") }
    guard offset < line.upperBound else { throw FramingError("the request line lacks the HTTP version") }
    // The version comes before the form of the target, so that the HTTP/2 preface (`PRI * HTTP/2.0`) is told so.
    version = try Self.version(bytes, offset + 1..<line.upperBound)
    let name = bytes.string(method)
    let text = bytes.string(target)
    self.method = name
    self.target = text
    if bytes.byte(target.lowerBound) == UInt8(ascii: "/"), name != "CONNECT" {
      // origin-form (section 3.2.1)
      path = queryMark.map { bytes.string(target.lowerBound..<$0) } ?? text
      query = queryMark.map { bytes.string($0 + 1..<target.upperBound) }
    } else {
      (path, query) = try Self.uncommonForm(method: name, target: text)
    }
  }

  /// `HTTP/1.0` and `HTTP/1.1`, exactly. A higher minor version is read as 1.1 (RFC 9110 section 2.5).
  private static func version(_ bytes: RawSpan, _ range: Range<Int>) throws(FramingError) -> HTTPVersion {
    let name: StaticString = "HTTP/"
    var isWellFormed = range.count == 8
    for index in 0..<5 where isWellFormed {
      isWellFormed = bytes.byte(range.lowerBound + index) == name.utf8Start[index]
    }
    guard isWellFormed, case let major = bytes.byte(range.lowerBound + 5), ASCII.isDigit(major),
      bytes.byte(range.lowerBound + 6) == UInt8(ascii: "."),
      case let minor = bytes.byte(range.lowerBound + 7), ASCII.isDigit(minor)
    else {
      throw FramingError("the request line must be a method, a target and HTTP/1.1, one space between each")
    }
    guard major == UInt8(ascii: "1") else {
      throw FramingError(505, "only HTTP/1.1 and HTTP/1.0 are supported")
    }
    return minor == UInt8(ascii: "0") ? .http10 : .http11
  }

  /// authority-form, asterisk-form and absolute-form (sections 3.2.2 to 3.2.4).
  private static func uncommonForm(
    method: String, target: String
  ) throws(FramingError) -> (path: String, query: String?) {
    if method == "CONNECT" {
      guard Authority.isValid(ArraySlice(target.utf8), port: .required) else {
        throw FramingError("the target of CONNECT must be host:port")
      }
      return ("", nil)
    }
    if target == "*" {
      guard method == "OPTIONS" else { throw FramingError("the target * is for OPTIONS only") }
      return ("*", nil)
    }
    let bytes = ArraySlice(target.utf8)
    let prefixes = ["http://", "https://"]
    let prefix = prefixes.first { ASCII.equalsIgnoringCase(bytes.prefix($0.utf8.count), $0.utf8) }
    guard let prefix else {
      throw FramingError("the request target must begin with / or be an http or https URI")
    }
    let rest = bytes.dropFirst(prefix.utf8.count)
    let end = rest.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
    // Userinfo is rejected: RFC 9110 section 4.2.4 calls it an error from an untrusted source.
    guard Authority.isValid(rest[..<end], port: .optional) else {
      throw FramingError("the authority in the request target is not a host with an optional port")
    }
    let mark = rest[end...].firstIndex(of: UInt8(ascii: "?"))
    let path = String(decoding: rest[end..<(mark ?? rest.endIndex)], as: UTF8.self)
    let query = mark.map { String(decoding: rest[($0 + 1)...], as: UTF8.self) }
    if path.isEmpty, query == nil, method == "OPTIONS" { return ("*", nil) }  // section 3.2.4
    return (path.isEmpty ? "/" : path, query)
  }
}
