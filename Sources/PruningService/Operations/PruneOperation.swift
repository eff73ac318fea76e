import JSON
import LearnedNetworks
import Localization
import Locking
import PruningNumerics
import Tensors
import TokenPruning
import VisionLayouts

/// `/prune`: which visual tokens stay, in one step or in stages inside the LLM.
enum PruneOperation {
  static let parameterNames =
    TokenBudget.names + [
      "method", "method_parameters", "region", "localize", "region_policy", "region_share", "region_bias",
      "stages", "renumber", "model_dimensions", "explain", "budget_scope", "newline_policy",
      "previous", "bookkeeping",
    ]

  /// The most indices that all stages together may answer: a schedule repeats the tokens of a small request
  /// as often as it has stages.
  static let maximumStageIndices = 1 << 20

  /// The attention tensor of each stage, in order; of more stages than there may be, the first ones.
  static func stageTensorNames(_ parameters: JSONObject) -> [String] {
    if let schedule = PruneRequest.scheduleName(in: parameters) {
      let method = parameters["method"]?.stringValue ?? PruneRequest.defaultMethod
      return MethodRegistry.standard.attentionNames(ofSchedule: schedule, method: method)
    }
    return (parameters["stages"]?.arrayValue ?? []).prefix(PruneRequest.maximumStageCount)
      .map { $0.objectValue?["attention"]?.stringValue ?? "attention" }
  }

  static func tooManyStages(_ stageCount: Int, _ tokenCount: Int) -> PruningError {
    PruningError(
      at: "/stages",
      "\(stageCount) stages of \(tokenCount) tokens are more than \(maximumStageIndices) indices; send fewer "
        + "stages")
  }
}

/// What `/prune` is asked of one image.
struct PruneTask: PreparedTask {
  let answerBytes: Int
  let cost: ComputeCost
  let modelUses: [ModelUse]
  let readsElements: Bool
  let otherNumbers: Int
  private let plan: RegionPlan
  private let request: PruneRequest
  /// nil where the budget is one for all images of a batch.
  private let pruning: PreparedPruning?
  private let positions: PositionMembers
  private let bookkeeping: Bookkeeping?
  private let model: ModelDimensions?
  private let known = KnownMembers()

  /// - Parameter isTogether: whether the budget is one for all images of a batch, see ``runTogether(_:_:_:shared:)``.
  init(
    _ image: ImageRequest, _ input: PruningInput, _ models: ModelSet, isTogether: Bool
  ) throws(PruningError) {
    plan = try Self.regionPlan(of: image, input, models)
    modelUses = [plan.modelUse(on: input)].compactMap(\.self)
    var request = try PruneRequest(image.parameters, regionTokens: plan.givenTokens)
    request.largestPeer = image.largestPeer
    self.request = request
    guard request.stages.count * image.tokenCount <= PruneOperation.maximumStageIndices else {
      throw PruneOperation.tooManyStages(request.stages.count, image.tokenCount)
    }
    positions = try PositionMembers(image, input)
    bookkeeping = try Bookkeeping(image.parameters, image.layout, input)
    otherNumbers = (bookkeeping?.numberCount ?? 0) + plan.listedNumbers(withMaps: false)
    model = try ModelDimensions.parse(image.parameters)
    // An explanation has a score, a rule, a rank and a region for each token; positions have up to three numbers.
    answerBytes = image.answerBytes(
      listsPerToken: (request.explain ? 4 : 0) + (positions.areAnswered ? 3 : 0),
      stages: request.stages.count, otherNumbers: otherNumbers)
    pruning = isTogether ? nil : try PreparedPruning(input, request)
    // The attention of stages is validated whoever decides.
    let hasStages = !request.stages.isEmpty || request.schedule != nil
    let isFound = if case .found = plan { true } else { false }
    readsElements =
      isFound || hasStages || input.tensors["position_ids"] != nil || pruning?.deciding.readsValues ?? true
    cost =
      ComputeCost(listing: otherNumbers)
      + (pruning.map { [plan, request, readsElements] in
        ComputeCost(input, plan, $0, readsElements: readsElements, explains: request.explain)
      } ?? .unbounded)
  }

  /// CROP is about a region, so it is localized unasked; any other method only where the request asks for it.
  private static func regionPlan(
    of image: ImageRequest, _ input: PruningInput, _ models: ModelSet
  ) throws(PruningError) -> RegionPlan {
    let parameters = image.parameters
    if image.asksForRegion { return try image.regionPlan(input, models) }
    let method = parameters["method"] ?? .string(PruneRequest.defaultMethod)
    // Of what earlier requests left there is no map to find a region in.
    guard method == .string(PruneRequest.defaultMethod), parameters["localize"] == nil,
      parameters["region_policy"] != "none", image.previous == nil
    else { return .none }
    return try image.regionPlan(input, models)
  }

