import JSON
import LearnedNetworks
import Localization
import PruningNumerics
import Tensors
import TokenPruning
import VisionLayouts

/// `/compress`: fewer tokens that stand for all, dense in the region and sparse outside.
enum CompressOperation {
  static let parameterNames =
    TokenBudget.names + [
      "mode", "method", "method_parameters", "model", "anchor_share", "anchors", "region", "localize",
      "region_share", "region_ratio", "background_ratio", "dtype", "model_dimensions", "newline_policy",
      "renumber",
    ]

  /// How rows are made.
  enum Mode: String, CaseIterable {
    /// Tokens are averaged into their most similar anchor; needs no weights.
    case merge
    /// Learned queries read the tokens, ``ResampleOperation``.
    case resampler

    /// - Throws: for another name, and for a member that only the other mode reads.
    init(_ parameters: JSONObject) throws(PruningError) {
      let names = Self.allCases.map { "'\($0.rawValue)'" }.joined(separator: " or ")
      let given = parameters["mode"] ?? .string(Self.merge.rawValue)
      guard let mode = given.stringValue.flatMap(Self.init(rawValue:)) else {
        throw PruningError(at: "/mode", "must be \(names)")
      }
      self = mode
      guard mode == .merge else { return }
      for name in ResampleRequest.ownNames where parameters[name] != nil {
        throw PruningError(at: "/\(name)", "only applies to mode 'resampler', not 'merge'")
      }
    }
  }
}

/// What both modes of `/compress` are asked of one image.
struct CompressSettings: Sendable {
  let plan: RegionPlan
  let positions: PositionMembers
  let model: ModelDimensions?
  let answerBytes: Int
  let otherNumbers: Int
  /// Of the rows: what `dtype` asks for, else the type of the features.
  private let elementType: ElementType

  init(_ image: ImageRequest, _ input: PruningInput, _ models: ModelSet) throws(PruningError) {
    positions = try PositionMembers(image, input)
    // Without a region all tokens are one part; nothing is localized unasked.
    plan = image.asksForRegion ? try image.regionPlan(input, models) : .none
    otherNumbers = plan.listedNumbers(withMaps: false)
    // Assignments, sizes, and the positions of rows, of which there are as many as tokens at most.
    answerBytes = image.answerBytes(
      listsPerToken: 5 + (positions.areAnswered ? 3 : 0), otherNumbers: otherNumbers)
    model = try ModelDimensions.parse(image.parameters)
    elementType = try Self.elementType(image.parameters, input)
  }

  private static func elementType(
    _ parameters: JSONObject, _ input: PruningInput
  ) throws(PruningError) -> ElementType {
    if let value = parameters["dtype"] {
      guard let named = value.stringValue.flatMap(ElementType.init(named:)), named.isFloatingPoint else {
        let floating = ElementType.allCases.filter(\.isFloatingPoint).map(\.rawValue)
        throw PruningError(at: "/dtype", "must be one of \(floating.joined(separator: ", "))")
      }
      return named
    }
    let own = input.tensors["image_features"]?.elementType ?? .float32
    return own.isFloatingPoint ? own : .float32
  }

  /// What both modes say of rows: how many each image has, how many are newlines, and where they stand in the LLM.
  func rowMembers(
    _ input: PruningInput, kept: [Int], rows: Int, imageRows: [Int]?
  ) throws(PruningError) -> JSONObject {
    var members = JSONObject()
    members["image_rows"] = imageRows.map { .list($0) }
    if let layout = input.layout, !layout.separators.isEmpty {
      members["newline_tokens"] = .integer(kept.count { layout.position(of: $0) == nil })
    }
    members.append(try positions.members(input, kept: kept, rows: rows))
    return members
  }

  func features(_ features: Matrix, _ input: PruningInput) throws(PruningError) -> Tensor {
    // As numbers of the type, and as text.
    try input.stepLimit.reserveAnswer(bytes: 8 * features.values.count)
    let tensor: Tensor
    do throws(TensorError) {
      let shape = try Shape([features.rows, features.columns])
      tensor = try Tensor.floatingPoint(features.values, shape: shape, as: elementType)
    } catch {
      throw PruningError(at: "image_features", "\(error)")
    }
    if let index = tensor.firstNonFiniteIndex() {
      throw PruningError(
        at: "/dtype", "\(elementType.rawValue) cannot hold \(features.values[index]); use F32")
    }
    return tensor
  }
}

extension CompressSettings {
  /// The answer about an image.
  ///
  /// - Parameters:
  ///   - first: what the mode says of itself.
  ///   - positions: of the rows; nil where none is answered.
  func sample(
    of result: CompressResult, _ first: JSONObject, positions: [TokenPosition?]?, keptCount: Int,
    _ region: Localization?, _ input: PruningInput
  ) throws(PruningError) -> Answer.Sample {
    var members = first
    if let region {
      members["region"] = .object(region.regionMembers)
      members["region_rows"] = result.regionRowCount.map { .integer($0) }
    }
    members["positions"] = positions.map { .array($0.map(\.json)) }
    members.append(
      try rowMembers(
        input, kept: result.keptIndices, rows: result.features.rows, imageRows: result.imageRows))
    if let model {
      members["savings"] = .object(
        Savings(tokenCount: result.tokenCount, kept: result.features.rows, model).members)
    }
    if !result.notes.isEmpty { members["notes"] = .list(result.notes) }
    var sample = Answer.Sample(
      members: members,
      indices: [
        ("kept_indices", result.keptIndices), ("assignments", result.assignments), ("sizes", result.sizes),
      ],
      tensors: [("features", try features(result.features, input))],
      tokenCount: result.tokenCount, keptCount: keptCount)
    sample.scene = Scene(input.image, region)
    return sample
  }
}

/// `/compress` in `merge` mode.
struct MergeTask: PreparedTask {
  private let settings: CompressSettings
  private let request: CompressRequest
  let cost: ComputeCost

  var answerBytes: Int { settings.answerBytes }
  var otherNumbers: Int { settings.otherNumbers }
  let modelUses: [ModelUse]

  init(_ image: ImageRequest, _ input: PruningInput, _ models: ModelSet) throws(PruningError) {
    settings = try CompressSettings(image, input, models)
    modelUses = [settings.plan.modelUse(on: input)].compactMap(\.self)
    var request = try CompressRequest(image.parameters, regionTokens: settings.plan.givenTokens)
    request.largestPeer = image.largestPeer
    self.request = request
    cost = ComputeCost(merging: input, settings.plan, try request.work(on: input))
  }

  func run(
    on input: PruningInput, _ models: ModelSet, shared: inout JSONObject
  ) throws(PruningError) -> Answer.Sample {
    shared["mode"] = .string(CompressOperation.Mode.merge.rawValue)
    let (region, input) = try settings.plan.region(in: input, models)
    var request = request
    request.regionTokens = region?.tokens
    let result = try compress(input, request)
    if request.method == CompressRequest.defaultMethod {
      shared["anchors"] = .string(request.anchors.rawValue)
    } else {
      shared["method"] = .string(request.method)
    }
    var members = result.budget.members
    if let choice = result.choice {
      members["decided_by"] = .string(choice.method)
      members["reason"] = .string(choice.reason)
    }
    let isPlaced = result.rowPositions.contains { $0 != nil }
    return try settings.sample(
      of: result, members, positions: isPlaced ? result.rowPositions : nil,
      keptCount: result.keptIndices.count, region, input)
  }
}

extension TokenPosition? {
  var json: JSONValue {
    guard let position = self else { return .null }
    return [.integer(position.view), .integer(position.row), .integer(position.column)]
  }
}
