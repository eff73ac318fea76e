import JSON
import LearnedNetworks
import Localization
import Numerics
import TokenPruning
import VisionLayouts

/// `/localize`: the contextual region, the map it was found on, the tokens inside.
struct LocalizeTask: PreparedTask {
  private let plan: RegionPlan
  let answerBytes: Int
  let modelUses: [ModelUse]
  let cost: ComputeCost

  init(_ image: ImageRequest, _ input: PruningInput, _ models: ModelSet) throws(PruningError) {
    answerBytes = image.answerBytes()
    plan = try image.regionPlan(input, models)
    modelUses = [plan.modelUse(on: input)].compactMap(\.self)
    cost = ComputeCost(input, plan)
  }

  func run(
    on input: PruningInput, _ models: ModelSet, shared: inout JSONObject
  ) throws(PruningError) -> Answer.Sample {
    guard let localization = try plan.region(in: input, models).region else {
      preconditionFailure("/localize has a region, or was refused")
    }
    var sample = Answer.Sample(
      members: localization.members, indices: [("region_indices", localization.tokens)], tensors: [],
      tokenCount: input.tokenCount, keptCount: localization.tokens.count)
    sample.scene = Scene(input.layout, localization)
    return sample
  }
}

extension Localization {
  /// The members that `/localize` answers.
  var members: JSONObject {
    var members = foundMembers
    if !maps.isEmpty {
      let shape = (images == nil ? [] : [maps.count]) + [BlockRegion.side, BlockRegion.side]
      members["saliency"] = [
        "shape": .array(shape.map { .integer($0) }),
        "data": .array(maps.flatMap(\.values).map { .number($0) }),
      ]
    }
    return members
  }

  /// What /prune and /compress say of the region; its map and its token indices are /localize's business.
  var regionMembers: JSONObject {
    var members = foundMembers
    members["region_tokens"] = .integer(tokens.count)
    return members
  }

  private var foundMembers: JSONObject {
    let located = regions.enumerated().map { index, region -> JSONValue in
      var members = region.members
      if let images { members["image"] = .integer(images[index]) }
      return .object(members)
    }
    var members: JSONObject = [
      "regions": .array(located), "source": .string(source),
      "whole_image": .bool(wholeImage),
    ]
    if let model { members["model"] = .string(model) }
    if let reason { members["reason"] = .string(reason) }
    return members
  }
}

extension LocatedRegion {
  fileprivate var members: JSONObject {
    [
      "blocks": .array(blocks.inclusive.map { .integer($0) }),
      "box": .array([box.x0, box.y0, box.x1, box.y1].map { .number($0) }),
      "score": score.map { .number($0) } ?? .null, "area": .number(area),
    ]
  }
}
