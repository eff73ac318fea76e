import JSON
public import LearnedNetworks
import Localization
import Parameters
import PruningNumerics
public import TensorFormats
import Tensors
import TokenPruning
import VisionLayouts

/// `/compare`: what several methods keep of one image under one budget.
///
/// Each method runs as it was published: only the default method, which is about a region, is given one, unless
/// `region_policy` says what all of them are to do with it. All methods share the work and the memory of one request; one
/// that cannot run on these tensors says so in its place.
public enum CompareOperation {
  public static let parameterNames =
    OperationParameters.common + TokenBudget.names + [
      "methods", "region", "localize", "region_policy", "region_share", "region_bias", "newline_policy",
    ]

  /// More than these in one request are refused.
  public static let maximumMethods = 32

  /// Parameters of a region, which only some methods are given.
  private static let regionNames = ["region", "localize", "region_policy", "region_share", "region_bias"]

  /// A method as the request names it.
  struct Contestant {
    let name: String
    let parameters: JSONObject?
  }

  public static func run(
    _ document: TensorDocument, models: ModelSet = ModelSet(),
    isOverdue: @escaping @Sendable () -> Bool = { false }
  ) throws(Problem) -> Comparison {
    try run(document, RunContext(models: models, isOverdue: isOverdue))
  }

  /// - Parameter reservation: asked for memory before anything is prepared, and again once the networks are known that the
  ///   methods ask.
  static func run(
    _ document: TensorDocument, _ context: RunContext, _ reservation: Reservation = .none
  ) throws(Problem) -> Comparison {
    try refuseUnknown(document)
    var shared = document
    shared.parameters = document.parameters.withoutNulls
    let contestants = try contestants(shared.parameters["methods"])
    shared.parameters["methods"] = nil
    let tensors = try SixteenBits.resolved(document.tensors, shared.parameters)
    let axes = try DeclaredAxes(shared.parameters, tensors: tensors)
    let batch = try Batch(
      try axes.applied(to: tensors, context.stepLimit), axes: axes,
      isDeclaredBatched: try OperationParameters.batched(shared.parameters), context.stepLimit)
    guard !batch.isBatched else {
      throw Problem(
        .invalidInput, "methods are compared on one image, and this is a batch of \(batch.samples.count)",
        pointer: "/batched")
    }
    let documents = contestants.map { contestant in
      TensorDocument(
        tensors: shared.tensors, parameters: parameters(of: contestant, shared.parameters),
        otherMetadata: shared.otherMetadata)
    }
    // The search and the methods run one after the other; what is prepared and answered of all is held.
    let needs = documents.map { MemoryNeed(.prune, $0, batch) }
    let search = MemoryNeed(.localize, shared, batch)
    let answers = needs.reduce(0) { $0 &+ $1.answers }
    let largest = (needs + [search]).reduce(0) {
      max($0, $1.total(decodedBytes: reservation.decodedBytes, threads: reservation.threads))
    }
    try reservation.hold(largest &+ answers)
    var prepared: [Result<PreparedOperation, Problem>] = []
    var held = 0
    for document in documents {
      let beside = answers &+ held
      let own = Reservation(decodedBytes: reservation.decodedBytes, threads: reservation.threads) {
        bytes throws(Problem) in
        try reservation.hold(max(largest, bytes) &+ beside)
      }
      prepared.append(
        try part { () throws(Problem) in
          guard let operation = try PreparedOperation(.prune, document, context, own) else {
            preconditionFailure("no number of tokens is too many here")
          }
          held &+= operation.preparedBytes
          return operation
        })
    }
    let subject = try Subject(batch.samples[0], shared.parameters, context)
    let withNetworks = prepared.compactMap { try? $0.get() }.map {
      $0.memoryBytes(
        decodedBytes: reservation.decodedBytes, threads: reservation.threads, models: context.models)
    }
    let searched =
      search.total(decodedBytes: reservation.decodedBytes, threads: 1)
      &+ (subject.modelUse?.bytes(context.models) ?? 0)
    try reservation.hold(max(searched, withNetworks.max() ?? 0) &+ answers &+ held)
    let localization = try subject.localization()
    let bytes = TensorForms.bytes(of: document.tensors)
    var entries: [Comparison.Entry] = []
    for (contestant, operation) in zip(contestants, prepared) {
      let start = ContinuousClock.now
      let outcome = try part { () throws(Problem) in try operation.get().run(bytes, context).samples[0] }
      entries.append(
        Comparison.Entry(
          method: contestant.name, parameters: contestant.parameters, outcome: outcome,
          duration: ContinuousClock.now - start))
    }
    let reading = Interpretation(
      batch.samples, tokenCounts: [subject.image.tokenCount], inferred: [subject.image.inferredLayout],
      shared.parameters)
    return Comparison(
      tokenCount: subject.image.tokenCount, scene: Scene(subject.image.image, localization),
      entries: entries,
      reading: reading.members)
  }

  /// One method's part, or why it has none; throws where no other method could go on either.
  private static func part<Part>(_ body: () throws(Problem) -> Part) throws(Problem) -> Result<Part, Problem>
  {
    do throws(Problem) {
      return .success(try body())
    } catch {
      guard error.status == 422 else { throw error }
      return .failure(error)
    }
  }

  /// The image, and the region that methods are measured against: what the request says, else what the tensors tell, if
  /// anything.
  private struct Subject {
    let image: ImageRequest
    private let input: PruningInput
    private let plan: RegionPlan
    private let models: ModelSet

