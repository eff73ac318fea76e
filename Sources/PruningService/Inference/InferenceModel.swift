import HTTP1
import JSON
import TensorFormats
import Tensors

/// An operation as the Open Inference Protocol shows it: a model with inputs and outputs.
struct InferenceModel: Sendable {
  let operation: Operation

  static let all = Operation.allCases.map { InferenceModel(operation: $0) }
  /// All models have this one version.
  static let version = "1"
  private static let platform = "crop"

  var name: String { "crop-\(operation.rawValue)" }

  /// - Throws: 404 for a model or a version that does not exist, worded as Triton does.
  static func named(_ name: String, version: String? = nil) throws(Problem) -> InferenceModel {
    let shown = FieldValue.sanitized(name, maximumBytes: 60)
    guard let model = all.first(where: { $0.name == name }) else {
      throw Problem(
        status: 404, .notFound,
        "Request for unknown model: '\(shown)' is not found; there are \(all.map(\.name).joined(separator: ", "))"
      )
    }
    guard version == nil || version == Self.version else {
      throw Problem(
        status: 404, .notFound,
        "Request for unknown model: '\(shown)' version \(FieldValue.sanitized(version ?? "", maximumBytes: 20)) is not found; "
          + "there is version \(Self.version)")
    }
    return model
  }

  private struct Port {
    let name: String
    let datatype: InferenceDatatype
    /// Of unknown extents, but for texts.
    let shape: [Int]
    var isOptional = false

    var metadata: JSONValue {
      [
        "name": .string(name), "datatype": .string(datatype.name), "shape": .list(shape),
      ]
    }

    /// As Triton's model configuration writes it (model_config.proto).
    var configuration: JSONValue {
      let type = datatype == .bytes ? "STRING" : datatype.name
      var members: JSONObject = [
        "name": .string(name), "data_type": .string("TYPE_\(type)"), "dims": .list(shape),
      ]
      if isOptional { members["optional"] = true }
      return .object(members)
    }
  }

  /// Every tensor that the operation knows. All are optional, since which are needed is up to the method; any type of
  /// numbers is accepted for each.
  private var inputs: [Port] {
    TensorAxes.names.map { name in
      Port(
        name: name, datatype: .numbers(TensorAxes.integerNames.contains(name) ? .int64 : .float32),
        shape: Array(repeating: -1, count: TensorAxes.of(name).ranks.upperBound), isOptional: true)
    }
  }

  private var outputs: [Port] {
    let indices = operation.outputIndices.map { Port(name: $0, datatype: .numbers(.int64), shape: [-1]) }
    let features = operation.outputTensors.map {
      Port(name: $0, datatype: .numbers(.float32), shape: [-1, -1])
    }
    return features + indices + [Port(name: InferenceResponse.textOutput, datatype: .bytes, shape: [1])]
  }

  var metadata: JSONValue {
    [
      "name": .string(name), "versions": [.string(Self.version)], "platform": .string(Self.platform),
      "inputs": .array(inputs.map(\.metadata)), "outputs": .array(outputs.map(\.metadata)),
    ]
  }

  var configuration: JSONValue {
    [
      "name": .string(name), "platform": .string(Self.platform), "backend": .string(Self.platform),
      "version_policy": ["latest": ["num_versions": 1]], "max_batch_size": 0,
      "input": .array(inputs.map(\.configuration)), "output": .array(outputs.map(\.configuration)),
    ]
  }

  /// An entry of the repository's index.
  func indexEntry(isReady: Bool) -> JSONValue {
    [
      "name": .string(name), "version": .string(Self.version),
      "state": .string(isReady ? "READY" : "UNAVAILABLE"), "reason": "",
    ]
  }
}

extension Operation {
  /// The index lists of an answer.
  var outputIndices: [String] {
    switch self {
    case .localize: ["region_indices"]
    case .compress: ["kept_indices", "assignments", "sizes"]
    case .prune: ["kept_indices"]
    case .reselect: ["kept_indices", "swapped_out", "swapped_in"]
    }
  }

  /// The tensors of an answer.
  var outputTensors: [String] { self == .compress ? ["features"] : [] }
}
