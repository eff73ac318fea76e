import JSON
import Tensors
import TokenPruning

/// `/compress` in `resampler` mode: rows that learned queries make, beside anchors that pass unchanged.
enum ResampleOperation {
  static func run(
    _ image: ImageRequest, _ localization: Localization?, shared: inout JSONObject
  ) throws(PruningError) -> Answer.Sample {
    let request = try ResampleRequest(image.parameters, regionTokens: localization?.tokens)
    let result = try resample(image.input, request)
    shared["model"] = .string(result.model)
    shared["anchors"] = .string(request.rows.anchors.rawValue)
    var members = result.budget.members
    members["learned_rows"] = [
      "region": .integer(result.regionLearnedRows), "background": .integer(result.backgroundLearnedRows),
    ]
    if let localization {
      members["region"] = .object(localization.regionMembers)
      members["region_rows"] = result.regionRowCount.map { .integer($0) }
    }
    members["positions"] = .array(result.rowPositions.map(\.json))
    members.append(
      try CompressOperation.rowMembers(
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
      tensors: [("features", try CompressOperation.features(result.features, image))],
      tokenCount: result.tokenCount, keptCount: result.features.rows)
    sample.scene = Scene(image.input.layout, localization)
    return sample
  }
}
