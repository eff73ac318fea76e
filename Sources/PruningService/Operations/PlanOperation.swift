public import JSON
import Localization
import Parameters
import PruningNumerics
import TensorFormats
import TokenPruning
import VisionLayouts

/// `/plan`: how many tokens `/prune` will keep, before there are any tensors.
///
/// It takes the parameters of `/prune`, so that the same object can be sent to both; those that have no bearing
/// on counts (`seed`, `renumber`, ...) are validated all the same. `break_even` is its own: whether pruning pays.
public enum PlanOperation {
  public static var parameterNames: [String] { Operation.prune.parameterNames + ["break_even"] }

  /// Answers one request: for one layout its plan, for a list of them `layouts` and the totals.
  ///
  /// - Parameter isOverdue: asked between layouts; once true, the request has had all the time there is.
  public static func run(
    _ parameters: JSONObject, isOverdue: @escaping @Sendable () -> Bool = { false }
  ) throws(Problem) -> JSONObject {
    try run(parameters, StepLimit(.max, isOverdue: isOverdue), reserve: { _ in })
  }

  /// - Parameter reserve: told how much memory reading the request and the answer take at most, before it is taken; throws
  ///   where there is none.
  static func run(
    _ parameters: JSONObject, _ limit: StepLimit, reserve: (Int) throws(Problem) -> Void
  ) throws(Problem) -> JSONObject {
    var shared = parameters
    shared["break_even"] = nil
    try OperationParameters.refuseUnknown(TensorDocument(parameters: shared), for: .prune)
    let given = parameters.withoutNulls
    _ = try OperationParameters.batched(given)
    _ = try DeclaredAxes(given)
    _ = try SixteenBits.declared(given)
    var layouts = try PruningError.asProblem(try Layouts(given, limit))
    try reserve(layouts.bytes)
    do throws(PruningError) {
      try layouts.readRequests(limit)
      return try answer(given, layouts, limit)
    } catch {
      throw Problem(error)
    }
  }

  /// What is planned for: the layouts, and what is asked of each.
  private struct Layouts {
    let isListed: Bool
    let images: ImageParameters
    private(set) var layouts: [TokenLayout] = []
    private(set) var requests: [PruneRequest] = []
    /// Of each layout the tokens that earlier requests left; nil where all are there.
    private(set) var left: [[Int]?] = []
    private let stageCount: Int
    private let isLaterStage: Bool
    private var tokenCount = 0

    init(_ given: JSONObject, _ limit: StepLimit) throws(PruningError) {
      guard let layout = given["layout"] else {
        throw PruningError(at: "/layout", "is missing; without tensors it gives the number of tokens")
      }
      let listed = layout.arrayValue
      isListed = listed != nil
      if let listed, !(1...Batch.maximumCount).contains(listed.count) {
        throw PruningError(
          at: "/layout", "must have 1 to \(Batch.maximumCount) layouts, not \(listed.count)")
      }
      images = try ImageParameters(given, batchCount: listed?.count)
      stageCount = PruneOperation.stageTensorNames(given).count
      isLaterStage = given["previous"] != nil
      var viewCount = 0
      for index in 0..<(listed?.count ?? 1) {
        try limit.check()
        do throws(PruningError) {
          guard let json = images[index]["layout"] else {
            throw PruningError(at: "/layout", "is null; a plan needs the layout of every image")
          }
          let layout = try TokenLayout(json, tokenCount: nil)
          tokenCount += layout.tokenCount
          viewCount += layout.views.count
          guard tokenCount <= TokenLayout.maximumTokenCount, viewCount <= PlanOperation.maximumViewCount
          else {
            throw PruningError(
              at: "/layout",
              "the layouts together have more than \(TokenLayout.maximumTokenCount) tokens or \(PlanOperation.maximumViewCount) "
                + "views")
          }
          layouts.append(layout)
        } catch {
          throw listed == nil ? error : images.error(error, inImage: index)
        }
      }
    }

    /// Reads what is asked of each layout, once there is memory for it.
    mutating func readRequests(_ limit: StepLimit) throws(PruningError) {
      for (index, layout) in layouts.enumerated() {
        try limit.check()
        do throws(PruningError) {
          let own = images[index]
          let previous = try PreviousTokens(own, dropped: nil)?.indices(below: layout.tokenCount)
          left.append(previous)
          requests.append(
            try PlanOperation.request(own, images.region(index), for: layout, isLaterStage: previous != nil))
        } catch {
          throw isListed ? images.error(error, inImage: index) : error
        }
      }
      guard requests[0].stages.count * tokenCount <= PruneOperation.maximumStageIndices else {
        throw PruneOperation.tooManyStages(requests[0].stages.count, tokenCount)
      }
      if isListed {
        // As in a batch: all have the same budget.
        let largest = layouts.indices.map { index in
          requests[index].scope.largestBudget(
            of: layouts[index].tokenCount, layouts[index], requests[index].newlines, left: left[index])
        }.max()
        for index in requests.indices { requests[index].largestPeer = largest }
      }
    }

    /// An upper bound of what the lists of tokens take while requests are read, and the answer about all of them, as values
    /// and as text.
    var bytes: Int {
      layouts.reduce(tokenCount * (isLaterStage ? 96 : 48)) { bytes, layout in
        bytes + (layout.views.count + 1) << 10 + stageCount * (768 + layout.imageCount << 6)
      }
    }
  }

