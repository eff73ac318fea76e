import JSON
import Tensors
import TokenPruning

/// `/compress`: fewer tokens that stand for all, dense in the region and sparse outside.
enum CompressOperation {
  static let parameterNames =
    TokenBudget.names + [
      "mode", "method", "method_parameters", "model", "anchor_share", "anchors", "region", "localize",
      "region_share", "region_ratio",
      "background_ratio", "dtype",
      "model_dimensions", "newline_policy", "renumber",
    ]

  static func run(_ image: ImageRequest, shared: inout JSONObject) throws(PruningError) -> Answer.Sample {
    // Assignments, sizes, and the positions of rows, of which there are as many as tokens at most.
    try image.reserveAnswer(listsPerToken: 5 + (PositionMembers.areAnswered(image) ? 3 : 0))
    let mode = try Mode(image.parameters)
    shared["mode"] = .string(mode.rawValue)
    // Without a region all tokens are one part; nothing is localised unasked.
    let localization = image.asksForRegion ? try image.localization() : nil
    guard mode == .merge else {
      return try ResampleOperation.run(image, localization, shared: &shared)
    }
    let request = try CompressRequest(image.parameters, regionTokens: localization?.tokens)
    let result = try compress(image.input, request)
    if request.method == CompressRequest.defaultMethod {
      shared["anchors"] = .string(request.anchors.rawValue)
    } else {
      shared["method"] = .string(request.method)
    }
    var members = result.budget.members
    if let localization {
      members["region"] = .object(localization.regionMembers)
      members["region_rows"] = result.regionRowCount.map { .integer($0) }
    }
    if result.rowPositions.contains(where: { $0 != nil }) {
      members["positions"] = .array(result.rowPositions.map(\.json))
    }
    members.append(
      try rowMembers(
        image, kept: result.keptIndices, rows: result.features.rows, imageRows: result.imageRows))
    if let model = try ModelDimensions.parse(image.parameters) {
      members["savings"] = .object(
        Savings(tokenCount: result.tokenCount, kept: result.features.rows, model).members)
    }
    if !result.notes.isEmpty { members["notes"] = .array(result.notes.map { .string($0) }) }
    var sample = Answer.Sample(
      members: members,
      indices: [
        ("kept_indices", result.keptIndices), ("assignments", result.assignments), ("sizes", result.sizes),
      ],
      tensors: [("features", try features(result.features, image))],
      tokenCount: result.tokenCount, keptCount: result.keptIndices.count)
    sample.scene = Scene(image.input.layout, localization)
    return sample
  }

  /// What both modes say of rows: how many each image has, how many are newlines, and where they stand in the LLM.
  static func rowMembers(
    _ image: ImageRequest, kept: [Int], rows: Int, imageRows: [Int]?
  ) throws(PruningError) -> JSONObject {
    var members = JSONObject()
    members["image_rows"] = imageRows.map { .array($0.map { .integer($0) }) }
    if let layout = image.input.layout, !layout.separators.isEmpty {
      members["newline_tokens"] = .integer(kept.count { layout.position(of: $0) == nil })
    }
    members.append(try PositionMembers.of(image, kept: kept, rows: rows))
    return members
  }

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

  /// The rows in the type asked for by `dtype`, else in that of the features.
  static func features(_ features: Matrix, _ image: ImageRequest) throws(PruningError) -> Tensor {
    let own = image.input.tensors["image_features"]?.elementType ?? .float32
    var type = own.isFloatingPoint ? own : .float32
    if let value = image.parameters["dtype"] {
      let floating = ElementType.allCases.filter(\.isFloatingPoint)
      guard let named = value.stringValue.flatMap(ElementType.init(named:)), named.isFloatingPoint else {
        throw PruningError(
          at: "/dtype", "must be one of \(floating.map(\.rawValue).joined(separator: ", "))")
      }
      type = named
    }
    // As numbers of the type, and as text.
    try image.input.stepLimit.reserveAnswer(bytes: 8 * features.values.count)
    let tensor: Tensor
    do throws(TensorError) {
      let shape = try Shape([features.rows, features.columns])
      tensor = try Tensor.floatingPoint(features.values, shape: shape, as: type)
    } catch {
      throw PruningError(at: "image_features", "\(error)")
    }
    if let index = tensor.firstNonFiniteIndex() {
      throw PruningError(
        at: "/dtype", "\(type.rawValue) cannot hold \(features.values[index]); ask for F32")
    }
    return tensor
  }
}

extension TokenPosition? {
  var json: JSONValue {
    guard let position = self else { return .null }
    return [.integer(position.view), .integer(position.row), .integer(position.column)]
  }
}
