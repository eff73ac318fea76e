import JSON
import Tensors
import Testing

@testable import Parameters
@testable import PruningNumerics
@testable import TokenPruning

@Suite struct PruneTests {
  /// Attention that falls from token 0 to N - 1.
  private func falling(_ count: Int) throws -> PruningInput {
    let row = (0..<count).map { Float(count - $0) }
    return PruningInput(tokenCount: count, tensors: ["attention": try floatTensor(row, [count])], layout: nil)
  }

  private func kept(
    _ count: Int, _ region: [Int]?, _ policy: RegionPolicy?, method: String = "crop", of total: Int = 20
  ) throws -> PruneResult {
    try prune(
      falling(total),
      PruneRequest(method: method, budget: .keepTokens(count), regionTokens: region, policy: policy))
  }

  @Test("Without a region the method alone decides")
  func noRegion() throws {
    let result = try kept(3, nil, nil)
    #expect(result.kept == [0, 1, 2] && result.policy == .none && result.notes.isEmpty)
    #expect(result.decidedBy == "topk" && result.averageTokens == 3)
  }

  @Test("'only' ranks inside a large region, and keeps a small one whole with a note")
  func only() throws {
    #expect(try kept(2, [15, 10, 12], .only).kept == [10, 12])
    let small = try kept(5, [15, 10, 12], .only)
    #expect(small.kept == [10, 12, 15])
    #expect(small.notes.contains { $0.contains("3 tokens") && $0.contains("budget of 5") })
  }

  @Test("'first' is the default: the region, then the best outside")
  func first() throws {
    for policy in [nil, RegionPolicy.first] {
      #expect(try kept(5, [10, 12, 15], policy).kept == [0, 1, 10, 12, 15])
      #expect(try kept(2, [10, 12, 15], policy).kept == [10, 12])
      #expect(try kept(3, [10, 12, 15], policy).kept == [10, 12, 15])
    }
  }

  @Test("'share' divides the budget and gives back what a side cannot use")
  func share() throws {
    #expect(try kept(4, [10, 11, 12, 13], .share(0.5)).kept == [0, 1, 10, 11])
    #expect(try kept(8, [10, 11], .share(0.9)).kept == [0, 1, 2, 3, 4, 5, 10, 11])
    // 18 inside, 2 outside: the outside cannot take its half of 10.
    #expect(try kept(10, Array(2..<20), .share(0.5)).kept == Array(0..<10))
    #expect(try kept(4, [10, 11], .share(0)).kept == [0, 1, 2, 3])
    #expect(try kept(3, [10, 11, 12, 13], .share(0.5)).kept.count == 3)
  }

  @Test("'bias' multiplies scores inside")
  func bias() throws {
    // Scores 10 and 9 become 30 and 27, above everything outside (20 at most).
    #expect(try kept(3, [10, 11], .bias(3)).kept == [0, 10, 11])
    #expect(try kept(3, [0, 1], .bias(0.01)).kept == [2, 3, 4])
  }

  @Test("'bias' raises negative scores before it multiplies, and says so")
  func negativeBias() throws {
    let row: [Float] = [-1, -2, -3, -4]
    let input = PruningInput(tokenCount: 4, tensors: ["attention": try floatTensor(row, [4])], layout: nil)
    let result = try prune(
      input, PruneRequest(method: "topk", budget: .keepTokens(1), regionTokens: [1], policy: .bias(4)))
    #expect(result.kept == [1] && result.notes.count == 1)
  }

  @Test("'bias' with a method that has no scores is refused", arguments: ["divprune", "random"])
  func biasWithoutScores(_ method: String) throws {
    let error = pruningError {
      let input = try makeInput(20)
      _ = try prune(
        input, PruneRequest(method: method, budget: .keepTokens(3), regionTokens: [1], policy: .bias(2)))
    }
    #expect(error?.pointer == "/region_policy" && error?.message.contains(method) == true)
  }

  @Test(
    "A region of nothing or everything leaves the choice to the scorer, with a note",
    arguments: [[], Array(0..<20)])
  func degenerate(_ region: [Int]) throws {
    let result = try kept(3, region, .only)
    #expect(result.kept == [0, 1, 2] && result.policy == .none && result.notes.count == 1)
  }

