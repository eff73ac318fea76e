import HTTP1

/// One route and method of the service.
///
/// To add one: a file in `Endpoints/` with a function that returns it, a line in `Endpoints.swift`, and its path
/// in openapi.yaml (a test compares both ways).
final class Endpoint: Sendable {
  enum Kind: Sendable {
    /// Answered whatever the load, and left out of the access log.
    case probe
    /// Answered from memory.
    case information
    /// A page for people, or a file that one loads: the same for everyone, and open without a key.
    case page
    /// Takes a body and computes.
    case operation
  }

  let method: String
  /// A path, some of whose segments may be variables: `/methods/{name}`.
  let route: String
  let kind: Kind
  /// Answers into a response that is empty, and whose buffers may have room from earlier ones.
  let answer: @Sendable (Context, inout Response) throws(Problem) -> Void
  /// Prepares a request on an event loop; nil for endpoints that have nothing to prepare, or whose requests may take long
  /// in any case.
  let prepare: Preparation?

  /// - Returns: nil where preparing alone would take too long for an event loop.
  typealias Preparation = @Sendable (Request, ResolvedHead) throws(Problem) -> PreparedRequest?

  init(
    method: String, route: String, kind: Kind, prepare: @escaping Preparation,
    answer: @escaping @Sendable (Context, inout Response) throws(Problem) -> Void
  ) {
    self.method = method
    self.route = route
    self.kind = kind
    self.prepare = prepare
    self.answer = answer
  }

  /// An endpoint without preparation.
  init(
    method: String, route: String, kind: Kind,
    handle: @escaping @Sendable (Context) throws(Problem) -> Response
  ) {
    self.method = method
    self.route = route
    self.kind = kind
    prepare = nil
    answer = { context, response throws(Problem) in response = try handle(context) }
  }

  /// What a handler gets: the request, and the variable segments of its path in their order.
  struct Context {
    let request: Request
    let resolved: ResolvedHead
    let pathVariables: [String]
    let timing: ServerTiming
    let metrics: Metrics
    /// What the event loop prepared already.
    let prepared: PreparedRequest?
    /// Whether anybody reads ``Response/annotations``.
    let isLogged: Bool
  }
}
