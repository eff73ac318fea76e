import JSON
import LearnedNetworks
import Localization
import PruningNumerics
import Tensors
import TokenPruning

/// `/compress` in `resampler` mode: rows that learned queries make, beside anchors that pass unchanged.
struct ResampleTask: PreparedTask {
  private let settings: CompressSettings
  private let request: ResampleRequest
  let cost = ComputeCost.unbounded

  var answerBytes: Int { settings.answerBytes }
  var otherNumbers: Int { settings.otherNumbers }
  let modelUses: [ModelUse]

  init(_ image: ImageRequest, _ input: PruningInput, _ models: ModelSet) throws(PruningError) {
    settings = try CompressSettings(image, input, models)
    var request = try ResampleRequest(image.parameters, regionTokens: settings.plan.givenTokens)
    request.rows.largestPeer = image.largestPeer
    self.request = request
    try request.validate(models)
    modelUses = [
      settings.plan.modelUse(on: input), .resampling(input.tokenCount, with: request.model),
    ].compactMap(\.self)
  }

  func run(
    on input: PruningInput, _ models: ModelSet, shared: inout JSONObject
  ) throws(PruningError) -> Answer.Sample {
    shared["mode"] = .string(CompressOperation.Mode.resampler.rawValue)
    let (region, input) = try settings.plan.region(in: input, models)
    var request = request
    request.rows.regionTokens = region?.tokens
    let result = try resample(input, request, models)
    shared["model"] = (result.learned?.model).map { .string($0) }
    shared["anchors"] = .string(request.rows.anchors.rawValue)
    var members = result.budget.members
    members["learned_rows"] = [
      "region": .integer(result.learned?.region ?? 0),
      "background": .integer(result.learned?.background ?? 0),
    ]
    return try settings.sample(
      of: result, members, positions: result.rowPositions, keptCount: result.features.rows, region, input)
  }
}
