import JSON
import Tensors
import Testing

@testable import Localization
@testable import PruningNumerics
@testable import TokenPruning
@testable import VisionLayouts

/// Base 2 x 2 (tokens 0-3), then a raster of two 2 x 2 tiles with newlines: rows 4-8 and 9-13, newlines 8 and 13.
private func smallNext() throws -> TokenLayout {
  try TokenLayout(
    ["type": "llava_next", "image_size": [56, 28], "tile_size": 28, "grid_pinpoints": [[28, 56]]],
    tokenCount: 14)
}

private func falling(_ layout: TokenLayout?, _ count: Int) throws -> PruningInput {
  let row = (0..<count).map { Float(count - $0) }
  return PruningInput(
    tokenCount: count, tensors: ["attention": try floatTensor(row, [count])], layout: layout)
}

@Suite("Whose tokens share a budget") struct BudgetScopeTests {
  @Test("The layout of these tests is what its comment says")
  func layout() throws {
    let layout = try smallNext()
    #expect(layout.separators == [8, 13])
    #expect(layout.views.map(\.role) == [.base, .tile, .tile])
    #expect(layout.viewOfEachToken() == [0, 0, 0, 0, 1, 1, 2, 2, 2, 1, 1, 2, 2, 2])
  }

  @Test("Newlines are dropped, kept beside the budget, or counted")
  func newlines() throws {
    let input = try falling(smallNext(), 14)
    func kept(_ policy: NewlinePolicy, _ budget: TokenBudget) throws -> PruneResult {
      try prune(input, PruneRequest(method: "topk", budget: budget, newlines: policy))
    }
    #expect(try kept(.drop, .keepTokens(6)).kept == [0, 1, 2, 3, 4, 5])
    #expect(try kept(.keep, .keepTokens(6)).kept == [0, 1, 2, 3, 4, 5, 8, 13])
    #expect(try kept(.count, .keepTokens(9)).kept == [0, 1, 2, 3, 4, 5, 6, 7, 8])
    // Shares are of what the budget may keep: 12 tokens, or 14 where newlines count.
    #expect(try kept(.drop, .keepRatio(0.5)).kept.count == 6)
    #expect(try kept(.count, .keepRatio(0.5)).kept.count == 7)
    #expect(try kept(.drop, .pruneRatio(0)).kept == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12])
    #expect(try kept(.keep, .keepTokens(0)).kept == [8, 13])
    #expect(try kept(.keep, .keepTokens(6)).keptNewlines == 2)
    #expect(try kept(.count, .keepTokens(9)).keptNewlines == 1)
    #expect(
      try prune(falling(nil, 4), PruneRequest(method: "topk", budget: .keepTokens(1))).keptNewlines == nil)
  }

  @Test("Every tile has its own budget, and a smaller one keeps all it has")
  func tiles() throws {
    let input = try falling(smallNext(), 14)
    let request = PruneRequest(method: "topk", budget: .keepTokens(2), scope: .tile)
    #expect(try prune(input, request).kept == [0, 1, 4, 5, 6, 7])
    var counting = request
    counting.newlines = .count
    counting.budget = .keepTokens(5)
    let result = try prune(input, counting)
    // The last tile has six candidates, newlines included, the others four.
    #expect(result.kept == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    #expect(result.notes == ["view 0 and 1 more have fewer than 5 tokens; all are kept"])
    counting.budget = .keepTokens(7)
    #expect(pruningError { _ = try prune(input, counting) }?.pointer == "/keep_tokens")
  }

  @Test("Without views there are no tiles")
  func noTiles() throws {
    let request = PruneRequest(method: "topk", budget: .keepTokens(2), scope: .tile)
    let raw = try TokenLayout(["type": "raw", "tokens": 5], tokenCount: 5)
    for layout in [nil, raw] {
      #expect(pruningError { _ = try prune(falling(layout, 5), request) }?.pointer == "/budget_scope")
    }
  }

  @Test("Every image of a layout has its own budget unless the request shares one")
  func images() throws {
    let layout = try TokenLayout(
      ["type": "qwen2_vl", "grid_thw": [[1, 4, 4], [1, 4, 8]]], tokenCount: 12)
    let input = try falling(layout, 12)
    func kept(_ scope: BudgetScope) throws -> [Int] {
      try prune(input, PruneRequest(method: "topk", budget: .keepRatio(0.5), scope: scope)).kept
    }
    #expect(try kept(.image) == [0, 1, 4, 5, 6, 7])
    #expect(try kept(.request) == [0, 1, 2, 3, 4, 5])
    let region = try RegionSpecification(
      RegionMember(["box": [0, 0, 0.5, 1], "image": 1]), layout: layout)
    let tokens = Localization(region, layout: layout).tokens
    #expect(tokens == [4, 5, 8, 9])
    #expect(
      pruningError { _ = try RegionSpecification(RegionMember(["box": [0, 0, 0.5, 1]]), layout: layout) }?
        .pointer
        == "/region/image")
  }

  @Test("Every method keeps exactly each tile's budget", arguments: MethodLawTests.names)
  func everyMethod(_ method: String) throws {
    let layout = try smallNext()
    let plain = try makeInput(14)
    let input = PruningInput(tokenCount: 14, tensors: plain.tensors, layout: layout)
    let owners = try #require(layout.viewOfEachToken())
    for newlines in NewlinePolicy.allCases {
      let result = try prune(
        input,
        PruneRequest(
          method: method, methodParameters: neededParameters(method), budget: .keepTokens(3),
          regionTokens: [1, 2, 5, 6, 7], policy: .first, scope: .tile,
          newlines: newlines))
      for view in 0..<3 {
        let own = result.kept.filter { owners[$0] == view }
        #expect(own.count { !layout.separators.contains($0) || newlines == .count } == 3)
      }
      #expect(result.kept.isStrictlyAscending)
    }
  }

  @Test("Stages with newlines: what the model holds is what a short row covers")
  func stages() throws {
    let layout = try smallNext()
    var tensors = try falling(layout, 14).tensors
    // After the first stage the model holds 0-5 and the newlines 8 and 13.
    tensors["late"] = try floatTensor([0, 0, 9, 8, 0, 0, 99, 99], [8])
    let input = PruningInput(tokenCount: 14, tensors: tensors, layout: layout)
    let request = PruneRequest(
      method: "topk",
      stages: [
        PruningStage(layer: 1, budget: .keepTokens(6)),
        PruningStage(layer: 2, budget: .keepTokens(2), attention: "late"),
      ], layerCount: 4, newlines: .keep)
    let result = try prune(input, request)
    #expect(result.stages[0].kept == [0, 1, 2, 3, 4, 5, 8, 13])
    #expect(result.kept == [2, 3, 8, 13])
    #expect(result.stages[1].keptWithinPrevious == [2, 3, 6, 7])
    #expect(result.averageTokens == Double(14 + 8 + 4 + 4) / 4)
  }
}

