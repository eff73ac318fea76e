import HTTP1

/// One route and method of the service.
///
/// To add one: a file in `Endpoints/` with a function that returns it, a line in `Endpoints.swift`, and its path
/// in openapi.yaml (a test compares both ways).
struct Endpoint: Sendable {
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
  /// A path, or one whose last segment is a variable: `/methods/{name}`.
  let route: String
  let kind: Kind
  let handle: @Sendable (Context) throws(Problem) -> Response

  /// What a handler gets: the request, and the variable segment of its path.
  struct Context {
    let request: Request
    let pathVariable: String?
    let timing: ServerTiming
    let metrics: Metrics
    /// Where to leave what answers to this head have in common.
    let memory: AnswerMemory?
    /// The largest body, decoded.
    let maximumBodyBytes: Int
  }
}