  func run(
    on input: PruningInput, _ models: ModelSet, shared: inout JSONObject
  ) throws(PruningError) -> Answer.Sample {
    guard let pruning else { preconditionFailure("images under one budget run together") }
    let (region, input) = try plan.region(in: input, models)
    let found: [Int]? = if case .found = plan { region?.tokens } else { nil }
    return try sample(of: try pruning.run(on: input, region: found), region, input, shared: &shared)
  }

  /// Rejects what does not depend on what tensors hold, of images of a batch under one budget.
  ///
  /// - Parameter inputs: without tensors.
  /// - Throws: with the image that is wrong.
  static func validateTogether(
    _ tasks: [PruneTask], _ inputs: [PruningInput]
  ) throws(SharedPruningError) {
    try validatePruningTogether(inputs, tasks.map(\.request))
  }

  /// The images of a batch under one budget.
  ///
  /// - Throws: with the image that is wrong.
  static func runTogether(
    _ tasks: [PruneTask], _ inputs: [PruningInput], _ models: ModelSet, shared: inout JSONObject
  ) throws(SharedPruningError) -> [Answer.Sample] {
    var regions: [Localization?] = []
    var requests: [PruneRequest] = []
    for (index, task) in tasks.enumerated() {
      let region = try SharedPruningError.about(index) { () throws(PruningError) in
        try task.plan.region(in: inputs[index], models).region
      }
      var request = task.request
      request.regionTokens = region?.tokens
      regions.append(region)
      requests.append(request)
    }
    let results = try pruneTogether(inputs, requests)
    var samples: [Answer.Sample] = []
    for (index, result) in results.enumerated() {
      samples.append(
        try SharedPruningError.about(index) { () throws(PruningError) in
          try tasks[index].sample(of: result, regions[index], inputs[index], shared: &shared)
        })
    }
    return samples
  }

  private func sample(
    of result: PruneResult, _ region: Localization?, _ input: PruningInput, shared: inout JSONObject
  ) throws(PruningError) -> Answer.Sample {
    shared["method"] = .string(request.method)
    var sample = Answer.Sample(
      try parts(of: result, region, input), [("kept_indices", result.kept)],
      tokenCount: result.tokenCount, keptCount: result.kept.count)
    sample.scene = Scene(input.image, region)
    return sample
  }

  private typealias Member = JSONObject.Member

  private func parts(
    of result: PruneResult, _ region: Localization?, _ input: PruningInput
  ) throws(PruningError) -> [Answer.Sample.Part] {
    guard !positions.areAnswered, bookkeeping == nil, let facts = PruneFacts(result) else {
      let members = opening(result) + Self.member(region) + (try closing(result, region, input))
      return [.own(JSONObject(distinctMembers: members))]
    }
    guard let region, case .found = plan else {
      let all = try known.members(facts) { () throws(PruningError) in
        (opening(result) + Self.member(region) + (try closing(result, region, input)), [])
      }
      return [.prepared(all.opening)]
    }
    let rest = try known.members(facts) { () throws(PruningError) in
      (opening(result), try closing(result, region, input))
    }
    return [
      .prepared(rest.opening), .own(JSONObject(distinctMembers: Self.member(region))),
      .prepared(rest.closing),
    ]
  }

  /// What stands in front of the region.
  private func opening(_ result: PruneResult) -> [Member] {
    var members: [Member] = []
    members.reserveCapacity(8)
    members.append(Member(name: "decided_by", value: .string(result.decidedBy)))
    if let reason = result.reason { members.append(Member(name: "reason", value: .string(reason))) }
    members.append(Member(name: "pruned_count", value: .integer(result.tokenCount - result.kept.count)))
    members += result.budget.members.members
    if let count = result.keptNewlines {
      members.append(Member(name: "newline_tokens", value: .integer(count)))
    }
    return members
  }

  private static func member(_ region: Localization?) -> [Member] {
    region.map { [Member(name: "region", value: .object($0.regionMembers))] } ?? []
  }

  /// What stands behind it.
  private func closing(
    _ result: PruneResult, _ region: Localization?, _ input: PruningInput
  ) throws(PruningError) -> [Member] {
    var members: [Member] = []
    func add(_ name: String, _ value: JSONValue?) {
      if let value { members.append(Member(name: name, value: value)) }
    }
    if region != nil { add("region_policy", .string(result.policy.name)) }
    if !result.stages.isEmpty { add("stages", .array(result.stages.map { .object($0.members) })) }
    add("average_tokens", result.averageTokens.map { .number($0) })
    members += try positions.members(input, kept: result.kept, rows: result.kept.count).members
    add("kept_within_previous", result.keptWithinPrevious.map { .list($0) })
    if let bookkeeping { add("bookkeeping", .object(try bookkeeping.members(keeping: result.kept, input))) }
    if let model { add("savings", .object(Savings(result, model).members)) }
    add("scores", result.scores.map { .array($0.map { .number($0) }) })
    add("explanation", result.explanation.map { .object($0.members) })
    add("text_raters", result.explanation?.textRaters.map { .list($0) })
    if !result.notes.isEmpty { add("notes", .list(result.notes)) }
    return members
  }
}

