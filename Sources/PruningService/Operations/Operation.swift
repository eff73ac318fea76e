import JSON
public import TensorFormats
import Tensors
public import TokenPruning

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
    case .reselect: OperationParameters.common + ReselectOperation.parameterNames
    }
  }

  /// Answers one request. A pure function: the same document and models give the same answer, always.
  ///
  /// - Parameters:
  ///   - isAbandoned: asked between images and between steps of long searches; once true, the work is given up,
  ///     since nobody waits for the answer.
  ///   - isOverdue: asked as often; once true, the request has had all the time there is.
  ///   - sharing: who else may compute images of a large batch, or parts of one image.
  public func run(
    _ document: TensorDocument, models: ModelSet = ModelSet(),
    isAbandoned: @escaping @Sendable () -> Bool = { false },
    isOverdue: @escaping @Sendable () -> Bool = { false }, sharing: WorkSharing = .none
  ) throws(Problem) -> Answer {
    try run(
      document, models: models, isAbandoned: isAbandoned, isOverdue: isOverdue, sharing: sharing,
      useMemory: { (_, _) throws(Problem) in })
  }

  /// - Parameter useMemory: told what is to be computed before it is; throws where there is no memory for it.
  func run(
    _ document: TensorDocument, models: ModelSet, isAbandoned: @escaping @Sendable () -> Bool,
    isOverdue: @escaping @Sendable () -> Bool,
    sharing: WorkSharing, useMemory: (TensorDocument, Batch) throws(Problem) -> Void
  ) throws(Problem) -> Answer {
    try OperationParameters.refuseUnknown(document, for: self)
    let given = document.parameters.withoutNulls
    let tensors = try SixteenBits.resolved(document.tensors, given)
    let axes = try DeclaredAxes(given, tensors: tensors)
    let batch = try Batch(
      try axes.applied(to: tensors), axes: axes, isDeclaredBatched: try OperationParameters.batched(given))
    try useMemory(document, batch)
    var samples: [Answer.Sample] = []
    var shared = JSONObject()
    do throws(PruningError) {
      let parameters = try ImageParameters(given, batchCount: batch.isBatched ? batch.samples.count : nil)
      let stepLimit = StepLimit(
        PruningInput.standardStepLimit, isAbandoned: isAbandoned, isOverdue: isOverdue)
      let work = BatchWork(
        operation: self, batch: batch, parameters: parameters, models: models, stepLimit: stepLimit,
        sharing: sharing)
      if self == .prune && batch.isBatched && given["budget_scope"] == "request" {
        var together: [ImageRequest] = []
        for index in batch.samples.indices { together.append(try work.request(index).get()) }
        do throws(SharedPruningError) {
          samples = try PruneOperation.runTogether(together, shared: &shared)
        } catch {
          throw error.image.map { parameters.error(error.error, inImage: $0) } ?? error.error
        }
      } else {
        for (sample, members) in try work.results() {
          samples.append(sample)
          for member in members.members { shared[member.name] = member.value }
        }
      }
    } catch {
      throw Problem(error)
    }
    if batch.isBatched { shared["batched"] = true }
    let interpretation = Interpretation(
      batch.samples, tokenCounts: samples.map(\.tokenCount), hasLayout: given["layout"] != nil,
      isDeclared: given["batched"] != nil || given["axes"] != nil)
    return Answer(
      samples: samples, isBatched: batch.isBatched, shared: shared, reading: interpretation.members)
  }

  fileprivate func run(_ image: ImageRequest, shared: inout JSONObject) throws(PruningError) -> Answer.Sample
  {
    switch self {
    case .localize: try LocalizeOperation.run(image)
    case .compress: try CompressOperation.run(image, shared: &shared)
    case .prune: try PruneOperation.run(image, shared: &shared)
    case .reselect: try ReselectOperation.run(image)
    }
  }
}

/// The images of one request, each of which is computed by itself.
private struct BatchWork: Sendable {
  let operation: Operation
  let batch: Batch
  let parameters: ImageParameters
  let models: ModelSet
  let stepLimit: StepLimit
  let sharing: WorkSharing

