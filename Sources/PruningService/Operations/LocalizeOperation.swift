import JSON
import LearnedNetworks
import Localization
import PruningNumerics
import TokenPruning
import VisionLayouts

/// `/localize`: the contextual region, the map it was found on, the tokens inside.
struct LocalizeTask: PreparedTask {
  private let plan: RegionPlan
  let answerBytes: Int
  let otherNumbers: Int
  let modelUses: [ModelUse]
  let cost: ComputeCost

  init(_ image: ImageRequest, _ input: PruningInput, _ models: ModelSet) throws(PruningError) {
    plan = try image.regionPlan(input, models)
    otherNumbers = plan.listedNumbers(withMaps: true)
    answerBytes = image.answerBytes(otherNumbers: otherNumbers)
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
    sample.scene = Scene(input.image, localization)
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
        "shape": .list(shape), "data": .array(maps.flatMap(\.values).map { .number($0) }),
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
      .object(region.members(image: images?[index]))
    }
    var members = [
      JSONObject.Member(name: "regions", value: .array(located)),
      JSONObject.Member(name: "source", value: .string(source)),
      JSONObject.Member(name: "whole_image", value: .bool(wholeImage)),
    ]
    if let model { members.append(JSONObject.Member(name: "model", value: .string(model))) }
    if let reason { members.append(JSONObject.Member(name: "reason", value: .string(reason))) }
    return JSONObject(distinctMembers: members)
  }
}

extension LocatedRegion {
  fileprivate func members(image: Int?) -> JSONObject {
    var members = [
      JSONObject.Member(name: "blocks", value: .list(blocks.inclusive)),
      JSONObject.Member(
        name: "box", value: .array([.number(box.x0), .number(box.y0), .number(box.x1), .number(box.y1)])),
      JSONObject.Member(name: "score", value: score.map { .number($0) } ?? .null),
      JSONObject.Member(name: "area", value: .number(area)),
    ]
    if let image { members.append(JSONObject.Member(name: "image", value: .integer(image))) }
    return JSONObject(distinctMembers: members)
  }
}