/// All that an answer says beside its indices and a region that was found, where it lists nothing else of its tokens.
///
/// Requests that differ in the elements of tensors alone have the same facts again and again: they keep as many tokens, by the
/// same method.
private struct PruneFacts: Equatable {
  private let decidedBy: String
  private let reason: String?
  private let tokenCount: Int
  private let keptCount: Int
  private let keptNewlines: Int?
  private let policy: RegionPolicy
  private let averageTokens: Double?
  private let notes: [String]

  /// - Returns: nil where the result lists stages, tokens of earlier requests, or why each token stayed or went.
  init?(_ result: PruneResult) {
    guard result.stages.isEmpty, result.keptWithinPrevious == nil, result.scores == nil,
      result.explanation == nil
    else { return nil }
    decidedBy = result.decidedBy
    reason = result.reason
    tokenCount = result.tokenCount
    keptCount = result.kept.count
    keptNewlines = result.keptNewlines
    policy = result.policy
    averageTokens = result.averageTokens
    notes = result.notes
  }
}

/// The members of the last answer of a task, for the next one with the same facts.
private final class KnownMembers: Sendable {
  struct Members {
    let opening: PreparedMembers
    let closing: PreparedMembers
  }

  private let last = Locked<(facts: PruneFacts, members: Members)?>(nil)

  /// - Parameter make: a function of the facts and of what the task was prepared from.
  func members(
    _ facts: PruneFacts,
    _ make: () throws(PruningError) -> (opening: [JSONObject.Member], closing: [JSONObject.Member])
  ) throws(PruningError) -> Members {
    if let known = last.withLock({ $0.flatMap { $0.facts == facts ? $0.members : nil } }) { return known }
    let (opening, closing) = try make()
    let members = Members(opening: PreparedMembers(opening), closing: PreparedMembers(closing))
    last.withLock { $0 = (facts, members) }
    return members
  }
}

/// The position ids of what `/prune` and `/compress` keep, where they are asked for, given or known.
struct PositionMembers: Sendable {
  /// Ids in three dimensions cannot be told from the kept indices, so they are answered unasked where known.
  let areAnswered: Bool
  private let renumbers: Bool

  /// - Throws: where `renumber` is no flag, or the ids that would be kept cannot be told.
  init(_ image: ImageRequest, _ input: PruningInput) throws(PruningError) {
    let renumber = image.parameters["renumber"]
    if let renumber, renumber.boolValue == nil {
      throw PruningError(at: "/renumber", "must be true or false, not \(renumber.kindWithArticle)")
    }
    areAnswered =
      renumber != nil || input.tensors["position_ids"] != nil || image.layout?.hasRotaryPositions ?? false
    renumbers = renumber?.boolValue ?? false
    _ = try members(input, kept: [], rows: 0)
  }

  /// - Parameter rows: how many rows stand for all tokens.
  func members(_ input: PruningInput, kept: [Int], rows: Int) throws(PruningError) -> JSONObject {
    guard areAnswered else { return JSONObject() }
    let given = input.tensors["position_ids"]
    let positions = try PositionIDs(
      keeping: kept, of: input.tokenCount, rows: rows, positions: given?.wholeNumbers ?? given,
      layout: input.layout, renumber: renumbers)
    let ids = positions.rows.map { JSONValue.list($0) }
    var members: JSONObject = ["position_ids": ids.count == 1 ? ids[0] : .array(ids)]
    members["mrope_position_delta"] = positions.delta.map { .integer($0) }
    members["next_position"] = positions.nextPosition.map { .integer($0) }
    members["grid_width"] = positions.gridWidth.map { .integer($0) }
    return members
  }
}

extension Tensor {
  /// The elements of an F32 tensor as I64, nil unless all are whole: numbers in plain JSON arrays are read as
  /// F32, in which every whole number below 2^24 is exact.
  fileprivate var wholeNumbers: Tensor? {
    guard elementType == .float32 else { return nil }
    let numbers = floats().compactMap { abs($0) < 0x1p24 ? Int(exactly: $0) : nil }
    return numbers.count == elementCount ? try? .int64(numbers, shape: shape) : nil
  }
}

extension StageResult {
  fileprivate var members: JSONObject {
    [
      "layer": .integer(layer), "keep_tokens": .integer(kept.count), "kept_indices": .list(kept),
      "kept_within_previous": .list(keptWithinPrevious),
    ]
  }
}

extension PruneExplanation {
  fileprivate var members: JSONObject {
    var members: JSONObject = [
      "rules": .list(rules), "rule": .list(rule),
    ]
    if let ranks { members["rank"] = .array(ranks.map { $0.map { .integer($0) } ?? .null }) }
    if let isInside { members["in_region"] = .array(isInside.map { .integer($0 ? 1 : 0) }) }
    return members
  }
}

extension JSONObject {
  mutating func append(_ other: JSONObject) {
    for member in other.members { self[member.name] = member.value }
  }
}
