/// A violation of RFC 9110 or RFC 9112, with the status that answers it.
///
/// Every framing error ends the connection: what follows the violation cannot be trusted to be a request.
public struct FramingError: Error, Sendable, Equatable {
  /// 400, 414, 417, 431, 501 or 505; 413 when a chunked body outgrows its limit.
  public let status: Int
  /// One lower-case sentence for the client, naming the rule that was broken.
  public let reason: String

  public init(_ status: Int, _ reason: String) {
    self.status = status
    self.reason = reason
  }

  /// Answered with 400.
  public init(_ reason: String) { self.init(400, reason) }
}

extension FramingError {
  static let proxyProtocol =
    "this is a header of the PROXY protocol, which this listener does not expect; \(remedy)"
  /// The signature of version 2 is CR LF CR LF NUL CR LF QUIT LF, but the fourth byte is one too many in any case.
  static let emptyLines =
    "a request must begin with a method, behind one empty line at most; if this is a header of the PROXY protocol, \(remedy)"

  private static let remedy =
    "switch it off in the balancer (send-proxy in HAProxy), or listen with proxy+ before the address"
}
