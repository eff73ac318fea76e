import JSON
import Tensors
import TokenPruning

/// `/compress`: fewer tokens that stand for all, dense in the region and sparse outside.
enum CompressOperation {
  static let parameterNames =
    TokenBudget.names + [
      "mode", "method", "method_parameters", "anchors", "region", "localize", "region_share", "region_ratio",
      "background_ratio", "dtype",
      "model_dimensions",
    ]

  static func run(_ image: ImageRequest, shared: inout JSONObject) throws(PruningError) -> Answer.Sample {
    shared["mode"] = .string(try mode(image.parameters))
    // Without a region all tokens are one part; nothing is localised unasked.
    let localization = image.asksForRegion ? try image.localization() : nil
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
    if let model = try ModelDimensions.parse(image.parameters) {
      members["savings"] = .object(
        Savings(tokenCount: result.tokenCount, kept: result.features.rows, model).members)
    }
    if !result.notes.isEmpty { members["notes"] = .array(result.notes.map { .string($0) }) }
    return Answer.Sample(
      members: members,
      indices: [
        ("kept_indices", result.keptIndices), ("assignments", result.assignments), ("sizes", result.sizes),
      ],
      tensors: [("features", try features(of: result, image))],
      tokenCount: result.tokenCount, keptCount: result.keptIndices.count)
  }

  /// One mode so far: merging needs no trained weights.
  private static func mode(_ parameters: JSONObject) throws(PruningError) -> String {
    guard let mode = parameters["mode"] else { return "merge" }
    guard mode == "merge" else {
      throw PruningError(at: "/mode", "must be 'merge', the only mode there is")
    }
    return "merge"
  }

  /// The rows in the type asked for by `dtype`, else in that of the features.
  private static func features(of result: CompressResult, _ image: ImageRequest) throws(PruningError)
    -> Tensor
  {
    let own = image.input.tensors["image_features"]?.elementType ?? .float32
    var type = own.isFloatingPoint ? own : .float32
    if let value = image.parameters["dtype"] {
      let floating = ElementType.allCases.filter(\.isFloatingPoint)
      guard let named = floating.first(where: { .string($0.rawValue) == value }) else {
        throw PruningError(
          at: "/dtype", "must be one of \(floating.map(\.rawValue).joined(separator: ", "))")
      }
      type = named
    }
    let tensor: Tensor
    do throws(TensorError) {
      let shape = try Shape([result.features.rows, result.features.columns])
      tensor = try Tensor.floatingPoint(result.features.values, shape: shape, as: type)
    } catch {
      throw PruningError(at: "image_features", "\(error)")
    }
    if let index = tensor.firstNonFiniteIndex() {
      throw PruningError(
        at: "/dtype", "\(type.rawValue) cannot hold \(result.features.values[index]); ask for F32")
    }
    return tensor
  }
}

extension TokenPosition? {
  fileprivate var json: JSONValue {
    guard let position = self else { return .null }
    return [.integer(position.view), .integer(position.row), .integer(position.column)]
  }
}
