import HTTP1

/// Which web pages may read answers (the CORS protocol of the Fetch standard, fetch.spec.whatwg.org section 3.3).
///
/// Keys travel in header fields and nothing in cookies, so credentials are never allowed and `*` is safe. A browser
/// is all that this binds: other clients send no Origin and are served as before.
public struct CrossOrigin: Sendable {
  /// Nil allows every origin.
  private let origins: [String]?

  /// - Parameter origins: as browsers send them, `https://app.example.org`; `*` among them allows all.
  public init(allowing origins: [String]) { self.origins = origins.contains("*") ? nil : origins }

  /// Whether this is a preflight request for an allowed page; a preflight carries no key.
  func allowsPreflight(_ head: RequestHead) -> Bool {
    head.method == "OPTIONS" && head.fields.contains("access-control-request-method")
      && allowedOrigin(head) != nil
  }

  /// Says on any answer, errors included, whether the page that asked may read it.
  ///
  /// - Parameter allowedMethods: what the path supports, when this answers a preflight.
  func stamp(_ response: inout Response, for head: RequestHead?, allowedMethods: String? = nil) {
    if origins != nil { response.varies(by: "Origin") }
    guard let head, let allowed = allowedOrigin(head) else { return }
    response.fields.append(Response.Field("Access-Control-Allow-Origin", allowed))
    guard let allowedMethods else {
      response.fields.append(Response.Field("Access-Control-Expose-Headers", Self.exposedFields))
      return
    }
    response.fields += [
      Response.Field("Access-Control-Allow-Methods", allowedMethods),
      Response.Field("Access-Control-Allow-Headers", Self.requestFields),
      // Two hours is the most that any browser remembers.
      Response.Field("Access-Control-Max-Age", "7200"),
    ]
  }

  private func allowedOrigin(_ head: RequestHead) -> String? {
    let values = head.fields.values("origin")
    guard values.count == 1 else { return nil }
    guard let origins else { return "*" }
    return origins.first { $0.utf8.elementsEqual(values[0]) }
  }

  private static let exposedFields =
    "X-Request-Id, Server-Timing, traceparent, Retry-After, Inference-Header-Content-Length"
  private static let requestFields =
    "Authorization, X-API-Key, Content-Type, Content-Encoding, X-Request-Id, traceparent, Inference-Header-Content-Length"
}

extension Response {
  /// Adds a name to `Vary`, which stays one field.
  mutating func varies(by name: String) {
    guard let index = fields.firstIndex(where: { $0.name == "Vary" }) else {
      return fields.append(Field("Vary", name))
    }
    fields[index] = Field("Vary", fields[index].value + ", " + name)
  }
}
