import JSON
import Testing

@testable import Parameters
@testable import PruningNumerics
@testable import TokenPruning

@Suite struct TokenBudgetTests {
  @Test(
    "Ratios round half to even and keep at least one token",
    arguments: [
      (TokenBudget.keepRatio(0.5), 5, 2), (.keepRatio(0.5), 7, 4), (.keepRatio(0.098), 576, 56),
      (.keepRatio(0.001), 100, 1), (.keepRatio(1), 9, 9), (.pruneRatio(0), 9, 9),
      (.pruneRatio(0.75), 576, 144),
      (.pruneRatio(0.9999), 10, 1), (.keepTokens(0), 5, 0), (.keepTokens(5), 5, 5), (.keepRatio(0.5), 0, 0),
    ])
  func resolves(_ budget: TokenBudget, _ total: Int, _ expected: Int) throws {
    #expect(try budget.resolve(total: total) == expected)
  }

  @Test("More tokens than there are is an error that names both numbers")
  func tooMany() {
    let error = pruningError { _ = try TokenBudget.keepTokens(12).resolve(total: 9) }
    #expect(error?.pointer == "/keep_tokens")
    #expect(error?.message.contains("12") == true && error?.message.contains("9") == true)
  }

  @Test(
    "What is no budget is refused at its member",
    arguments: [
      ("/keep_tokens", ["keep_tokens": -1]), ("/keep_tokens", ["keep_tokens": 1.5]),
      ("/keep_tokens", ["keep_tokens": "64"]), ("/keep_ratio", ["keep_ratio": 0]),
      ("/keep_ratio", ["keep_ratio": 1.1]),
      ("/prune_ratio", ["prune_ratio": 1]), ("/prune_ratio", ["prune_ratio": -0.1]), ("/keep_tokens", [:]),
      ("/keep_ratio", ["keep_tokens": 4, "keep_ratio": 0.5]), ("/keep_ratio", ["keep_ratio": true]),
    ] as [(String, JSONObject)])
  func refuses(_ pointer: String, _ parameters: JSONObject) {
    #expect(pruningError { _ = try TokenBudget(ParameterReading(parameters)) }?.pointer == pointer)
  }

  @Test("The echo states one outcome in three ways")
  func echo() {
    let echo = BudgetEcho(kept: 144, total: 576)
    #expect(echo.keepRatio == 0.25 && echo.pruneRatio == 0.75)
    #expect(BudgetEcho(kept: 0, total: 0).keepRatio == 1)
  }
}
