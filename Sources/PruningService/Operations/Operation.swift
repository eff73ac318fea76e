import JSON
public import LearnedNetworks
import Parameters
import PruningNumerics
public import TensorFormats
import Tensors
import TokenPruning

/// What the service does with tensors: the same code behind `POST /prune` and `crop prune`.
public enum Operation: String, CaseIterable, Sendable {
  case localize
  case compress
  case prune
  case reselect

  /// The tensor of a body that cannot name it (npy).
  public var mainTensor: String {
    switch self {
    case .localize, .prune, .reselect: "attention"
    case .compress: "image_features"
    }
  }

  /// The same, when the method is known beforehand: what that method cannot do without.
  func mainTensor(of method: String?) -> String {
    guard self == .prune, let method else { return mainTensor }
    return MethodRegistry.standard.descriptor(named: method)?.requiredInputs.first ?? mainTensor
  }

  /// Parameters of every operation; a body member of another name is a tensor or a mistake.
  public static let parameterNames = Set(allCases.flatMap(\.parameterNames))

  /// The parameters this operation reads.
  public var parameterNames: [String] {
    switch self {
    case .localize: OperationParameters.ofLocalize
    case .compress: OperationParameters.ofCompress
    case .prune: OperationParameters.ofPrune
    case .reselect: OperationParameters.ofReselect
    }
  }

  /// Whether some tokens may be gone already, as `previous` or `already_dropped` says.
  var mayBeLaterStage: Bool { self == .prune || self == .reselect }

  /// Answers one request. A pure function: the same document and models give the same answer, always.
  ///
  /// - Parameter isOverdue: asked between images and between steps of long searches; once true, the request has had all the time
  ///   there is.
  public func run(
    _ document: TensorDocument, models: ModelSet = ModelSet(),
    isOverdue: @escaping @Sendable () -> Bool = { false }
  ) throws(Problem) -> Answer {
    try run(document, RunContext(models: models, isOverdue: isOverdue))
  }

  func run(
    _ document: TensorDocument, _ context: RunContext, _ reservation: Reservation = .none
  ) throws(Problem) -> Answer {
    guard let prepared = try PreparedOperation(self, document, context, reservation) else {
      preconditionFailure("no number of tokens is too many here")
    }
    try reservation.hold(
      prepared.memoryBytes(
        decodedBytes: reservation.decodedBytes, threads: reservation.threads, models: context.models))
    return try prepared.run(TensorForms.bytes(of: document.tensors), context)
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
  static let common = ["layout", "batched", "seed", "axes", "tensor_dtype"]
  // Put together once, since every new form of a request is compared with one of them.
  static let ofLocalize = common + ["region", "localize"]
  static let ofCompress = common + CompressOperation.parameterNames
  static let ofPrune = common + PruneOperation.parameterNames
  static let ofReselect = common + ReselectOperation.parameterNames

  /// - Throws: naming the nearest known parameter or tensor.
  static func refuseUnknown(_ document: TensorDocument, for operation: Operation) throws(Problem) {
    let known = operation.parameterNames
    for name in document.parameters.names where !known.contains(name) {
      if TensorAxes.names.contains(name), let value = document.parameters[name] {
        throw Problem(
          .invalidInput,
          "is a tensor \(TensorAxes.of(name).description), not \(value.kindWithArticle); send numbers, or an object with "
            + "dtype, shape and data or base64",
          pointer: JSONPointer.token(name))
      }
      throw unknown(name, known, document.parameters, for: operation)
    }
    // Files have a handful; more are not worth the search for what they might mean.
    for name in document.otherMetadata.prefix(64) where name != "format" {
      guard let near = nearestName(to: name, among: known), near != name else { continue }
      throw Problem(
        .unknownParameter,
        "the metadata '\(name.excerpt)' is no parameter; did you mean '\(near)'?",
        pointer: "/__metadata__" + JSONPointer.token(name))
    }
    if !operation.mayBeLaterStage, document.tensors["already_dropped"] != nil {
      throw Problem(
        .invalidInput,
        "belongs to /prune and /reselect; \(operation.rawValue) takes the tokens that are there, so send those",
        pointer: "already_dropped")
    }
    let stageTensors = PruneOperation.stageTensorNames(document.parameters)
    for name in document.tensors.names where !TensorAxes.isKnown(name) && !stageTensors.contains(name) {
      // A parameter of the wrong kind (an array where a number belongs) looks like a tensor at first.
      let tensors = TensorAxes.names + stageTensors.filter { !TensorAxes.names.contains($0) }
      let near = UsualNames.suggestion(for: name, among: tensors + known)
      let method = document.parameters["method"]?.stringValue
      throw Problem(
        .unknownParameter,
        UsualNames.methodParameter(name, of: method)
          ?? "there is no tensor '\(name.excerpt)'"
          + (near.map { "; did you mean '\($0)'?" } ?? "; known: \(tensors.joined(separator: ", "))"),
        pointer: name)
    }
  }

  private static func unknown(
    _ name: String, _ known: [String], _ parameters: JSONObject, for operation: Operation
  ) -> Problem {
    let owners = Operation.allCases.filter { $0.parameterNames.contains(name) }
    let missing = "\(operation.rawValue) has no parameter '\(name.excerpt)'; "
    let detail: String
    if !owners.isEmpty {
      detail = missing + "it belongs to \(owners.map { "/\($0.rawValue)" }.joined(separator: " and "))"
    } else if let place = UsualNames.methodParameter(name, of: parameters["method"]?.stringValue) {
      detail = place
    } else if let near = UsualNames.suggestion(for: name, among: known.sorted() + TensorAxes.names) {
      detail = missing + "did you mean '\(near)'?"
    } else {
      detail = missing + "known: \(known.sorted().joined(separator: ", "))"
    }
    return Problem(.unknownParameter, detail, pointer: JSONPointer.token(name))
  }

  static func batched(_ parameters: JSONObject) throws(Problem) -> Bool? {
    // A list of layouts has one for each image, so it says the same.
    guard let value = parameters["batched"] else {
      return parameters["layout"]?.arrayValue == nil ? nil : true
    }
    guard let flag = value.boolValue else {
      throw Problem(.invalidInput, "must be true or false, not \(value.kindWithArticle)", pointer: "/batched")
    }
    return flag
  }
}
