extension RequestHead {
  /// What the client wants to hear before it sends the body (RFC 9110 section 10.1.1).
  public enum Expectation: Sendable, Equatable {
    case none
    case continueResponse
  }

  /// Reads the Expect header.
  ///
  /// - Throws: 417 for anything but `100-continue`. An HTTP/1.0 request's expectation is ignored, as required.
  public func expectation() throws(FramingError) -> Expectation {
    guard version == .http11, fields.contains("expect") else { return .none }
    let members = fields.list("expect")
    guard members.allSatisfy({ ASCII.equalsIgnoringCase($0, "100-continue".utf8) }) else {
      throw FramingError(417, "the only expectation supported is 100-continue")
    }
    return members.isEmpty ? .none : .continueResponse
  }

  /// True when the client can send another request on this connection (RFC 9112 section 9.3): `close` ends it,
  /// HTTP/1.1 keeps it, HTTP/1.0 keeps it only on request.
  public var wantsKeepAlive: Bool {
    guard fields.contains("connection") else { return version == .http11 }
    if fields.hasToken("close", in: "connection") { return false }
    return version == .http11 || fields.hasToken("keep-alive", in: "connection")
  }
}
