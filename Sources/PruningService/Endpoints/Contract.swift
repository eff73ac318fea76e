import HTTP1

extension Endpoints {
  /// The contract, from the binary: nothing is read from disk, and the page loads nothing from elsewhere.
  static let contract = [
    document("/openapi.yaml", "application/yaml", ContractText.yaml),
    document("/openapi.json", "application/json", ContractText.json),
    document(
      "/docs", "text/html; charset=utf-8", ContractText.page,
      // The page is one file: whatever else a browser is talked into loading or asking is refused.
      fields: [
        Response.Field(
          "Content-Security-Policy",
          "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
            + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
      ]),
  ]

  private static func document(
    _ route: String, _ mediaType: String, _ text: StaticString, fields: [Response.Field] = []
  ) -> Endpoint {
    // One array for all connections, however many of them do not read it.
    let bytes = bytes(of: text)
    return Endpoint(method: "GET", route: route, kind: .information) { _ in
      var response = Response(
        status: 200, fields: [Response.Field("Content-Type", mediaType)] + fields, body: bytes)
      response.isBodyShared = true
      return response
    }
  }

  static func bytes(of text: StaticString) -> [UInt8] { text.withUTF8Buffer { Array($0) } }
}
