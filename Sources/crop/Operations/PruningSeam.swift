import JSON
import TensorFormats
import Tensors
import TokenPruning

// The names below are those of PruningService and of the method registry; once both are merged, this file goes
// and the commands use the originals unchanged.

struct Answer: Sendable {
  var members: JSONObject
  var tensors: [(name: String, tensor: Tensor)]
}

struct Problem: Error, Sendable {
  let status: Int
  let slug: String
  let title: String
  let detail: String
  let pointer: String?
}

enum Operation: String, CaseIterable, Sendable {
  case localize, compress, prune

  static let parameterNames: Set<String> = [
    "layout", "keep_tokens", "keep_ratio", "prune_ratio", "method", "method_parameters", "region", "localize",
    "region_policy", "region_share", "region_bias", "stages", "mode", "region_ratio", "background_ratio",
    "dtype", "explain", "model_dimensions", "budget_scope", "newline_policy", "renumber", "seed",
  ]

  var mainTensor: String { self == .compress ? "image_features" : "attention" }

  func run(_ document: TensorDocument) throws(Problem) -> Answer {
    throw Problem(
      status: 501, slug: "not-built-in", title: "Not built in",
      detail: "this build holds no \(rawValue) operation", pointer: nil)
  }
}

/// What every method says of itself, in the order of registration.
func registeredMethods() -> [MethodDescriptor] { [] }