    init(
      _ tensors: [String: Tensor], _ parameters: JSONObject, _ context: RunContext
    ) throws(Problem) {
      do throws(PruningError) {
        let image = try ImageRequest(
          tensors: tensors, parameters: parameters, region: parameters["region"].map(RegionMember.init),
          batchCount: nil)
        let input = image.input(tensors, context)
        self.image = image
        self.input = input
        models = context.models
        if image.asksForRegion {
          plan = try image.regionPlan(input, context.models)
        } else if parameters["localize"] == nil {
          plan =
            try Self.optional { () throws(PruningError) in try image.regionPlan(input, context.models) }
            ?? .none
        } else {
          plan = .none
        }
      } catch {
        throw Problem(error)
      }
    }

    var modelUse: ModelUse? { plan.modelUse(on: input) }

    func localization() throws(Problem) -> Localization? {
      do throws(PruningError) {
        guard !image.asksForRegion else { return try plan.region(in: input, models).region }
        return try Self.optional { () throws(PruningError) in try plan.region(in: input, models).region }
          ?? nil
      } catch {
        throw Problem(error)
      }
    }

    /// nil where the tensors are not such that there could be a region.
    private static func optional<Value>(
      _ body: () throws(PruningError) -> Value
    ) throws(PruningError) -> Value? {
      do throws(PruningError) {
        return try body()
      } catch {
        guard error.kind == .invalidInput else { throw error }
        return nil
      }
    }
  }

  private static func parameters(of contestant: Contestant, _ shared: JSONObject) -> JSONObject {
    var own = shared
    own["method"] = .string(contestant.name)
    own["method_parameters"] = contestant.parameters.map { .object($0) }
    if shared["region_policy"] == nil, contestant.name != PruneRequest.defaultMethod {
      for name in regionNames { own[name] = nil }
    }
    return own
  }

  // MARK: Reading

  private static func refuseUnknown(_ document: TensorDocument) throws(Problem) {
    for name in document.parameters.names where !parameterNames.contains(name) {
      let isOfMethods = name == "method" || name == "method_parameters"
      throw Problem(
        .unknownParameter,
        "compare has no parameter '\(name.excerpt)'; "
          + (isOfMethods
            ? "say \"methods\": [\"crop\", {\"method\": \"divprune\", \"method_parameters\": {}}]"
            : nameSuggestion(for: name, among: parameterNames)),
        pointer: JSONPointer.token(name))
    }
    var others = document
    others.parameters["methods"] = nil
    try OperationParameters.refuseUnknown(others, for: .prune)
  }

  /// The parameters of a method are echoed, in a picture several times.
  private static let maximumParameterBytes = 4 << 10

  /// About as many as the value takes when it is written.
  private static func textBytes(of value: JSONValue) -> Int {
    switch value {
    case .string(let text): text.utf8.count
    case .array(let values): values.reduce(0) { $0 + textBytes(of: $1) + 1 }
    case .object(let object):
      object.members.reduce(0) { $0 + $1.name.utf8.count + textBytes(of: $1.value) + 2 }
    default: 8
    }
  }

  /// `["crop", {"method": "divprune", "method_parameters": {...}}]`, or names with commas between, as a query string has
  /// them.
  private static func contestants(_ value: JSONValue?) throws(Problem) -> [Contestant] {
    let list: [JSONValue]
    switch value {
    case .array(let values)?: list = values
    case .string(let names)?:
      // One more than there may be tells that there are too many.
      list = names.utf8.split(separator: UInt8(ascii: ","), maxSplits: maximumMethods)
        .map { .string(String(Substring($0))) }
    case nil: throw Problem(.invalidInput, "is missing: the methods to compare", pointer: "/methods")
    case let other?:
      throw Problem(
        .invalidInput, "must be a list of methods, not \(other.kindWithArticle)", pointer: "/methods")
    }
    guard (1...maximumMethods).contains(list.count) else {
      throw Problem(
        .invalidInput, "must have 1 to \(maximumMethods) methods", pointer: "/methods")
    }
    var contestants: [Contestant] = []
    for (index, value) in list.enumerated() {
      let pointer = "/methods/\(index)"
      let object = value.objectValue
      if let extra = object?.names.first(where: { $0 != "method" && $0 != "method_parameters" }) {
        throw Problem(
          .unknownParameter,
          "a method has the members method and method_parameters, not '\(extra.excerpt)'",
          pointer: pointer)
      }
      guard let name = value.stringValue ?? object?["method"]?.stringValue else {
        throw Problem(.invalidInput, "must be a name, or an object with the member method", pointer: pointer)
      }
      guard MethodRegistry.standard.descriptor(named: name) != nil else {
        throw Problem(.unknownMethod, MethodRegistry.standard.unknown(name), pointer: pointer)
      }
      let parameters = object?["method_parameters"].flatMap { $0 == .null ? nil : $0 }
      if let parameters, parameters.objectValue == nil {
        throw Problem(
          .invalidInput, "must be an object, not \(parameters.kindWithArticle)",
          pointer: pointer + "/method_parameters")
      }
      if let parameters, Self.textBytes(of: parameters) > maximumParameterBytes {
        throw Problem(
          .invalidInput, "holds more than \(maximumParameterBytes) bytes; no method has that many parameters",
          pointer: pointer + "/method_parameters")
      }
      contestants.append(Contestant(name: name, parameters: parameters?.objectValue))
    }
    return contestants
  }
}
