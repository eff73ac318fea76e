import HTTP1
import Locking

/// The keys that open the service, replaced as a whole while it runs.
public final class APIKeys: Sendable {
  private enum Finding {
    /// What the key file calls the key; never the key.
    case known(name: String?)
    case unknown(reason: String)
  }

  private let table: Locked<APIKeyTable>

  public init(_ table: APIKeyTable) { self.table = Locked(table) }

  /// From the next request on, only these keys are known.
  public func replace(with table: APIKeyTable) { self.table.withLock { $0 = table } }

  /// Lets a request with a known key pass.
  ///
  /// - Throws: `unauthorized`, without a word about how close a key was.
  func check(_ head: RequestHead) throws(Problem) {
    guard case .unknown(let reason) = finding(in: head) else { return }
    throw Problem(
      .unauthorized, reason, fields: [Response.Field("WWW-Authenticate", "Bearer realm=\"crop\"")])
  }

  /// What the key file calls the request's key; nil when it has no name, or is not known.
  func name(of head: RequestHead) -> String? {
    guard case .known(let name) = finding(in: head) else { return nil }
    return name
  }

  /// Looks for a key in `Authorization: Bearer KEY` or `X-API-Key: KEY`.
  ///
  /// Strict where two readers could differ: a field given twice, or two different keys, are no key. An
  /// `Authorization` of another scheme is meant for somebody else and says nothing here.
  private func finding(in head: RequestHead) -> Finding {
    let authorizations = head.fields.values("authorization")
    let plain = head.fields.values("x-api-key")
    guard authorizations.count <= 1, plain.count <= 1 else {
      return .unknown(reason: "Authorization and X-API-Key may each be given only once")
    }
    let candidates = (authorizations.first.flatMap(Self.bearerToken).map { [$0] } ?? []) + plain
    guard !candidates.isEmpty else {
      return .unknown(reason: "this server needs an API key: Authorization: Bearer KEY, or X-API-Key: KEY")
    }
    let table = self.table.withLock { $0 }
    let matches = candidates.map { table.index(of: $0) }
    guard let match = matches[0], matches.allSatisfy({ $0 == match }) else {
      return .unknown(
        reason: candidates.count == 1
          ? "the API key is not valid" : "Authorization and X-API-Key have different keys, or an invalid one")
    }
    return .known(name: table.name(at: match))
  }

  /// `Bearer` in any case, one or more spaces, and the rest (RFC 9110 section 11.4, RFC 6750 section 2.1).
  private static func bearerToken(_ value: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    let space = UInt8(ascii: " ")
    let scheme = value.prefix { $0 != space }
    guard ASCII.equalsIgnoringCase(scheme, "bearer".utf8) else { return nil }
    return value[scheme.endIndex...].drop { $0 == space }
  }
}
