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
        "operations": .array(Operation.allCases.map { .string($0.rawValue) }),
        "methods": .array(MethodRegistry.standard.descriptors.map { .string($0.name) }),
        "models": .array(models.current.all.map { .string($0.0) }),
        "inference_models": .array(InferenceModel.all.map { .string($0.name) }),
        "formats": .array(TensorFormats.all.map { .string($0.mediaTypes[0]) }),
        "max_body_bytes": .integer(context.resolved.maximumBodyBytes), "compute_timeout_ms": limit ?? .null,
      ])
    }
  }
}
