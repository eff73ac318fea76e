import HTTP1
import Parameters
import TokenPruning

/// Finds the endpoint for a method and path.
struct Router: Sendable {
  enum Match {
    case endpoint(Endpoint, variables: [String])
    /// OPTIONS: the methods of the path, ready for `Allow`.
    case options(allowed: String)

    var isProbe: Bool { kind == .probe }
    var isOperation: Bool { kind == .operation }

    private var kind: Endpoint.Kind? {
      if case .endpoint(let endpoint, _) = self { endpoint.kind } else { nil }
    }
  }

  private let exact: [String: [Endpoint]]
  /// Routes with variables, and their endpoints.
  private let templates: [(template: RouteTemplate, endpoints: [Endpoint])]
  /// Every route once, in the order given.
  let routes: [String]

  /// - Parameters:
  ///   - endpoints: all that are counted, so that every router of a service shares their indices.
  ///   - isExposed: whether this router finds an endpoint.
  /// - Precondition: no method and route occurs twice.
  init(_ endpoints: [Endpoint], where isExposed: (Endpoint) -> Bool = { _ in true }) {
    var exact: [String: [Endpoint]] = [:]
    for endpoint in endpoints where isExposed(endpoint) {
      exact[endpoint.route, default: []].append(endpoint)
    }
    for same in exact.values {
      precondition(Set(same.map(\.method)).count == same.count, "\(same[0].route) is routed twice")
    }
    routes = endpoints.reduce(into: []) { if !$0.contains($1.route) { $0.append($1.route) } }
    let isTemplate = { (route: String) in route.contains("{") }
    self.exact = exact.filter { !isTemplate($0.key) }
    templates = exact.filter { isTemplate($0.key) }.sorted { $0.key < $1.key }.map {
      (RouteTemplate($0.key), $0.value)
    }
  }

  /// - Throws: `not-found`, `method-not-allowed`.
  func match(_ head: RequestHead) throws(Problem) -> Match {
    if head.method == "OPTIONS", head.path == "*" {
      return .options(allowed: allowedMethods(exact.values.joined()))
    }
    let (candidates, variables) = candidates(for: head.path)
    // The target of CONNECT is a host, not a path: the method itself is what is wrong (RFC 9110 section 15.5.6).
    guard head.method != "CONNECT" else { throw notAllowed("CONNECT", allowedMethods(exact.values.joined())) }
    guard !candidates.isEmpty else {
      // The root is a redirect for people who open it, and near to every short path.
      let hint = nearestName(
        to: head.path, among: exact.keys.filter { $0 != "/" }.sorted())
      throw Problem(
        .notFound,
        "no endpoint at \(FieldValue.sanitized(head.path))"
          + (head.path.utf8.contains(UInt8(ascii: "%")) ? "; paths are matched without percent-decoding" : "")
          + (hint.map { "; did you mean \($0)?" } ?? "; GET /docs lists them"))
    }
    // HEAD is GET without the body (RFC 9110 section 9.3.2); the transport leaves the body out.
    let method = head.method == "HEAD" ? "GET" : head.method
    if let endpoint = candidates.first(where: { $0.method == method }) {
      return .endpoint(endpoint, variables: variables)
    }
    let allowed = allowedMethods(candidates)
    if head.method == "OPTIONS" { return .options(allowed: allowed) }
    throw notAllowed(head.method, allowed)
  }

  private func notAllowed(_ method: String, _ allowed: String) -> Problem {
    Problem(
      .methodNotAllowed,
      "\(FieldValue.sanitized(method, maximumBytes: 32)) is not allowed here; use \(allowed)",
      fields: [Response.Field("Allow", allowed)])
  }

  /// A route that a path belongs to, whatever the method.
  struct Place: Sendable {
    let route: String
    /// In ``Router/routes``.
    let index: Int
    let kind: Endpoint.Kind
  }

  func place(of head: RequestHead) -> Place? {
    guard let endpoint = candidates(for: head.path).endpoints.first,
      let index = routes.firstIndex(of: endpoint.route)
    else { return nil }
    return Place(route: endpoint.route, index: index, kind: endpoint.kind)
  }

  /// The endpoints of a path, by its bytes as received.
  ///
  /// Percent-encoded letters are not decoded: names of routes and methods need none, and a proxy that denies `/metrics`
  /// by its text must not be passed by `/%6Detrics`. There is one spelling of a route.
  private func candidates(for path: String) -> (endpoints: [Endpoint], variables: [String]) {
    // Strings that are not ASCII would be hashed by their normal form, which takes as long as a client likes.
    guard path.utf8.allSatisfy({ $0 < 0x80 }) else { return ([], []) }
    if let endpoints = exact[path] { return (endpoints, []) }
    let segments = path.split(
      separator: "/", maxSplits: RouteTemplate.maximumSegments, omittingEmptySubsequences: false)
    for (template, endpoints) in templates {
      if let variables = template.variables(of: segments) { return (endpoints, variables) }
    }
    return ([], [])
  }

  private func allowedMethods(_ endpoints: some Sequence<Endpoint>) -> String {
    var methods = Set(endpoints.map(\.method))
    if methods.contains("GET") { methods.insert("HEAD") }
    methods.insert("OPTIONS")
    return methods.sorted().joined(separator: ", ")
  }
}

/// A route that has variables among its segments: `/methods/{name}`.
private struct RouteTemplate: Sendable {
  /// More than any route has.
  static let maximumSegments = 12

  /// Nil where anything may stand.
  private let segments: [String?]

  init(_ route: String) {
    segments = route.split(separator: "/", omittingEmptySubsequences: false).map {
      $0.hasPrefix("{") ? nil : String($0)
    }
  }

  /// What stands in place of the variables; nil for a path of another route.
  func variables(of path: [Substring]) -> [String]? {
    guard path.count == segments.count else { return nil }
    var variables: [String] = []
    for (segment, given) in zip(segments, path) {
      if let segment {
        guard segment == given else { return nil }
      } else {
        guard !given.isEmpty else { return nil }
        variables.append(String(given))
      }
    }
    return variables
  }
}
