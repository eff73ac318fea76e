import JSON
import Tensors
import Testing

@testable import PruningNumerics
@testable import TokenPruning
@testable import VisionLayouts

@Suite("A plan is what pruning does") struct PrunePlanTests {
  private static let layouts: [JSONValue] = [
    ["type": "grid", "rows": 6, "columns": 7],
    ["type": "llava_next", "image_size": [640, 480], "tile_size": 56, "patch_size": 14],
    ["type": "llava_next", "image_size": [300, 900], "tile_size": 56, "merge_type": "flat"],
    ["type": "qwen2_vl", "grid_thw": [[1, 8, 12], [1, 4, 6], [2, 4, 4]]],
    ["type": "qwen3_vl", "grid_thw": [3, 6, 8]],
    ["type": "internvl", "image_size": [900, 500], "tokens_per_side": 4],
    ["type": "gemma3", "image_size": [1600, 500], "pan_and_scan": true, "tokens_per_side": 5],
    ["type": "smolvlm", "image_size": [800, 600], "tile_size": 64, "longest_edge": 128],
    ["type": "video", "frames": 5, "rows": 3, "columns": 4, "temporal_patch_size": 2],
    ["type": "raw", "tokens": 31],
  ]

  private struct Case {
    var layouts: [TokenLayout]
    var requests: [PruneRequest]
    var left: [[Int]?]
  }

  /// A random but reproducible request over random layouts.
  private func makeCase(_ seed: UInt64) throws -> Case {
    var numbers = TestNumbers(seed)
    let isShared = numbers.below(3) == 0
    let scope = isShared ? BudgetScope.request : BudgetScope.allCases[numbers.below(3)]
    let count = isShared ? 1 + numbers.below(3) : 1
    let pool = scope == .tile ? Self.layouts.dropLast() : Self.layouts[...]
    let layouts = try (0..<count).map { _ in
      try TokenLayout(pool[numbers.below(pool.count)], tokenCount: nil)
    }
    var request = PruneRequest(
      method: ["topk", "uniform", "divprune", "random"][numbers.below(4)], layerCount: 12, scope: scope,
      newlines: NewlinePolicy.allCases[numbers.below(3)])
    let first = Double(1 + numbers.below(100)) / 100
    switch numbers.below(3) {
    case 0: request.budget = .keepTokens(numbers.below(12))
    case 1: request.budget = .keepRatio(first)
    default:
      request.stages = [
        PruningStage(layer: 2, budget: .keepRatio(first)),
        PruningStage(layer: 7, budget: .keepRatio(first * Double(1 + numbers.below(100)) / 100)),
      ]
    }
    request.policy = [nil, .only, .first, RegionPolicy.none][numbers.below(4)]
    let requests = layouts.map { layout -> PruneRequest in
      var own = request
      if numbers.below(3) > 0, !layout.views.isEmpty {
        let region = BlockRegion(
          columns: 0..<(1 + numbers.below(8)), rows: numbers.below(4)..<(5 + numbers.below(4)))
        own.regionTokens = layout.tokens(in: [region.box])
      }
      return own
    }
    let left = layouts.map { layout -> [Int]? in
      guard seed % 2 == 1, numbers.below(4) > 0 else { return nil }
      let (share, start) = (20 + numbers.below(80), numbers.below(layout.tokenCount))
      return (0..<layout.tokenCount).filter { $0 >= start / 2 && numbers.below(100) < share }
    }
    return Case(layouts: layouts, requests: requests, left: left)
  }

  private func results(_ given: Case) throws -> [PruneResult] {
    let inputs = try zip(given.layouts, given.left).map { layout, left in
      PruningInput(
        tokenCount: layout.tokenCount, tensors: try makeInput(layout.tokenCount, columns: 4).tensors,
        layout: layout, previous: left)
    }
    guard given.requests[0].scope == .request, inputs.count > 1 else {
      return try zip(inputs, given.requests).map { try prune($0, $1) }
    }
    return try pruneTogether(inputs, given.requests)
  }

