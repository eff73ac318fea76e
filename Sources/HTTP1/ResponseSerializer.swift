/// Writes the head of a response (RFC 9112 section 4).
public enum ResponseSerializer {
  /// What invites a client to send the body it announced (RFC 9110 section 15.2.1).
  public static let continueLine: [UInt8] = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)

  /// Appends the status line, the fields, Date, Content-Length, Connection and the empty line.
  ///
  /// Content-Length is that of `response.body` also for HEAD, whose body the caller leaves out; 1xx, 204 and 304
  /// carry none (RFC 9110 section 8.6). A field that would split the response is a bug of ours and stops the
  /// program: values that echo a client pass through `FieldValue.sanitized` first.
  ///
  /// - Parameter keepAlive: what the transport decided; `response.closesConnection` overrides it.
  /// - Parameter version: the request's; HTTP/1.0 clients must be told that the connection stays open.
  /// - Parameter date: an IMF-fixdate, or nil on a machine without a clock (RFC 9110 section 6.6.1).
  public static func appendHead(
    _ response: Response, keepAlive: Bool, version: HTTPVersion, date: String?, to output: inout [UInt8]
  ) {
    precondition((100...599).contains(response.status), "a status has three digits")
    output.append(contentsOf: "HTTP/1.1 ".utf8)
    append(response.status, to: &output)
    output.append(ASCII.space)
    output.append(contentsOf: StatusPhrase.of(response.status).utf8)
    appendLineEnd(to: &output)
    for field in response.fields { append(field, to: &output) }
    output.append(contentsOf: response.fieldLines)
    if let date {
      output.append(contentsOf: "Date: ".utf8)
      output.append(contentsOf: date.utf8)
      appendLineEnd(to: &output)
    }
    if response.status >= 200, response.status != 204, response.status != 304 {
      output.append(contentsOf: "Content-Length: ".utf8)
      append(response.body.count, to: &output)
      appendLineEnd(to: &output)
    } else {
      precondition(response.body.isEmpty, "a \(response.status) response has no body")
    }
    if !keepAlive || response.closesConnection {
      output.append(contentsOf: "Connection: close\r\n".utf8)
    } else if version == .http10 {
      output.append(contentsOf: "Connection: keep-alive\r\n".utf8)
    }
    appendLineEnd(to: &output)
  }

  private static func append(_ field: Response.Field, to output: inout [UInt8]) {
    precondition(ASCII.isToken(field.name.utf8), "a response field name must be a token")
    precondition(
      !isOurs(field.name), "Content-Length, Connection and Transfer-Encoding are written here only")
    output.append(contentsOf: field.name.utf8)
    output.append(UInt8(ascii: ":"))
    output.append(ASCII.space)
    let start = output.count
    output.append(contentsOf: field.value.utf8)
    precondition(
      output[start...].allSatisfy { ASCII.isText($0) },
      "a response field value must not contain control bytes")
    appendLineEnd(to: &output)
  }

  private static func isOurs(_ name: String) -> Bool {
    switch name.utf8.count {
    case 10: ASCII.equalsIgnoringCase(name.utf8, "connection".utf8)
    case 14: ASCII.equalsIgnoringCase(name.utf8, "content-length".utf8)
    case 17: ASCII.equalsIgnoringCase(name.utf8, "transfer-encoding".utf8)
    default: false
    }
  }

  /// Decimal digits without an intermediate `String`.
  private static func append(_ number: Int, to output: inout [UInt8]) {
    var divisor = 1
    while number / divisor >= 10 { divisor *= 10 }
    while divisor > 0 {
      output.append(UInt8(ascii: "0") + UInt8(number / divisor % 10))
      divisor /= 10
    }
  }

  private static func appendLineEnd(to output: inout [UInt8]) {
    output.append(ASCII.carriageReturn)
    output.append(ASCII.lineFeed)
  }
}

/// Makes text that came from a client fit to be sent back in a header.
public enum FieldValue {
  /// Visible ASCII and inner spaces stay; any other byte becomes `?`, so no CR or LF can split a response.
  public static func sanitized(_ text: String, maximumBytes: Int = 256) -> String {
    let bytes = text.utf8.prefix(maximumBytes).map { $0 >= 0x20 && $0 < 0x7f ? $0 : UInt8(ascii: "?") }
    return String(decoding: ASCII.trimmed(bytes[...]), as: UTF8.self)
  }
}