@Suite("One budget for several images") struct SharedBudgetTests {
  private func inputs(_ rows: [[Float]]) throws -> [PruningInput] {
    try rows.map { row in
      PruningInput(
        tokenCount: row.count, tensors: ["attention": try floatTensor(row, [row.count])], layout: nil)
    }
  }

  @Test("Scores are compared across images, ties to the earlier image")
  func pooled() throws {
    let inputs = try inputs([[1, 5, 3], [5, 0, 4, 2]])
    func kept(_ count: Int) throws -> [[Int]] {
      let request = PruneRequest(method: "topk", budget: .keepTokens(count), scope: .request)
      return try pruneTogether(inputs, [request, request]).map(\.kept)
    }
    #expect(try kept(1) == [[1], []])
    #expect(try kept(3) == [[1], [0, 2]])
    #expect(try kept(5) == [[1, 2], [0, 2, 3]])
    #expect(try kept(7) == [[0, 1, 2], [0, 1, 2, 3]])
  }

  @Test("The region of any image comes first")
  func regions() throws {
    let inputs = try inputs([[1, 5, 3], [5, 0, 4, 2]])
    var requests = [[0], [1]].map { region in
      PruneRequest(method: "topk", budget: .keepTokens(3), regionTokens: region, scope: .request)
    }
    #expect(try pruneTogether(inputs, requests).map(\.kept) == [[0, 1], [1]])
    // A region that says nothing prefers nothing.
    requests[0].regionTokens = [0, 1, 2]
    #expect(try pruneTogether(inputs, requests).map(\.kept) == [[1], [0, 1]])
    for index in requests.indices { requests[index].policy = .only }
    #expect(try pruneTogether(inputs, requests).map(\.kept) == [[0, 1, 2], []])
  }

