import HTTP1
import JSON
import Parameters
import TokenPruning

extension Endpoints {
  /// The contract, and the pages for people with what they load, all from the binary.
  static let pages =
    [root]
    + [
      document("/openapi.yaml", "openapi.yaml", kind: .information),
      document("/openapi.json", "openapi.json", kind: .information),
      document("/docs", "docs.html", kind: .page), asset, problemType,
    ]

  /// `GET /`: the playground for browsers, a list of addresses for everyone else.
  ///
  /// `OPTIONS /`, the default check of HAProxy, is answered along with it.
  private static let root: Endpoint = {
    let playground = page("playground.html")
    let index = json([
      "service": "crop", "playground": "/", "docs": "/docs", "contract": "/openapi.json",
      "methods": "/methods",
      "operations": .list((Operation.allCases.map(\.rawValue) + ["compare", "plan"]).map { "/" + $0 }),
    ])
    let offers = ["application/json", "text/html"].compactMap { MediaType($0) }
    return Endpoint(method: "GET", route: "/", kind: .page) { context in
      var response =
        context.request.head.bestOffer(among: offers)?.essence == "text/html" ? playground : index
      response.varies(by: "Accept")
      return response
    }
  }()

  private static func document(_ route: String, _ file: String, kind: Endpoint.Kind) -> Endpoint {
    // One array for all connections, however many of them do not read it.
    let response = page(file)
    return Endpoint(method: "GET", route: route, kind: kind) { _ in response }
  }

  /// What the pages load: scripts, styles, sample tensors and photographs.
  private static let asset: Endpoint = {
    let pages: Set = ["openapi.yaml", "openapi.json", "docs.html", "playground.html"]
    let names = Set(EmbeddedFile.names).subtracting(pages)
    return Endpoint(method: "GET", route: "/assets/{name}", kind: .page) { context throws(Problem) in
      let name = context.pathVariables.first ?? ""
      guard names.contains(name), let file = EmbeddedFile(name) else {
        throw Problem(
          .notFound,
          "there is no file '\(FieldValue.sanitized(name, maximumBytes: 60))'; "
            + nameSuggestion(for: name, among: names.sorted()))
      }
      return Response(
        status: 200, fields: [Response.Field("Content-Type", EmbeddedFile.mediaType(of: name))],
        body: file.bytes)
    }
  }()

  /// A page that is made here instead of lying in a file.
  static func html(_ text: String) -> Response {
    Response(
      status: 200,
      fields: [
        Response.Field("Content-Type", EmbeddedFile.mediaType(of: "page.html")),
        Response.Field("Content-Security-Policy", contentSecurityPolicy),
      ], body: Array(text.utf8))
  }

  private static func page(_ file: String) -> Response {
    guard let file = EmbeddedFile(file) else { preconditionFailure("\(file) is not built in") }
    var fields = [Response.Field("Content-Type", EmbeddedFile.mediaType(of: file.name))]
    if file.name.hasSuffix(".html") {
      fields.append(Response.Field("Content-Security-Policy", contentSecurityPolicy))
    }
    var response = Response(status: 200, fields: fields, body: file.bytes)
    response.isBodyShared = true
    return response
  }

  /// A page loads files of this server, and pictures that its own script made; whatever else a browser is talked into
  /// loading, running or asking is rejected.
  private static let contentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}
