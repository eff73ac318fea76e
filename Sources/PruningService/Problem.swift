public import HTTP1
import JSON

/// An error as RFC 9457 describes it: what went wrong, and where in the request.
///
/// Every error the service answers with is one of these; `Problem+Mapping.swift` makes them from the errors of
/// the modules below.
public struct Problem: Error, Sendable, Equatable {
  public let status: Int
  /// The last part of the stable problem type URI, `/problems/<slug>`.
  public let slug: String
  /// The same for every problem of this type.
  public let title: String
  /// This occurrence, for the person who sent the request.
  public let detail: String
  /// A tensor name or a JSON pointer (RFC 6901) to the culprit.
  public let pointer: String?
  /// `Allow`, `Retry-After`, `Accept-Encoding`...
  public let fields: [Response.Field]

  public init(_ type: ProblemType, _ detail: String, pointer: String? = nil, fields: [Response.Field] = []) {
    status = type.status
    slug = type.slug
    title = type.title
    self.detail = Self.clipped(ProblemSentence.whole(detail, about: pointer), to: Self.maximumDetailBytes)
    self.pointer = pointer.map { Self.clipped($0, to: Self.maximumPointerBytes) }
    self.fields = fields
  }

  /// Messages quote what a client sent; whatever that was, an answer about it stays small.
  private static let maximumDetailBytes = 1_000
  private static let maximumPointerBytes = 200
  /// Of the reason in the access log.
  private static let maximumLoggedBytes = 200

  /// The text without control characters, which would let it draw on a terminal; cut when it is too long.
  private static func clipped(_ text: String, to limit: Int) -> String {
    var result = String.UnicodeScalarView()
    var length = 0
    for scalar in text.unicodeScalars {
      length += UTF8.width(scalar)
      guard length <= limit else { return String(result) + "..." }
      result.append(scalar.properties.generalCategory == .control ? " " : scalar)
    }
    return String(result)
  }

  /// A problem whose status is not the usual one of its type.
  init(status: Int, _ type: ProblemType, _ detail: String, fields: [Response.Field] = []) {
    self.status = status
    slug = type.slug
    title = type.title
    self.detail = Self.clipped(detail, to: Self.maximumDetailBytes)
    pointer = nil
    self.fields = fields
  }

  /// What went wrong and where, on one line.
  public var line: String { ProblemSentence.line(detail, about: pointer) }

  /// What it is about, as the member of an answer whose other parts went well.
  var partMembers: JSONObject {
    var members = self.members
    if let pointer, !pointer.isEmpty { members["pointer"] = .string(pointer) }
    return members
  }

  private var members: JSONObject {
    [
      "type": .string("/problems/\(slug)"), "title": .string(title), "status": .integer(status),
      "detail": .string(detail),
    ]
  }

  /// `application/problem+json`, with `error` as one line for clients that look for nothing else; paths of the Open
  /// Inference Protocol get their errors in its form.
  func response(requestID: String, to head: RequestHead?) -> Response {
    if let head, Self.isOfInference(head.path) { return inferenceResponse }
    var members = self.members
    members["instance"] = .string(requestID)
    if let pointer, !pointer.isEmpty { members["pointer"] = .string(pointer) }
    members["error"] = .string(line)
    return Response(
      status: status, fields: [Response.Field("Content-Type", "application/problem+json")] + fields,
      body: JSONValue.object(members).serialized() + [0x0a], annotations: annotations)
  }

  private static func isOfInference(_ path: String) -> Bool { path == "/v2" || path.hasPrefix("/v2/") }

  /// `{"error": "..."}`, with 400 for whatever is wrong with the body. Some clients show the text only where the type has
  /// no parameters.
  private var inferenceResponse: Response {
    Response(
      status: status == 415 || status == 422 ? 400 : status,
      fields: [Response.Field("Content-Type", "application/json")] + fields,
      body: JSONValue.object(["error": .string(line)]).serialized() + [0x0a], annotations: annotations)
  }

  private var annotations: [Response.Field] {
    [
      Response.Field("problem", slug),
      Response.Field("reason", Self.clipped(line, to: Self.maximumLoggedBytes)),
    ]
  }
}

/// The kinds of problem; openapi.yaml lists the same, and a test compares both.
public enum ProblemType: String, Sendable, CaseIterable {
  case badFraming = "bad-framing"
  case unauthorized
  case notFound = "not-found"
  case methodNotAllowed = "method-not-allowed"
  case timedOut = "timed-out"
  case bodyTooLarge = "body-too-large"
  case targetTooLong = "target-too-long"
  case headTooLarge = "head-too-large"
  case bodyRequired = "body-required"
  case unsupportedFormat = "unsupported-format"
  case malformedCoding = "malformed-coding"
  case malformedBody = "malformed-body"
  case malformedQuery = "malformed-query"
  case invalidInput = "invalid-input"
  case unknownParameter = "unknown-parameter"
  case unknownMethod = "unknown-method"
  case sharedMemory = "shared-memory"
  case overloaded = "overloaded"
  case computeTimeout = "compute-timeout"

  public var slug: String { rawValue }

  /// The usual one: framing errors bring their own, and a type may stand for two (`Problem+Mapping.swift`).
  public var status: Int { statusAndTitle.status }
  public var title: String { statusAndTitle.title }

  private var statusAndTitle: (status: Int, title: String) {
    switch self {
    case .badFraming: (400, "The request is not valid HTTP/1.1")
    case .unauthorized: (401, "The request has no valid API key")
    case .notFound: (404, "There is nothing at this path")
    case .methodNotAllowed: (405, "The path does not support this method")
    case .timedOut: (408, "The request did not arrive in time")
    case .bodyTooLarge: (413, "The request body is too large")
    case .targetTooLong: (414, "The request line is too long")
    case .headTooLarge: (431, "The header or trailer fields are too large")
    case .bodyRequired: (400, "The request has no body")
    case .unsupportedFormat: (415, "The body's format is not supported")
    case .malformedCoding: (400, "The body does not match its Content-Encoding")
    case .malformedBody: (400, "The body is not valid in its format")
    case .malformedQuery: (400, "The query string cannot be parsed")
    case .invalidInput: (422, "The input cannot be processed")
    case .unknownParameter: (422, "There is no such parameter or tensor")
    case .unknownMethod: (422, "There is no such pruning method")
    case .sharedMemory: (400, "The shared memory cannot be used")
    case .overloaded: (503, "The server is at capacity")
    case .computeTimeout: (503, "The computation took too long")
    }
  }
}
