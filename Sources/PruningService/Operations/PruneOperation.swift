import JSON
import Tensors
import TokenPruning

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

  static func run(_ image: ImageRequest, shared: inout JSONObject) throws(PruningError) -> Answer.Sample {
    let task = try Task(image)
    return try sample(of: try prune(image.input, task.request), task, image, shared: &shared)
  }

  /// The images of a batch under one budget.
  ///
  /// - Throws: with the image that is wrong.
  static func runTogether(
    _ images: [ImageRequest], shared: inout JSONObject
  ) throws(SharedPruningError) -> [Answer.Sample] {
    var tasks: [Task] = []
    for (index, image) in images.enumerated() {
      tasks.append(try SharedPruningError.about(index) { () throws(PruningError) in try Task(image) })
    }
    let results = try pruneTogether(images.map(\.input), tasks.map(\.request))
    var samples: [Answer.Sample] = []
    for (index, result) in results.enumerated() {
      samples.append(
        try SharedPruningError.about(index) { () throws(PruningError) in
          try sample(of: result, tasks[index], images[index], shared: &shared)
        })
    }
    return samples
  }

  static func tooManyStages(_ stageCount: Int, _ tokenCount: Int) -> PruningError {
    PruningError(
      at: "/stages",
      "\(stageCount) stages of \(tokenCount) tokens are more than \(maximumStageIndices) indices; send fewer "
        + "stages")
  }

  /// What is asked of one image, its region found.
  private struct Task {
    let localization: Localization?
    let request: PruneRequest

    init(_ image: ImageRequest) throws(PruningError) {
      localization = try PruneOperation.localization(for: image)
      request = try PruneRequest(image.parameters, regionTokens: localization?.tokens)
      guard request.stages.count * image.input.tokenCount <= maximumStageIndices else {
        throw tooManyStages(request.stages.count, image.input.tokenCount)
      }
      // An explanation has a score, a rule, a rank and a region for each token; positions have up to three numbers.
      try image.reserveAnswer(
        listsPerToken: (request.explain ? 4 : 0) + (PositionMembers.areAnswered(image) ? 3 : 0),
        stages: request.stages.count)
    }
  }

  private static func sample(
    of result: PruneResult, _ task: Task, _ image: ImageRequest, shared: inout JSONObject
  ) throws(PruningError) -> Answer.Sample {
    shared["method"] = .string(task.request.method)
    var members: JSONObject = ["decided_by": .string(result.decidedBy)]
    members["pruned_count"] = .integer(result.tokenCount - result.kept.count)
    members.append(result.budget.members)
    if let newlines = result.keptNewlines { members["newline_tokens"] = .integer(newlines) }
    if let localization = task.localization {
      members["region"] = .object(localization.regionMembers)
      members["region_policy"] = .string(result.policy.name)
    }
    if !result.stages.isEmpty { members["stages"] = .array(result.stages.map { .object($0.members) }) }
    if let average = result.averageTokens { members["average_tokens"] = .number(average) }
    members.append(try PositionMembers.of(image, kept: result.kept, rows: result.kept.count))
    if let places = result.keptWithinPrevious {
      members["kept_within_previous"] = .array(places.map { .integer($0) })
    }
    if let bookkeeping = try Bookkeeping(image.parameters) {
      members["bookkeeping"] = .object(try bookkeeping.members(keeping: result.kept, image))
    }
    if let model = try ModelDimensions.parse(image.parameters) {
      members["savings"] = .object(Savings(result, model).members)
    }
    if let scores = result.scores { members["scores"] = .array(scores.map { .number($0) }) }
    if let explanation = result.explanation { members["explanation"] = .object(explanation.members) }
    if let raters = result.explanation?.textRaters {
      members["text_raters"] = .array(raters.map { .integer($0) })
    }
    if !result.notes.isEmpty { members["notes"] = .array(result.notes.map { .string($0) }) }
    var sample = Answer.Sample(
      members: members, indices: [("kept_indices", result.kept)], tensors: [],
      tokenCount: result.tokenCount, keptCount: result.kept.count)
    sample.scene = Scene(image.input.layout, task.localization)
    return sample
  }

  /// The region the request is about, or nil when it asks for none.
  ///
  /// CROP is about a region, so it localises by itself; any other method does so when it is told to.
  private static func localization(for image: ImageRequest) throws(PruningError) -> Localization? {
    let parameters = image.parameters
    if image.asksForRegion { return try image.localization() }
    let method = parameters["method"] ?? .string(PruneRequest.defaultMethod)
    // Of what earlier requests left there is no map to find a region in.
    guard method == .string(PruneRequest.defaultMethod), parameters["localize"] == nil,
      parameters["region_policy"] != "none", image.input.previous == nil
    else { return nil }
    return try image.localization()
  }
}

/// The position ids of what `/prune` and `/compress` keep, where they are asked for, given or known.
enum PositionMembers {
  /// Ids in three dimensions cannot be told from the kept indices, so they are answered unasked where known.
  static func areAnswered(_ image: ImageRequest) -> Bool {
    image.parameters["renumber"] != nil || image.input.tensors["position_ids"] != nil
      || image.input.layout?.hasRotaryPositions ?? false
  }

  /// - Parameter rows: how many rows stand for all tokens.
  static func of(_ image: ImageRequest, kept: [Int], rows: Int) throws(PruningError) -> JSONObject {
    let renumber = image.parameters["renumber"]
    if let renumber, renumber.boolValue == nil {
      throw PruningError(at: "/renumber", "must be true or false, not \(renumber.kindWithArticle)")
    }
    guard areAnswered(image) else { return [:] }
    let given = image.input.tensors["position_ids"]
    let positions = try PositionIDs(
      keeping: kept, of: image.input.tokenCount, rows: rows, positions: given?.wholeNumbers ?? given,
      layout: image.input.layout, renumber: renumber?.boolValue ?? false)
    let ids = positions.rows.map { JSONValue.array($0.map { .integer($0) }) }
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
      "layer": .integer(layer), "keep_tokens": .integer(kept.count),
      "kept_indices": .array(kept.map { .integer($0) }),
      "kept_within_previous": .array(keptWithinPrevious.map { .integer($0) }),
    ]
  }
}

extension PruneExplanation {
  fileprivate var members: JSONObject {
    var members: JSONObject = [
      "rules": .array(rules.map { .string($0) }), "rule": .array(rule.map { .integer($0) }),
    ]
    if let ranks { members["rank"] = .array(ranks.map { $0.map { .integer($0) } ?? .null }) }
    if let isInside { members["in_region"] = .array(isInside.map { .integer($0 ? 1 : 0) }) }
    return members
  }
}

extension Localization {
  /// What /prune and /compress say of the region; its token indices are /localize's business.
  var regionMembers: JSONObject {
    var members = members
    members["saliency"] = nil
    members["region_tokens"] = .integer(tokens.count)
    return members
  }
}

extension JSONObject {
  mutating func append(_ other: JSONObject) {
    for member in other.members { self[member.name] = member.value }
  }
}
