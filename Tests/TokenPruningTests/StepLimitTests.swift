import GreedySearch
import JSON
import Locking
import Tensors
import Testing

@testable import PruningNumerics
@testable import TokenPruning

@Suite struct StepLimitTests {
  /// Inputs on which each search does far more than a linear number of steps.
  private func input(_ count: Int, stepLimit: Int) throws -> PruningInput {
    let given = try makeInput(count, columns: 4, seed: 3)
    return PruningInput(
      tokenCount: count, tensors: given.tensors, layout: nil, stepLimit: StepLimit(stepLimit))
  }

  @Test(
    "a search ends with an error when its steps are used up",
    arguments: ["divprune", "cdpruner", "vispruner", "tome"])
  func searches(method: String) throws {
    let request = PruneRequest(method: method, budget: .keepTokens(100))
    let error = pruningError { _ = try prune(try input(200, stepLimit: 10_000), request) }
    #expect(error?.pointer == "image_features")
    #expect(error?.message.contains("more work") == true)
    #expect(try prune(try input(200, stepLimit: 10_000_000), request).kept.count == 100)
  }

  @Test(
    "a method's merging ends with an error when its steps are used up",
    arguments: ["visionzip", "prumerge", "prumerge_plus", "tome", "sparsevlm"])
  func methodMerging(method: String) throws {
    let request = CompressRequest(budget: .keepTokens(100), method: method)
    #expect(pruningError { _ = try compress(try input(200, stepLimit: 5_000), request) } != nil)
    #expect(try compress(try input(200, stepLimit: 10_000_000), request).keptIndices.count == 100)
  }

  @Test("merging ends with an error when its steps are used up", arguments: AnchorStrategy.allCases)
  func merging(anchors: AnchorStrategy) throws {
    let request = CompressRequest(budget: .keepTokens(100), anchors: anchors)
    #expect(pruningError { _ = try compress(try input(200, stepLimit: 10_000), request) } != nil)
    #expect(try compress(try input(200, stepLimit: 10_000_000), request).keptIndices.count == 100)
  }

  /// Requests whose products are not those of the tokens with each other.
  static let otherProducts: [(method: String, shapes: [String: [Int]], parameters: JSONObject)] = [
    ("ivcprune", ["value_states": [2, 600, 8]], [:]),
    ("ivcprune", ["value_states": [70, 2]], ["head_width": 4096]),
    (
      "pyramiddrop",
      [
        "hidden_states": [900, 16], "norm_weight": [16], "query_weight": [256, 16], "key_weight": [64, 16],
      ],
      ["heads": 8]
    ),
    ("sparsevlm", ["attention": [400, 64], "image_features": [64, 32], "text_features": [400, 32]], [:]),
  ]

  @Test(
    "products of other rows than those of tokens are told before they are made",
    arguments: otherProducts.indices)
  func otherSteps(_ index: Int) throws {
    let (method, shapes, parameters) = Self.otherProducts[index]
    var tensors: [String: Tensor] = [:]
    for (name, shape) in shapes {
      let values = (0..<shape.reduce(1, *)).map { Float($0 % 7 + 1) }
      tensors[name] = try floatTensor(values, name == "attention" ? [1] + shape : shape)
    }
    let most = 1 << 40
    let limit = StepLimit(most)
    let input = PruningInput(tokenCount: 64, tensors: tensors, layout: nil, stepLimit: limit)
    let request = PruneRequest(method: method, methodParameters: parameters, budget: .keepTokens(8))
    let prepared = try PreparedPruning(input, request)
    _ = try prepared.run(on: input)
    let spent = Double(most - limit.remaining)
    #expect(prepared.work.otherSteps >= spent / 3 && prepared.work.otherSteps <= 3 * spent, "\(spent)")
  }

  @Test("identical tokens, which no bound can tell apart, count as work")
  func ties() throws {
    let count = 400
    let same = try floatTensor([Float](repeating: 1, count: count * 4), [count, 4])
    let input = PruningInput(
      tokenCount: count, tensors: ["image_features": same], layout: nil, stepLimit: StepLimit(4_000_000))
    #expect(
      pruningError { _ = try prune(input, PruneRequest(method: "divprune", budget: .keepTokens(200))) } != nil
    )
  }

  @Test("stages share the steps of one request")
  func stages() throws {
    let stages = (0..<20).map { PruningStage(layer: $0, budget: .keepTokens(100 - $0)) }
    let request = PruneRequest(method: "divprune", stages: stages)
    #expect(pruningError { _ = try prune(try input(200, stepLimit: 1_000_000), request) } != nil)
    #expect(try prune(try input(200, stepLimit: 200_000_000), request).stages.count == 20)
  }

  @Test("searches that share an account spend it together, an advance included")
  func account() throws {
    let limit = StepLimit(100_000)
    var first = StepCounter(limit: limit)
    try first.spend(60_000)
    #expect(first.remaining == 40_000)
    var second = StepCounter(limit: limit)
    #expect(pruningError { try second.spend(40_001) }?.kind == .workLimit)
    // Who asked for more than there is has left nothing for the others.
    var third = StepCounter(limit: limit)
    #expect(pruningError { try third.spend(1) }?.kind == .workLimit)
  }

  @Test("a short search takes little more than it needs")
  func advance() throws {
    let limit = StepLimit(10_000_000)
    for _ in 0..<1_000 {
      var counter = StepCounter(limit: limit)
      try counter.spend(1_000)
    }
    #expect((5_000_000...9_000_000).contains(limit.remaining))
  }

  @Test("parts of an answer are charged to one account before they are built")
  func answers() throws {
    let limit = StepLimit(0)
    for _ in 0..<256 { try limit.reserveAnswer(bytes: 1 << 20) }
    let error = pruningError { try limit.reserveAnswer(bytes: 1) }
    #expect(error?.kind == .workLimit && error?.message.contains("256 MiB") == true)
  }

  @Test("what takes longer than it may is ended", arguments: ["divprune", "cdpruner", "tome", "evs", "topk"])
  func overdue(method: String) throws {
    let given = try makeInput(64, columns: 4, seed: 3)
    let input = PruningInput(
      tokenCount: 64, tensors: given.tensors, layout: nil, stepLimit: StepLimit(.max, isOverdue: { true }))
    let error = pruningError { _ = try prune(input, PruneRequest(method: method, budget: .keepTokens(7))) }
    #expect(error?.kind == .overdue)
    #expect(error?.message.contains("--compute-timeout") == true)
  }

  @Test("clustering asks for its time while it ranks all rows, not only while it compares them")
  func rankingIsInterrupted() throws {
    let rows = try makeInput(512, columns: 4, seed: 3).features()
    let asked = Locked(0)
    let limit = StepLimit(
      .max,
      isOverdue: {
        asked.withLock { count in
          count += 1
          return false
        }
      })
    _ = try DensityPeaks(rows, count: 20, stepLimit: limit)
    // Every 64 rows of the densities, and of the separations; comparing takes fewer.
    #expect(asked.withLock { $0 } >= 2 * 512 / 64)
  }

  @Test("a search that nobody waits for is given up", arguments: ["divprune", "cdpruner"])
  func abandonment(method: String) throws {
    let given = try makeInput(1_500, columns: 64, seed: 3)
    let input = PruningInput(
      tokenCount: 1_500, tensors: given.tensors, layout: nil,
      stepLimit: StepLimit(.max, isAbandoned: { true }))
    let error = pruningError {
      _ = try prune(input, PruneRequest(method: method, budget: .keepTokens(700)))
    }
    #expect(error?.kind == .abandoned)
  }
}