  /// An image's answer, and what it says of all.
  typealias Outcome = Result<(Answer.Sample, JSONObject), PruningError>

  /// Batches of fewer numbers take less time than waking another thread is worth.
  private static let leastShared = 1 << 18

  /// One per image.
  ///
  /// - Throws: what is wrong with the first image that is wrong by itself; which image met the limit of all depends on who
  ///   computes which.
  func results() throws(PruningError) -> [(Answer.Sample, JSONObject)] {
    let outcomes = outcomes()
    let errors = outcomes.compactMap { if case .failure(let error) = $0 { error } else { nil } }
    if let error = errors.first(where: { $0.kind == .invalidInput || $0.kind == .unknownMethod })
      ?? errors.first
    {
      throw error
    }
    return outcomes.compactMap { try? $0.get() }
  }

  /// One per image, up to the first that failed where they are computed one after the other.
  private func outcomes() -> [Outcome] {
    let numbers = batch.samples.reduce(0) { $0 + $1.values.reduce(0) { $0 + $1.elementCount } }
    if batch.samples.count > 1, numbers >= Self.leastShared {
      return sharing.map(batch.samples.count) { outcome($0) }
    }
    var outcomes: [Outcome] = []
    for index in batch.samples.indices {
      outcomes.append(outcome(index))
      if case .failure = outcomes[index] { break }
    }
    return outcomes
  }

  private func outcome(_ index: Int) -> Outcome {
    switch request(index) {
    case .failure(let error): return .failure(error)
    case .success(let image):
      var shared = JSONObject()
      do throws(PruningError) {
        return .success((try operation.run(image, shared: &shared), shared))
      } catch {
        return .failure(located(error, index))
      }
    }
  }

  /// The image's tensors and parameters, checked.
  func request(_ index: Int) -> Result<ImageRequest, PruningError> {
    do throws(PruningError) {
      try stepLimit.check()
    } catch {
      return .failure(error)
    }
    do throws(PruningError) {
      return .success(
        try ImageRequest(
          tensors: batch.samples[index], parameters: parameters[index],
          batchCount: batch.isBatched ? batch.samples.count : nil, models: models, stepLimit: stepLimit,
          sharing: sharing))
    } catch {
      return .failure(located(error, index))
    }
  }

  private func located(_ error: PruningError, _ index: Int) -> PruningError {
    batch.isBatched ? parameters.error(error, inImage: index) : error
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
    for name in document.otherMetadata where name != "format" {
      guard let near = nearestName(to: name, among: known), near != name else { continue }
      throw Problem(
        .unknownParameter,
        "the metadata '\(name.prefix(80))' is no parameter; did you mean '\(near)'?",
        pointer: "/__metadata__" + JSONPointer.token(String(name.prefix(80))))
    }
    let stageTensors = PruneOperation.stageTensorNames(document.parameters)
    let tensors = TensorAxes.names + stageTensors
    for name in document.tensors.names where !tensors.contains(name) {
      // A parameter of the wrong kind (an array where a number belongs) looks like a tensor at first.
      let near = UsualNames.suggestion(for: name, among: tensors + known)
      let method = document.parameters["method"]?.stringValue
      throw Problem(
        .unknownParameter,
        UsualNames.methodParameter(name, of: method)
          ?? "there is no tensor '\(name.prefix(80))'"
          + (near.map { "; did you mean '\($0)'?" } ?? "; known: \(tensors.joined(separator: ", "))"),
        pointer: String(name.prefix(80)))
    }
  }

  private static func unknown(
    _ name: String, _ known: [String], _ parameters: JSONObject, for operation: Operation
  ) -> Problem {
    let owners = Operation.allCases.filter { $0.parameterNames.contains(name) }
    let missing = "\(operation.rawValue) has no parameter '\(name.prefix(80))'; "
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
    return Problem(.unknownParameter, detail, pointer: JSONPointer.token(String(name.prefix(80))))
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