  @Test("Methods without scores divide the budget by size, exactly")
  func apportioned() throws {
    let inputs = try [10, 25, 7].map { try makeInput($0) }
    for method in ["divprune", "random", "uniform"] {
      for count in [0, 1, 5, 20, 41, 42] {
        let request = PruneRequest(method: method, budget: .keepTokens(count), scope: .request)
        let results = try pruneTogether(inputs, inputs.map { _ in request })
        #expect(results.map(\.kept.count) == apportion(count, by: [10, 25, 7], limits: [10, 25, 7]))
        #expect(results.reduce(0) { $0 + $1.kept.count } == count)
      }
    }
  }

  @Test("Largest remainders, ties to the lower index, never beyond a limit")
  func hamilton() {
    #expect(apportion(10, by: [1, 1, 1], limits: [9, 9, 9]) == [4, 3, 3])
    #expect(apportion(7, by: [50, 30, 20], limits: [9, 9, 9]) == [4, 2, 1])
    #expect(apportion(5, by: [90, 10], limits: [2, 10]) == [2, 3])
    #expect(apportion(0, by: [0, 0], limits: [0, 0]) == [0, 0])
  }

  @Test("Errors say which image is meant")
  func errors() throws {
    let inputs = try inputs([[1, 2], [1, .nan]])
    let request = PruneRequest(method: "topk", budget: .keepTokens(1), scope: .request)
    let error = #expect(throws: SharedPruningError.self) { try pruneTogether(inputs, [request, request]) }
    #expect(error?.image == 1 && error?.error.pointer == "attention")
    var much = request
    much.budget = .keepTokens(5)
    let total = #expect(throws: SharedPruningError.self) {
      try pruneTogether(self.inputs([[1], [1]]), [much, much])
    }
    #expect(total?.image == nil && total?.error.pointer == "/keep_tokens")
  }
}

@Suite("Why a token stayed or went") struct ExplanationTests {
  private func rules(_ request: PruneRequest, _ input: PruningInput) throws -> [String] {
    var request = request
    request.explain = true
    let explanation = try #require(try prune(input, request).explanation)
    return explanation.rule.map { explanation.rules[$0] }
  }

  @Test("The rules of each region policy")
  func policies() throws {
    let input = try falling(nil, 4)
    func rules(_ policy: RegionPolicy, _ count: Int) throws -> [String] {
      try self.rules(
        PruneRequest(budget: .keepTokens(count), regionTokens: [2, 3], policy: policy), input)
    }
    #expect(
      try rules(.first, 3) == [
        "kept: outside the region, by score", "dropped: outside the region, below the cut",
        "kept: in the region", "kept: in the region",
      ])
    #expect(
      try rules(.only, 1) == [
        "dropped: outside the region", "dropped: outside the region", "kept: in the region, by score",
        "dropped: in the region, below the cut",
      ])
    #expect(
      try rules(.none, 1) == [
        "kept: by score", "dropped: below the cut", "dropped: below the cut", "dropped: below the cut",
      ])
    #expect(try rules(.bias(9), 1)[2] == "kept: in the region, by score")
  }

  @Test("Stages say where a token went, newlines that they are newlines")
  func stages() throws {
    let request = PruneRequest(
      method: "topk",
      stages: [
        PruningStage(layer: 2, budget: .keepTokens(3)), PruningStage(layer: 5, budget: .keepTokens(1)),
      ])
    let rules = try rules(request, falling(smallNext(), 14))
    #expect(rules[0] == "kept: by score")
    #expect(rules[1] == "dropped at stage 2 (layer 5): below the cut")
    #expect(rules[5] == "dropped at stage 1 (layer 2): below the cut")
    #expect(rules[8] == "dropped: newline")
  }

  @Test("Ranks count from 1 among those that share a budget")
  func ranks() throws {
    let input = try falling(smallNext(), 14)
    var request = PruneRequest(method: "topk", budget: .keepTokens(1), explain: true, scope: .tile)
    #expect(
      try prune(input, request).explanation?.ranks
        == [1, 2, 3, 4, 1, 2, 1, 2, nil, 3, 4, 3, 4, nil])
    request.regionTokens = [3]
    request.policy = .bias(100)
    request.scope = .image
    #expect(try prune(input, request).explanation?.ranks?.prefix(4) == [2, 3, 4, 1])
    request = PruneRequest(method: "divprune", budget: .keepTokens(1), explain: true)
    let diverse = try prune(makeInput(4), request)
    #expect(diverse.explanation?.ranks == nil)
    #expect(diverse.explanation?.rules.contains("kept: chosen by divprune") == true)
  }
}
