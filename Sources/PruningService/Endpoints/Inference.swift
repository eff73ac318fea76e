import HTTP1
import JSON
import TensorFormats
import TokenPruning

extension Endpoints {
  /// The Open Inference Protocol: every operation is a model (KServe, open-inference-protocol,
  /// specification/protocol/inference_rest.md, and Triton's extensions for binary data, configuration, statistics and the
  /// repository's index).
  static func inference(
    lifecycle: Lifecycle, models: ModelStore, statistics: InferenceStatistics, regions: SharedRegions,
    timeout: Duration?
  ) -> [Endpoint] {
    let server: JSONValue = [
      "name": "crop", "version": .string(Version.current),
      "extensions": .list(extensions + (regions.isAllowed ? ["system_shared_memory"] : [])),
    ]
    let handler = InferenceHandler(models: models, statistics: statistics, regions: regions, timeout: timeout)
    let ready = { @Sendable (body: JSONValue) in response(body, status: lifecycle.isReady ? 200 : 503) }
    let perModel: [Endpoint] = ["", "/versions/{version}"].flatMap { version in
      let route = "/v2/models/{model}" + version
      return [
        Endpoint(method: "GET", route: route, kind: .information) { context throws(Problem) in
          json(try model(of: context).metadata)
        },
        Endpoint(method: "GET", route: route + "/config", kind: .information) { context throws(Problem) in
          json(try model(of: context).configuration)
        },
        Endpoint(method: "GET", route: route + "/stats", kind: .information) { context throws(Problem) in
          json(statistics.json(of: [try model(of: context)]))
        },
        Endpoint(method: "GET", route: route + "/ready", kind: .probe) { context throws(Problem) in
          ready(["name": .string(try model(of: context).name), "ready": .bool(lifecycle.isReady)])
        },
        Endpoint(method: "POST", route: route + "/infer", kind: .operation) { context throws(Problem) in
          try handler.infer(try model(of: context), context)
        },
      ]
    }
    return ["/v2", "/v2/"].map {
      Endpoint(method: "GET", route: $0, kind: .information) { _ in json(server) }
    } + [
      Endpoint(method: "GET", route: "/v2/health/live", kind: .probe) { _ in json(["live": true]) },
      Endpoint(method: "GET", route: "/v2/health/ready", kind: .probe) { _ in
        ready(["ready": .bool(lifecycle.isReady)])
      },
      Endpoint(method: "GET", route: "/v2/models/stats", kind: .information) { _ in
        json(statistics.json(of: InferenceModel.all))
      },
      Endpoint(method: "POST", route: "/v2/repository/index", kind: .information) { context throws(Problem) in
        try index(context.request.body, isReady: lifecycle.isReady)
      },
    ] + perModel + sharedMemory(regions)
  }

  private static let extensions = [
    "model_repository", "model_configuration", "binary_tensor_data", "parameters", "statistics",
  ]

  private static func response(_ body: JSONValue, status: Int) -> Response {
    var response = json(body, status: status)
    if status == 503 { response.fields += Problem.retryAfter }
    return response
  }

  // MARK: Shared memory

  /// Triton's extension for memory of the same machine (docs/protocol/extension_shared_memory.md).
  private static func sharedMemory(_ regions: SharedRegions) -> [Endpoint] {
    let base = "/v2/systemsharedmemory"
    func endpoint(
      _ method: String, _ route: String,
      _ handle: @escaping @Sendable (_ name: String, _ body: [UInt8]) throws(Problem) -> Response
    ) -> Endpoint {
      Endpoint(method: method, route: base + route, kind: .information) { context throws(Problem) in
        try handle(SharedMemoryRegistration.name(context.pathVariables.first ?? ""), context.request.body)
      }
    }
    let done = Response(status: 200)
    return [
      endpoint("GET", "/status") { _, _ in json(SharedMemoryRegistration.list(regions.all)) },
      endpoint("GET", "/region/{region}/status") { name, _ throws(Problem) in
        guard let region = regions.all.first(where: { $0.name == name }) else {
          throw Problem(
            status: 404, .notFound,
            "Unable to find system shared memory region: '\(FieldValue.sanitized(name, maximumBytes: 80))'")
        }
        return json(SharedMemoryRegistration.list([region]))
      },
      endpoint("POST", "/region/{region}/register") { name, body throws(Problem) in
        try SharedMemoryRegistration(body).register(name, in: regions)
        return done
      },
      endpoint("POST", "/region/{region}/unregister") { name, _ in
        regions.unregister(name)
        return done
      },
      endpoint("POST", "/unregister") { _, _ in
        regions.unregisterAll()
        return done
      },
    ]
  }

  private static func model(of context: Endpoint.Context) throws(Problem) -> InferenceModel {
    let variables = context.pathVariables
    return try .named(variables.first ?? "", version: variables.dropFirst().first)
  }

  /// The models of the repository; a body may say `{"ready": true}` to leave out those that are not.
  private static func index(_ body: [UInt8], isReady: Bool) throws(Problem) -> Response {
    var readyOnly = false
    if !body.isEmpty {
      let wanted = try JSONObject(ofBody: body[...])["ready"] ?? false
      guard let flag = wanted.boolValue else {
        throw Problem(.malformedBody, "ready must be true or false, not \(wanted.kindWithArticle)")
      }
      readyOnly = flag
    }
    let models = isReady || !readyOnly ? InferenceModel.all : []
    return json(.array(models.map { $0.indexEntry(isReady: isReady) }))
  }
}
