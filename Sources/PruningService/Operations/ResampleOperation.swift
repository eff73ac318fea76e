import JSON
import Numerics
import Tensors
import TokenPruning

/// `/compress` in `resampler` mode: rows that learned queries make, beside anchors that pass unchanged.
struct ResampleTask: PreparedTask {
  private let settings: CompressSettings
  private let request: ResampleRequest
  let cost = ComputeCost.unbounded

  var answerBytes: Int { settings.answerBytes }

  init(_ image: ImageRequest, _ input: PruningInput) throws(PruningError) {
    settings = try CompressSettings(image, input)
    request = try ResampleRequest(image.parameters, regionTokens: settings.plan.givenTokens)
    try request.validate(input.models)
  }

  func run(on input: PruningInput, shared: inout JSONObject) throws(PruningError) -> Answer.Sample {
    shared["mode"] = .string(CompressOperation.Mode.resampler.rawValue)
    let (region, input) = try settings.plan.region(in: input)
    var request = request
    request.rows.regionTokens = region?.tokens
    let result = try resample(input, request)
    shared["model"] = .string(result.model)
    shared["anchors"] = .string(request.rows.anchors.rawValue)
    var members = result.budget.members
    members["learned_rows"] = [
      "region": .integer(result.regionLearnedRows), "background": .integer(result.backgroundLearnedRows),
    ]
    if let region {
      members["region"] = .object(region.regionMembers)
      members["region_rows"] = result.regionRowCount.map { .integer($0) }
    }
    members["positions"] = .array(result.rowPositions.map(\.json))
    members.append(
      try settings.rowMembers(
        input, kept: result.keptIndices, rows: result.features.rows, imageRows: result.imageRows))
    if let model = settings.model {
      members["savings"] = .object(
        Savings(tokenCount: result.tokenCount, kept: result.features.rows, model).members)
    }
    if !result.notes.isEmpty { members["notes"] = .array(result.notes.map { .string($0) }) }
    var sample = Answer.Sample(
      members: members,
      indices: [
        ("kept_indices", result.keptIndices), ("assignments", result.assignments), ("sizes", result.sizes),
      ],
      tensors: [("features", try settings.features(result.features, input))],
      tokenCount: result.tokenCount, keptCount: result.features.rows)
    sample.scene = Scene(input.layout, region)
    return sample
  }
}
