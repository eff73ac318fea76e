import JSON
import Testing

@testable import PruningNumerics
@testable import TokenPruning

@Suite struct SavingsTests {
  private let llava: JSONObject = [
    "model_dimensions": ["hidden": 4096, "layers": 32, "heads": 32, "intermediate": 11008]
  ]

  @Test("The cost is twice the multiply-adds of the formula in the papers, worked by hand")
  func formula() throws {
    let model = try #require(try ModelDimensions.parse(llava))
    let cost = Savings(tokenCount: 576, kept: 64, model)
    let n = 576.0
    let perLayer = 4 * n * 4096 * 4096 + 2 * n * n * 4096 + 2 * n * 4096 * 11008
    #expect(abs(cost.before.prefillFLOPs - 2 * 32 * perLayer) < 1)
    // 576 tokens x 2 (key, value) x 4096 x 2 bytes x 32 layers
    #expect(cost.before.keyValueBytes == 301_989_888)
    #expect(cost.after.keyValueBytes == 301_989_888 / 9)
  }

  @Test("Grouped queries shrink the cache and two projections; text tokens count in both")
  func groupedQueries() throws {
    let model = try #require(
      try ModelDimensions.parse([
        "model_dimensions": [
          "hidden": 8, "layers": 1, "heads": 4, "kv_heads": 1, "intermediate": 16, "dtype_bytes": 1,
          "text_tokens": 2, "gated": true,
        ]
      ]))
    let cost = Savings(tokenCount: 4, kept: 0, model)
    // n = 6, two for each of 2 n d^2 (1 + 1/4) + 2 n^2 d + 3 n d m multiply-adds
    #expect(cost.before.prefillFLOPs == 2 * (960 + 576 + 2304))
    #expect(cost.before.keyValueBytes == 24)
    #expect(cost.after.keyValueBytes == 8)
  }

  @Test("Stages save only from their layer on")
  func stages() throws {
    let model = try #require(try ModelDimensions.parse(llava))
    let request = PruneRequest(
      method: "topk", stages: [PruningStage(layer: 2, budget: .keepTokens(0))], layerCount: 32)
    let cost = Savings(try prune(makeInput(16), request), model)
    #expect(cost.after.keyValueBytes == cost.before.keyValueBytes * 2 / 32)
  }

  @Test(
    "Dimensions that cannot be are refused at their member",
    arguments: [
      ("/model_dimensions", 7), ("/model_dimensions/hidden", ["layers": 1, "heads": 1, "intermediate": 1]),
      (
        "/model_dimensions/kv_heads",
        ["hidden": 1, "layers": 1, "heads": 2, "kv_heads": 3, "intermediate": 1]
      ),
      ("/model_dimensions/hiden", ["hiden": 1, "layers": 1, "heads": 1, "intermediate": 1]),
    ] as [(String, JSONValue)])
  func refuses(_ pointer: String, _ dimensions: JSONValue) {
    #expect(
      pruningError { _ = try ModelDimensions.parse(["model_dimensions": dimensions]) }?.pointer == pointer)
  }
}
