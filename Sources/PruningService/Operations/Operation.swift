import JSON
public import TensorFormats
import Tensors
public import TokenPruning

/// What the service does with tensors: the same code behind `POST /prune` and `crop prune`.
public enum Operation: String, CaseIterable, Sendable {
  case localize
  case compress
  case prune

  /// The tensor of a body that cannot name it (npy).
  public var mainTensor: String {
    switch self {
    case .localize, .prune: "attention"
    case .compress: "image_features"
    }
  }

  /// The same, when the method is known beforehand: what that method cannot do without.
  func mainTensor(of method: String?) -> String {
    guard self == .prune, let method,
      let descriptor = MethodRegistry.standard.descriptors.first(where: { $0.name == method })
    else { return mainTensor }
    return descriptor.requiredInputs.first ?? mainTensor
  }

  /// Parameters of every operation; a body member of another name is a tensor or a mistake.
  public static let parameterNames = Set(allCases.flatMap(\.parameterNames))

  /// The parameters this operation reads.
  public var parameterNames: [String] {
    switch self {
    case .localize: OperationParameters.common + ["region", "localize"]
    case .compress: OperationParameters.common + CompressOperation.parameterNames
    case .prune: OperationParameters.common + PruneOperation.parameterNames
    }
  }

  /// Answers one request. A pure function: the same document and models give the same answer, always.
  ///
  /// - Parameter isAbandoned: asked between images and between steps of long searches; once true, the work is
  ///   given up, since nobody waits for the answer.
  public func run(
    _ document: TensorDocument, models: ModelSet = ModelSet(),
    isAbandoned: @escaping @Sendable () -> Bool = { false }
  ) throws(Problem) -> Answer {
    try OperationParameters.refuseUnknown(document, for: self)
    let given = document.parameters.withoutNulls
    let batch = try Batch(document.tensors, isDeclaredBatched: try OperationParameters.batched(given))
    var samples: [Answer.Sample] = []
    var shared = JSONObject()
    do throws(PruningError) {
      let batchCount = batch.isBatched ? batch.samples.count : nil
      let parameters = try ImageParameters(given, batchCount: batchCount)
      let stepLimit = StepLimit(
        PruningInput.standardStepLimit / max(batch.samples.count, 1), isAbandoned: isAbandoned)
      var together: [ImageRequest] = []
      let isTogether = self == .prune && batch.isBatched && given["budget_scope"] == "request"
      for (index, tensors) in batch.samples.enumerated() {
        try stepLimit.checkAbandonment()
        do throws(PruningError) {
          let image = try ImageRequest(
            tensors: tensors, parameters: parameters[index], batchCount: batchCount, models: models,
            stepLimit: stepLimit)
          if isTogether { together.append(image) } else { samples.append(try run(image, shared: &shared)) }
        } catch {
          throw batch.isBatched ? parameters.error(error, inImage: index) : error
        }
      }
      if isTogether {
        do throws(SharedPruningError) {
          samples = try PruneOperation.runTogether(together, shared: &shared)
        } catch {
          throw error.image.map { parameters.error(error.error, inImage: $0) } ?? error.error
        }
      }
    } catch {
      throw Problem(error)
    }
    if batch.isBatched { shared["batched"] = true }
    return Answer(samples: samples, isBatched: batch.isBatched, shared: shared)
  }

  private func run(_ image: ImageRequest, shared: inout JSONObject) throws(PruningError) -> Answer.Sample {
    switch self {
    case .localize: try LocalizeOperation.run(image)
    case .compress: try CompressOperation.run(image, shared: &shared)
    case .prune: try PruneOperation.run(image, shared: &shared)
    }
  }
}

extension JSONObject {
  /// A parameter of null is an absent one.
  var withoutNulls: JSONObject {
    JSONObject(distinctMembers: members.filter { $0.value != .null })
  }
}

/// Reading the parameters that all operations share.
enum OperationParameters {
  static let common = ["layout", "batched", "seed"]

  /// - Throws: naming the nearest known parameter or tensor.
  static func refuseUnknown(_ document: TensorDocument, for operation: Operation) throws(Problem) {
    let known = operation.parameterNames
    for name in document.parameters.names where !known.contains(name) {
      if TensorAxes.names.contains(name), let value = document.parameters[name] {
        throw Problem(
          .invalidInput,
          "is a tensor \(TensorAxes.of(name).description), not a \(value.kind); send numbers, or an object with "
            + "dtype, shape and data or base64",
          pointer: JSONPointer.token(name))
      }
      let owners = Operation.allCases.filter { $0.parameterNames.contains(name) }
      let hint =
        if !owners.isEmpty {
          "; it belongs to \(owners.map { "/\($0.rawValue)" }.joined(separator: " and "))"
        } else {
          "; \(nameSuggestion(for: name, among: known.sorted()))"
        }
      throw Problem(
        .unknownParameter, "\(operation.rawValue) has no parameter '\(name.prefix(80))'" + hint,
        pointer: JSONPointer.token(String(name.prefix(80))))
    }
    let stageTensors = PruneOperation.stageTensorNames(document.parameters)
    let tensors = TensorAxes.names + stageTensors
    for name in document.tensors.names where !tensors.contains(name) {
      // A parameter of the wrong kind (an array where a number belongs) looks like a tensor at first.
      let near = nearestName(to: name, among: tensors + known)
      throw Problem(
        .unknownParameter,
        "there is no tensor '\(name.prefix(80))'"
          + (near.map { "; did you mean '\($0)'?" } ?? "; known: \(tensors.joined(separator: ", "))"),
        pointer: String(name.prefix(80)))
    }
  }

  static func batched(_ parameters: JSONObject) throws(Problem) -> Bool? {
    guard let value = parameters["batched"] else { return nil }
    guard let flag = value.boolValue else {
      throw Problem(.invalidInput, "must be true or false, not a \(value.kind)", pointer: "/batched")
    }
    return flag
  }
}
