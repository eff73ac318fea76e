import JSON
import Tensors
import Testing

@testable import PruningNumerics
@testable import TokenPruning

/// The budgets that authors publish, by name.
@Suite struct PublishedScheduleTests {
  private func input(_ count: Int, layers: [Int] = []) throws -> PruningInput {
    var numbers = TestNumbers(5)
    var tensors = ["attention": try floatTensor(numbers.floats(count).map { abs($0) }, [count])]
    for layer in layers {
      tensors["attention_layer_\(layer)"] = try floatTensor(numbers.floats(count).map { abs($0) }, [count])
    }
    return PruningInput(tokenCount: count, tensors: tensors, layout: nil)
  }

  @Test(
    "A name gives the published counts at the published layers",
    arguments: [
      ("sparsevlm", "192", [300, 200, 110]), ("sparsevlm", "128", [303, 110, 36]),
      ("sparsevlm", "96", [238, 48, 26]), ("sparsevlm", "64", [66, 30, 17]),
      ("sparsevlm_plus", "192", [300, 200, 118]), ("sparsevlm_plus", "128", [238, 108, 60]),
      ("sparsevlm_plus", "96", [246, 54, 28]), ("sparsevlm_plus", "64", [66, 34, 20]),
      ("pyramiddrop", "published", [288, 144, 72]),
    ])
  func counts(_ method: String, _ name: String, _ counts: [Int]) throws {
    let request = try PruneRequest(
      ["method": .string(method), "stages": .string(name), "model_dimensions": ["layers": 32]])
    let result = try prune(input(576), request)
    #expect(result.stages.map(\.kept.count) == counts)
    #expect(result.stages.map(\.layer) == (method == "pyramiddrop" ? [8, 16, 24] : [2, 6, 15]))
    #expect(result.kept.count == counts[2] && result.averageTokens != nil)
  }

  @Test("Shares are of the original number, each rounded down")
  func shares() throws {
    let request = PruneRequest(method: "pyramiddrop", schedule: "published")
    #expect(try prune(input(65), request).stages.map(\.kept.count) == [32, 16, 8])
    #expect(try prune(input(75), request).stages.map(\.kept.count) == [37, 18, 9])
  }

  @Test("A stage reads the attention of its layer where there is one")
  func attention() throws {
    let given = try input(576, layers: [2, 15])
    let request = try PruneRequest(method: "sparsevlm", schedule: "64").expandingSchedule(for: given)
    #expect(request.stages.map(\.attention) == ["attention_layer_2", "attention", "attention_layer_15"])
    let explicit = PruneRequest(
      method: "sparsevlm",
      stages: zip([2, 6, 15], [66, 30, 17]).map { layer, count in
        PruningStage(
          layer: layer, budget: .keepTokens(count),
          attention: layer == 6 ? "attention" : "attention_layer_\(layer)")
      })
    #expect(try prune(given, request) == prune(given, explicit))
  }

  @Test(
    "A schedule that there is not is refused where it is named",
    arguments: [
      ("sparsevlm", "200", 576, "no published schedule of sparsevlm; there are '192'"),
      ("sparsevlm", "192", 400, "published for 576 tokens, and there are 400"),
      ("topk", "192", 576, "topk has no published schedules"),
    ])
  func refused(_ method: String, _ name: String, _ count: Int, _ message: String) throws {
    let error = pruningError { _ = try prune(input(count), PruneRequest(method: method, schedule: name)) }
    #expect(
      error?.pointer == "/stages" && error?.message.contains(message) == true, "\(String(describing: error))")
  }

  @Test("A budget beside a schedule is refused, and a number names one too")
  func reading() throws {
    let both = pruningError { _ = try PruneRequest(["stages": "192", "keep_tokens": 4]) }
    #expect(both?.pointer == "/keep_tokens")
    #expect(try PruneRequest(["stages": 192]).schedule == "192")
  }

  @Test("An explanation tells the raters, as later stages are told them")
  func raters() throws {
    var numbers = TestNumbers(3)
    let (heads, words, tokens, width) = (2, 5, 16, 8)
    let tensors = [
      "attention": try floatTensor(
        numbers.floats(heads * words * tokens).map { abs($0) }, [heads, words, tokens]),
      "image_features": try floatTensor(numbers.floats(tokens * width), [tokens, width]),
      "text_features": try floatTensor(numbers.floats(words * width), [words, width]),
    ]
    for method in ["sparsevlm", "sparsevlm_plus"] {
      let request = PruneRequest(method: method, budget: .keepTokens(4), explain: true)
      let input = PruningInput(tokenCount: tokens, tensors: tensors, layout: nil)
      let result = try prune(input, request)
      let marks = try #require(result.explanation?.textRaters)
      #expect(marks.count == words && (1..<words).contains(marks.reduce(0, +)))
      let told = PruningInput(
        tokenCount: tokens,
        tensors: [
          "attention": try input.tensor("attention"),
          "text_raters": try floatTensor(marks.map { Float($0) }, [words]),
        ], layout: nil)
      #expect(try prune(told, request) == result)
    }
    #expect(
      try prune(makeInput(9), PruneRequest(method: "topk", budget: .keepTokens(2), explain: true))
        .explanation?.textRaters == nil)
  }
}
