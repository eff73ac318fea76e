/// The request line and header fields of one request.
public struct RequestHead: Sendable, Equatable {
  public let method: String
  /// As received: origin-form, absolute-form, authority-form or `*`.
  public let target: String
  /// The target's path, percent-encoding untouched; `*` for `OPTIONS *`.
  public let path: String
  /// Behind the first `?`, without it; nil when there is none.
  public let query: String?
  public let version: HTTPVersion
  public let fields: HeaderFields

  public init(
    method: String, target: String, path: String, query: String?, version: HTTPVersion, fields: HeaderFields
  ) {
    self.method = method
    self.target = target
    self.path = path
    self.query = query
    self.version = version
    self.fields = fields
  }
}

public enum HTTPVersion: Sendable, Equatable {
  case http10
  case http11
}