  @Test("Region tokens out of range are refused")
  func regionOutOfRange() {
    #expect(pruningError { _ = try kept(3, [20], nil) }?.pointer == "/region")
  }

  @Test(
    "Every method and policy keeps the exact count",
    arguments: MethodLawTests.names, [RegionPolicy.none, .only, .first, .share(0.5), .share(1)])
  func exactCount(_ method: String, _ policy: RegionPolicy) throws {
    let input = try makeInput(36)
    for count in [0, 1, 9, 10, 20, 36] {
      let result = try prune(
        input,
        PruneRequest(
          method: method, methodParameters: neededParameters(method), budget: .keepTokens(count),
          regionTokens: Array(12..<22), policy: policy))
      #expect(result.kept.count == (policy == .only ? min(count, 10) : count))
      #expect(result.kept.isStrictlyAscending && result.kept.allSatisfy { (0..<36).contains($0) })
      if policy == .first { #expect(Set(result.kept).isSuperset(of: 12..<22) == (count >= 10)) }
    }
  }

  @Test("Explained results carry the scores of the method that decided")
  func explain() throws {
    let request = PruneRequest(budget: .keepTokens(2), explain: true)
    #expect(try prune(falling(4), request).scores == [4, 3, 2, 1])
    var diverse = request
    diverse.method = "divprune"
    #expect(try prune(makeInput(4), diverse).scores == nil)
  }
}

@Suite struct StageTests {
  private func input(_ attention: [String: [Float]]) throws -> PruningInput {
    var tensors: [String: Tensor] = [:]
    for (name, row) in attention { tensors[name] = try floatTensor(row, [row.count]) }
    return PruningInput(tokenCount: 6, tensors: tensors, layout: nil)
  }

  private func request(_ second: String, layerCount: Int? = 10) -> PruneRequest {
    PruneRequest(
      method: "fastv",
      stages: [
        PruningStage(layer: 2, budget: .keepTokens(4), attention: "early"),
        PruningStage(layer: 6, budget: .keepRatio(1 / 3.0), attention: second),
      ], layerCount: layerCount)
  }

  private let early: [Float] = [9, 0, 8, 7, 1, 6]

  @Test("A later stage chooses among survivors, by a row over all tokens or over survivors")
  func stages() throws {
    // Survivors of the first stage: 0, 2, 3, 5. Token 1 scores highest in the full row, but is gone.
    let input = try input(["early": early, "full": [1, 99, 5, 2, 0, 4], "short": [1, 5, 2, 4]])
    for second in ["full", "short"] {
      let result = try prune(input, request(second))
      #expect(result.stages[0].kept == [0, 2, 3, 5] && result.stages[0].keptWithinPrevious == [0, 2, 3, 5])
      #expect(result.stages[1].kept == [2, 5] && result.stages[1].keptWithinPrevious == [1, 3])
      #expect(result.kept == [2, 5])
      // Layers 0-1 see 6 tokens, 2-5 see 4, 6-9 see 2.
      #expect(result.tokensPerLayer(layerCount: 10) == [6, 6, 4, 4, 4, 4, 2, 2, 2, 2])
      #expect(result.averageTokens == 3.6)
    }
    #expect(try prune(input, request("full", layerCount: nil)).averageTokens == nil)
  }

  @Test("FastV's published setting averages 171 tokens over 32 layers")
  func equivalentTokens() throws {
    let input = try makeInput(576, columns: 1)
    let request = PruneRequest(
      method: "fastv", stages: [PruningStage(layer: 2, budget: .keepTokens(144))], layerCount: 32)
    #expect(try prune(input, request).averageTokens == 171)
  }

  @Test("The region stays first in every stage")
  func regionInStages() throws {
    var request = request("full")
    request.regionTokens = [3, 4]
    let result = try prune(input(["early": early, "full": [9, 9, 9, 0, 1, 9]]), request)
    #expect(result.stages.map(\.kept) == [[0, 2, 3, 4], [3, 4]])
  }

