import HTTP1
import JSON
import Parameters
import TokenPruning

extension Endpoints {
  /// `GET /problems/{name}`: what the `type` of an error means, for people and programs.
  static let problemType: Endpoint = {
    let offers = ["application/json", "text/html"].compactMap { MediaType($0) }
    return Endpoint(method: "GET", route: "/problems/{name}", kind: .page) { context throws(Problem) in
      let name = context.pathVariables.first ?? ""
      guard let type = ProblemType(rawValue: name) else {
        throw Problem(
          .notFound,
          "there is no problem type '\(FieldValue.sanitized(name, maximumBytes: 60))'; "
            + nameSuggestion(for: name, among: ProblemType.allCases.map(\.slug)))
      }
      var response =
        context.request.head.bestOffer(among: offers)?.essence == "text/html"
        ? html(type.page) : json(type.json)
      response.varies(by: "Accept")
      return response
    }
  }()
}

extension ProblemType {
  /// What led to it.
  private var cause: String {
    switch self {
    case .badFraming: "The request is not valid HTTP/1.1, or uses a part of it that is not supported."
    case .bodyRequired: "The request needs a body and has none."
    case .malformedCoding:
      "The body is damaged, truncated, or not in the coding that Content-Encoding names."
    case .malformedBody: "The body is not valid in its format. The detail says where."
    case .malformedQuery: "The query string cannot be parsed, or has a parameter twice."
    case .sharedMemory:
      "No memory came with the request, or it is too small, or it cannot be read. The detail says which."
    case .unauthorized: "The request has no key from the server's key file, or two different ones."
    case .notFound: "The server has nothing at this path."
    case .methodNotAllowed: "The path exists, but not for this method. Allow lists those it has."
    case .timedOut: "The head or the body of the request arrived too slowly."
    case .bodyTooLarge: "The body is larger than the server accepts (setting max-body-bytes)."
    case .targetTooLong: "The request line exceeds 8 KiB."
    case .headTooLarge: "The header exceeds 64 KiB or 200 fields, or the trailers exceed 8 KiB."
    case .unsupportedFormat:
      "The media type, content coding or element type is not supported. The detail lists those that are."
    case .invalidInput:
      "Shapes disagree, or a value is out of range or not finite. The pointer names the tensor or member."
    case .unknownParameter:
      "A parameter or tensor has a name that does not exist; the detail suggests the nearest one. Names are never "
        + "ignored, since a typo must not change a result silently."
    case .unknownMethod: "There is no pruning method of this name; GET /methods lists all."
    case .overloaded:
      "The server has no room for the request: too many requests, connections or bytes are in flight."
    case .computeTimeout: "The computation took longer than the server allows (setting compute-timeout)."
    }
  }

  /// What the client can do.
  private var remedy: String {
    switch self {
    case .unauthorized: "Retry with a valid key, as Authorization: Bearer KEY or X-API-Key: KEY."
    case .timedOut: "The request may be repeated."
    case .bodyTooLarge:
      "Send fewer images in one request, two-byte elements, or ask the operator for a larger limit."
    case .targetTooLong: "Put parameters into the body instead of the query string."
    case .overloaded: "Retry after the number of seconds in Retry-After."
    case .computeTimeout: "Retry once the server is less busy, or send fewer tokens or images."
    default: "The same request will fail again: change it first."
    }
  }

  var json: JSONValue {
    [
      "type": .string("/problems/\(slug)"), "title": .string(title), "status": .integer(status),
      "cause": .string(cause), "remedy": .string(remedy),
    ]
  }

  /// In the look of the other pages. Nothing in it comes from a request.
  var page: String {
    """
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>crop: \(title)</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="../assets/page.css">
    <link rel="stylesheet" href="../assets/docs.css">
    </head>
    <body>
    <header class="top"><a class="brand" href="../">crop</a>
    <nav aria-label="Pages"><a href="../">Playground</a><a href="../docs">Contract</a></nav></header>
    <main>
    <h1>\(title)</h1>
    <p><code>/problems/\(slug)</code>, usually with status \(status)</p>
    <h2>Cause</h2>
    <p>\(cause)</p>
    <h2>What to do</h2>
    <p>\(remedy)</p>
    </main>
    </body>
    </html>

    """
  }
}