  @Test(
    "Counts agree for random layouts, budgets, scopes, regions and tokens left",
    arguments: 0..<600 as Range<UInt64>)
  func law(_ seed: UInt64) throws {
    let given = try makeCase(seed)
    let plan: PrunePlan
    do {
      plan = try PrunePlan(of: given.layouts, given.requests, left: given.left)
    } catch {
      // What the plan rejects, pruning rejects.
      #expect(throws: (any Error).self) { try self.results(given) }
      return
    }
    let results = try results(given)
    #expect(plan.kept.last == results.reduce(0) { $0 + $1.kept.count })
    for (index, result) in results.enumerated() {
      let part = plan.parts[index]
      #expect(part.tokenCount == result.tokenCount)
      let stages = result.stages.isEmpty ? [result.kept] : result.stages.map(\.kept)
      for (step, kept) in stages.enumerated() {
        #expect(part.kept[step] == nil || part.kept[step] == kept.count, "\(given)")
        try compare(part, given.layouts[index], step, kept)
      }
      if part.kept.allSatisfy({ $0 != nil }) {
        #expect(plan.averageTokens(of: index, layerCount: 12) == result.averageTokens)
      } else {
        #expect(given.requests.count > 1 && given.requests[0].method == "topk")
      }
    }
  }

  private func compare(
    _ part: PrunePlan.Part, _ layout: TokenLayout, _ step: Int, _ kept: [Int]
  ) throws {
    guard let owners = layout.viewOfEachToken() else { return }
    var view = 0
    for (image, planned) in part.images.enumerated() {
      let own = kept.filter { layout.views[owners[$0]].image == image }
      #expect(planned.kept[step] == nil || planned.kept[step] == own.count)
      for plannedView in planned.views {
        #expect(plannedView.rows == layout.views[view].rows)
        if let count = plannedView.kept[step] {
          let separators = Set(part.newlineCount == 0 ? [] : layout.separators)
          let all = own.filter { owners[$0] == view }
          #expect(count == all.count || count == all.count { !separators.contains($0) })
        }
        view += 1
      }
    }
  }

  @Test("Every view's count is known under the scope 'tile', every image's under 'image'")
  func known() throws {
    let layout = try TokenLayout(["type": "internvl", "image_size": [1000, 500]], tokenCount: nil)
    let tiles = try PrunePlan(
      of: [layout], [PruneRequest(method: "topk", budget: .keepTokens(64), scope: .tile)])
    #expect(tiles.parts[0].images[0].views.map { $0.kept[0] } == [64, 64, 64])
    #expect(tiles.kept == [192])
    let image = try PrunePlan(of: [layout], [PruneRequest(method: "topk", budget: .keepTokens(64))])
    #expect(image.parts[0].images[0].kept == [64])
    #expect(image.parts[0].images[0].views.map { $0.kept[0] } == [nil, nil, nil])
  }

  @Test("What the tensors decide cannot be planned, and scores alone do not decide it")
  func adaptive() throws {
    let layout = try TokenLayout(["type": "video", "frames": 2, "rows": 1, "columns": 8], tokenCount: 16)
    let request = PruneRequest(
      method: "prumerge", methodParameters: ["adaptive": true], budget: .keepTokens(4), scope: .tile)
    let error = #expect(throws: SharedPruningError.self) { try PrunePlan(of: [layout], [request]) }
    #expect(error?.error.pointer == "/method_parameters")
    // One token of the second frame stands out.
    var row = [Float](repeating: 1, count: 16)
    row[11] = 9
    let plain = try makeInput(16)
    var tensors = plain.tensors
    tensors["attention"] = try floatTensor(row, [16])
    let input = PruningInput(tokenCount: 16, tensors: tensors, layout: layout)
    #expect(try prune(input, request).kept == [0, 11])
  }

  @Test("FasterVLM's 5 x 576 tokens of LLaVA-NeXT, K of each")
  func fasterVLM() throws {
    let layout = try TokenLayout(
      ["type": "llava_next", "tiles": [2, 2], "merge_type": "flat"], tokenCount: 2880)
    let plan = try PrunePlan(
      of: [layout], [PruneRequest(method: "fastervlm", budget: .keepTokens(32), scope: .tile)])
    #expect(plan.kept == [160])
    #expect(layout.separators.isEmpty && layout.views.count == 5)
  }
}