  private static func answer(
    _ given: JSONObject, _ subject: Layouts, _ limit: StepLimit
  ) throws(PruningError) -> JSONObject {
    let (layouts, requests) = (subject.layouts, subject.requests)
    try limit.check()
    let plan: PrunePlan
    do throws(SharedPruningError) {
      plan = try PrunePlan(of: layouts, requests, left: subject.left)
    } catch {
      guard subject.isListed, let image = error.image else { throw error.error }
      throw subject.images.error(error.error, inImage: image)
    }
    let model = try ModelDimensions.parse(given)
    let economics = try Economics(given, requests[0], layouts[0], subject.left[0], model)
    let layers = requests[0].layerCount
    guard subject.isListed else { return try members(of: plan, 0, layers, model, economics) }
    var result: JSONObject = [
      "batched": true, "tokens": .integer(plan.tokenCount),
    ]
    result.append(plan.budget.members)
    if !plan.layers.isEmpty {
      result["stages"] = .array(
        zip(plan.layers, plan.kept).map { ["layer": .integer($0), "keep_tokens": .integer($1)] })
    }
    result["layouts"] = .array(
      try layouts.indices.map { (index) throws(PruningError) in
        .object(try members(of: plan, index, layers, model, economics))
      })
    return result
  }

  private static let maximumViewCount = 1 << 16

  private static func request(
    _ parameters: JSONObject, _ region: RegionMember?, for layout: TokenLayout, isLaterStage: Bool
  ) throws(PruningError) -> PruneRequest {
    var tokens: [Int]?
    if let region {
      try ImageRequest.refuseLocalizing(parameters)
      guard !layout.views.isEmpty else { throw ImageRequest.withoutPlaces(layout) }
      tokens = try Localization(RegionSpecification(region, layout: layout), layout: layout).tokens
    }
    let request = try PruneRequest(parameters, regionTokens: tokens)
    let localizes = try localizes(parameters, request, isLaterStage)
    if tokens == nil, localizes, request.policy == .only {
      throw PruningError(
        at: "/region", "is needed: how many tokens region_policy 'only' keeps depends on the region")
    }
    _ = try ImageRequest.seed(parameters)
    _ = try ParameterReading(parameters).boolean("renumber")
    _ = try Bookkeeping(parameters, layout)
    return request
  }

  private static func localizes(
    _ parameters: JSONObject, _ request: PruneRequest, _ isLaterStage: Bool
  ) throws(PruningError) -> Bool {
    guard parameters["localize"] != false else { return false }
    _ = try ImageRequest.localizationOptions(parameters)
    return parameters["localize"] != nil || request.method == PruneRequest.defaultMethod && !isLaterStage
  }

  /// What `break_even` asks for.
  private struct Economics {
    let request: BreakEvenRequest
    let method: MethodDescriptor

    /// - Returns: nil where it is not asked for.
    init?(
      _ given: JSONObject, _ prune: PruneRequest, _ layout: TokenLayout, _ left: [Int]?,
      _ model: ModelDimensions?
    ) throws(PruningError) {
      guard let request = try BreakEvenRequest.parse(given) else { return nil }
      guard model != nil else {
        throw PruningError(
          at: "/model_dimensions", "is missing; break_even needs the model that the tokens are for")
      }
      self.request = request
      method = try BreakEven.decidingMethod(for: request, prune, layout: layout, left: left)
    }
  }

  private static func members(
    of plan: PrunePlan, _ index: Int, _ layerCount: Int?, _ model: ModelDimensions?, _ economics: Economics?
  ) throws(PruningError) -> JSONObject {
    let part = plan.parts[index]
    var members: JSONObject = ["tokens": .integer(part.tokenCount)]
    if part.newlineCount > 0 { members["newline_tokens"] = number(part.keptNewlines) }
    let last = part.kept.count - 1
    if let kept = part.kept[last] {
      members.append(BudgetEcho(kept: kept, total: part.tokenCount).members)
    } else {
      members["keep_tokens"] = .null
    }
    members["images"] = .array(
      part.images.map { image in
        [
          "tokens": .integer(image.tokenCount), "keep_tokens": number(image.kept[last]),
          "views": .array(
            image.views.map { view in
              [
                "role": .string(view.role), "rows": .integer(view.rows), "columns": .integer(view.columns),
                "keep_tokens": number(view.kept[last]),
              ]
            }),
        ]
      })
    if !plan.layers.isEmpty {
      members["stages"] = .array(
        plan.layers.enumerated().map { step, layer in
          [
            "layer": .integer(layer), "keep_tokens": number(part.kept[step]),
            "image_keep_tokens": .array(part.images.map { number($0.kept[step]) }),
          ]
        })
    }
    if let average = plan.averageTokens(of: index, layerCount: layerCount) {
      members["average_tokens"] = .number(average)
    }
    if let model, let savings = Savings(plan, part: index, model) {
      members["savings"] = .object(savings.members)
      if let economics {
        let found = try BreakEven(economics.request, savings, model, method: economics.method)
        members["break_even"] = .object(found.members)
      }
    }
    if !part.notes.isEmpty { members["notes"] = .list(part.notes) }
    return members
  }

  private static func number(_ count: Int?) -> JSONValue { count.map { .integer($0) } ?? .null }
}
