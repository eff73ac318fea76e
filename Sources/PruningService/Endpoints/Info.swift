import HTTP1
import JSON
import LearnedNetworks
import TensorFormats
import TokenPruning

extension Endpoints {
  static let version = Endpoint(method: "GET", route: "/version", kind: .information) { _ in
    json(["version": .string(Version.current)])
  }

  /// What runs here and what it accepts, in one answer.
  static func info(_ models: ModelStore, computeTimeout: Duration?) -> Endpoint {
    Endpoint(method: "GET", route: "/info", kind: .information) { context in
      let limit = computeTimeout.map { JSONValue.integer(Int($0.wholeNanoseconds / 1_000_000)) }
      return json([
        "name": "crop", "version": .string(Version.current),
        "operations": .list(Operation.allCases.map(\.rawValue)),
        "methods": .list(MethodRegistry.standard.descriptors.map(\.name)),
        "models": .list(models.current.all.map(\.name)),
        "inference_models": .list(InferenceModel.all.map(\.name)),
        "formats": .list(TensorFormats.all.map { $0.mediaTypes[0] }),
        "max_body_bytes": .integer(context.resolved.maximumBodyBytes), "compute_timeout_ms": limit ?? .null,
      ])
    }
  }
}