  @Test("Rows of another length, or absent, are refused by name")
  func badRows() throws {
    let wrong = try input(["early": early, "late": [1, 2, 3, 4, 5]])
    #expect(pruningError { _ = try prune(wrong, request("late")) }?.pointer == "late")
    #expect(pruningError { _ = try prune(wrong, request("later")) }?.pointer == "/stages/1/attention")
    let notANumber = try input(["early": early, "late": [1, .nan, 3, 4]])
    let error = pruningError { _ = try prune(notANumber, request("late")) }
    #expect(error?.pointer == "late" && error?.message.contains("[1]") == true)
  }

  @Test("Budgets must not grow and layers must ascend below the layer count")
  func schedule() throws {
    let input = try input(["attention": early])
    func fails(_ stages: [PruningStage]) -> String? {
      pruningError {
        _ = try prune(input, PruneRequest(method: "topk", stages: stages, layerCount: 8))
      }?.pointer
    }
    let first = PruningStage(layer: 2, budget: .keepTokens(3))
    #expect(fails([first, PruningStage(layer: 4, budget: .keepRatio(0.9))]) == "/stages/1/keep_ratio")
    #expect(fails([first, PruningStage(layer: 2, budget: .keepTokens(1))]) == "/stages/1/layer")
    #expect(fails([PruningStage(layer: 8, budget: .keepTokens(1))]) == "/stages/0/layer")
    #expect(fails([first, PruningStage(layer: 4, budget: .keepTokens(7))]) == "/stages/1/keep_tokens")
    #expect(fails([first, PruningStage(layer: 7, budget: .keepTokens(0))]) == nil)
  }
}

@Suite struct PruneRequestTests {
  @Test("A request is read from its members")
  func reads() throws {
    let request = try PruneRequest(
      [
        "method": "fastv", "region_policy": "share", "region_share": 0.7, "explain": true,
        "model_dimensions": ["layers": 32],
        "stages": [["layer": 2, "keep_ratio": 0.5], ["layer": 8, "keep_tokens": 64, "attention": "late"]],
      ], regionTokens: [1])
    #expect(request.method == "fastv" && request.policy == .share(0.7) && request.layerCount == 32)
    #expect(request.stages[0] == PruningStage(layer: 2, budget: .keepRatio(0.5)))
    #expect(request.stages[1].attention == "late" && request.budget == nil && request.explain)
    #expect(try PruneRequest(["keep_tokens": 3]).method == "crop")
  }

  @Test(
    "What is wrong is refused at its member",
    arguments: [
      ("/keep_tokens", [:]), ("/method", ["method": 3, "keep_tokens": 1]),
      ("/keep_tokens", ["keep_tokens": 1, "stages": [["layer": 1, "keep_tokens": 1]]]),
      ("/stages", ["stages": []]), ("/stages", ["stages": true]), ("/stages/0", ["stages": [4]]),
      ("/stages/0/layer", ["stages": [["keep_tokens": 1]]]),
      ("/stages/0/keep_tokens", ["stages": [["layer": 1]]]),
      ("/stages/0/layer", ["stages": [["layer": -1, "keep_tokens": 1]]]),
      ("/stages/0/atention", ["stages": [["layer": 1, "keep_tokens": 1, "atention": "x"]]]),
      ("/region_policy", ["keep_tokens": 1, "region_policy": "frist"]),
      ("/region_share", ["keep_tokens": 1, "region_policy": "share"]),
      ("/region_share", ["keep_tokens": 1, "region_policy": "first", "region_share": 0.5]),
      ("/region_share", ["keep_tokens": 1, "region_share": 2]),
      ("/region_bias", ["keep_tokens": 1, "region_policy": "bias"]),
      ("/region_bias", ["keep_tokens": 1, "region_bias": 0]),
      ("/model_dimensions/layers", ["keep_tokens": 1, "model_dimensions": ["layers": 0]]),
    ] as [(String, JSONObject)])
  func refuses(_ pointer: String, _ parameters: JSONObject) {
    #expect(pruningError { _ = try PruneRequest(parameters) }?.pointer == pointer)
  }

  @Test("A share or a bias implies its policy")
  func implied() throws {
    #expect(try RegionPolicy.parse(ParameterReading(["region_share": 0.25])) == .share(0.25))
    #expect(try RegionPolicy.parse(ParameterReading(["region_bias": 2])) == .bias(2))
    #expect(try RegionPolicy.parse(ParameterReading([:])) == nil)
  }
}
