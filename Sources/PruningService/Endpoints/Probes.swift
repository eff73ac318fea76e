import HTTP1
import JSON

extension Endpoints {
  /// Liveness stays 200 while draining: restarting a process because it finishes its work would lose that work.
  static let liveness = Endpoint(method: "GET", route: "/livez", kind: .probe) { _ in
    json(["status": "live"])
  }

  /// Readiness turns 503 the moment the process should get no new work.
  static func readiness(_ lifecycle: Lifecycle, route: String) -> Endpoint {
    Endpoint(method: "GET", route: route, kind: .probe) { _ in
      var response = json(["status": .string(lifecycle.readiness)])
      if !lifecycle.isReady {
        response.status = 503
        response.fields += Problem.retryAfter
      }
      return response
    }
  }

  static let metricsRoute = "/metrics"

  static func prometheus(_ metrics: Metrics) -> Endpoint {
    Endpoint(method: "GET", route: metricsRoute, kind: .probe) { context in
      // A client that accepts neither format gets text rather than 406.
      let format = Exposition.Format.preferred(by: context.request.head)
      return Response(
        status: 200,
        fields: [
          Response.Field("Content-Type", format.mediaType), Response.Field("Vary", "Accept"),
        ],
        body: Array(metrics.exposition(as: format).utf8))
    }
  }

  static func json(_ value: JSONValue, status: Int = 200) -> Response {
    Response(
      status: status, fields: [Response.Field("Content-Type", "application/json")],
      body: value.serialized() + [0x0a])
  }
}
