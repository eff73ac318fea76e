import JSON
import Tensors
import Testing

@testable import PruningNumerics
@testable import TokenPruning
@testable import VisionLayouts

@Suite("A selection moves to where the model looks while it decodes")
struct ReselectTests {
  /// Kept tokens, attention over all N, and the prefill.
  private struct Case {
    let count: Int
    let kept: [Int]
    var tensors: [String: Tensor]
    var layout: TokenLayout?

    var input: PruningInput {
      PruningInput(tokenCount: count, tensors: tensors, layout: layout, previous: kept)
    }
  }

  private func makeCase(
    _ seed: UInt64, count: Int = 60, prefill: String? = "prefill_scores", layout: TokenLayout? = nil
  ) throws -> Case {
    var numbers = TestNumbers(seed)
    let kept = (0..<count).filter { _ in numbers.below(3) == 0 }
    var tensors = [
      "attention": try floatTensor(numbers.floats(count).map { abs($0) }, [count])
    ]
    switch prefill {
    case "prefill_scores":
      tensors["prefill_scores"] = try floatTensor(numbers.floats(count).map { abs($0) }, [count])
    case "prefill_rank":
      var ranks = Array(1...count)
      for index in ranks.indices.reversed() { ranks.swapAt(index, numbers.below(index + 1)) }
      tensors["prefill_rank"] = try floatTensor(ranks.map { Float($0) }, [count])
    default: break
    }
    return Case(count: count, kept: kept, tensors: tensors, layout: layout)
  }

  /// The rule in the plainest words: while some pair passes, swap the best pruned for the weakest kept.
  private func reference(_ kept: [Int], _ scores: [Double], _ groups: [[Int]], margin: Double) -> [Int] {
    var isKept = Set(kept)
    var settled: Set<Int> = []
    for group in groups {
      while true {
        let pruned = group.filter { !isKept.contains($0) && !settled.contains($0) }
        let held = group.filter { isKept.contains($0) && !settled.contains($0) }
        guard let best = pruned.max(by: { scores[$0] < scores[$1] || (scores[$0] == scores[$1] && $0 > $1) }),
          let weakest = held.min(by: { scores[$0] < scores[$1] || (scores[$0] == scores[$1] && $0 > $1) }),
          scores[best] > scores[weakest], scores[best] > (1 + margin) * scores[weakest]
        else { break }
        isKept.remove(weakest)
        isKept.insert(best)
        settled.formUnion([best, weakest])
      }
    }
    return isKept.sorted()
  }

  @Test("the swaps are those of the plain rule", arguments: 1...40)
  func plainRule(_ seed: Int) throws {
    let prefill = ["prefill_scores", "prefill_rank", nil][seed % 3]
    let layout =
      seed % 2 == 0
      ? try TokenLayout(["type": "internvl", "tiles": [2, 1], "tokens_per_side": 4], tokenCount: nil) : nil
    let test = try makeCase(
      UInt64(seed), count: layout?.tokenCount ?? 60, prefill: prefill, layout: layout)
    for scope in layout == nil ? [BudgetScope.image, .request] : BudgetScope.allCases {
      for margin in [0, 0.1, 1] {
        let result = try reselect(
          test.input, ReselectRequest(margin: margin, scope: scope, explain: true))
        let owners = scope == .tile ? layout?.viewOfEachToken() : nil
        let groups =
          owners.map { owners in
            Set(owners).sorted().map { view in owners.indices.filter { owners[$0] == view } }
          } ?? [Array(0..<test.count)]
        let scores = try #require(result.scores)
        for group in groups {
          #expect(group.count { result.kept.contains($0) } == group.count { test.kept.contains($0) })
          #expect(abs(group.reduce(0) { $0 + scores[$1] } - 1) < 1e-12)
        }
        #expect(result.kept == reference(test.kept, scores, groups, margin: margin))
        #expect(result.kept.isStrictlyAscending)
        #expect(result.keptShare.after >= result.keptShare.before)
        #expect(result.swaps.allSatisfy { test.kept.contains($0.out) && !test.kept.contains($0.in) })
        #expect(zip(result.swaps, result.swaps.dropFirst()).allSatisfy { $0.gain >= $1.gain })
      }
    }
  }

  @Test("asked again, it swaps nothing: tokens do not move back and forth", arguments: 1...20)
  func settles(_ seed: UInt64) throws {
    let test = try makeCase(seed)
    let first = try reselect(test.input, ReselectRequest())
    let again = Case(count: test.count, kept: first.kept, tensors: test.tensors)
    #expect(try reselect(again.input, ReselectRequest()).swaps.isEmpty)
  }

  @Test("a limit takes the largest gains first, and a wider margin swaps a part of what a narrower one does")
  func limitAndMargin() throws {
    let test = try makeCase(3)
    let all = try reselect(test.input, ReselectRequest(margin: 0))
    #expect(all.swaps.count > 5)
    for limit in [0, 1, 4] {
      let some = try reselect(test.input, ReselectRequest(maximumSwaps: limit, margin: 0))
      #expect(some.swaps == Array(all.swaps.prefix(limit)))
      #expect(some.stop == .limit(pairs: all.swaps.count - limit))
    }
    var last = all.swaps.count
    for margin in [0.5, 2, 10, 1_000_000] {
      let fewer = try reselect(test.input, ReselectRequest(margin: margin))
      #expect(fewer.swaps.count <= last && fewer.swaps.allSatisfy(all.swaps.contains))
      last = fewer.swaps.count
    }
  }

  @Test("scaling attention or prefill changes nothing; all of either weight follows that one alone")
  func scale() throws {
    let test = try makeCase(4)
    let wanted = try reselect(test.input, ReselectRequest())
    for name in ["attention", "prefill_scores"] {
      var scaled = test
      let values = try #require(test.tensors[name]).floats().map { $0 * 0x1p100 }
      scaled.tensors[name] = try floatTensor(values, [test.count])
      #expect(try reselect(scaled.input, ReselectRequest()).swaps.map(\.in) == wanted.swaps.map(\.in))
    }
    for (weight, name) in [(0.0, "attention"), (1.0, "prefill_scores")] {
      let own = try reselect(
        test.input, ReselectRequest(margin: 0, prefillWeight: weight))
      let values = try #require(test.tensors[name]).floats().map { Double($0) }
      #expect(own.kept == Ranking.highestAscending(test.kept.count, of: values, among: Array(0..<test.count)))
    }
  }

  @Test("attention over the kept tokens alone leaves the others at the prefill's score")
  func attentionOfKept() throws {
    // The prefill ranks 0, 1, 2, 3; of the kept 0 and 1 the model no longer looks at 1.
    let input = PruningInput(
      tokenCount: 4,
      tensors: [
        "attention": try floatTensor([1, 0], [2]), "prefill_rank": try floatTensor([1, 2, 3, 4], [4]),
      ], layout: nil, previous: [0, 1])
    let result = try reselect(input, ReselectRequest(prefillWeight: 0, explain: true))
    #expect(result.kept == [0, 2])
    let sum = 1 + 1.0 / 2 + 1.0 / 3 + 1.0 / 4
    let wanted = [1.5 / sum, 0, 1 / 3 / sum, 1 / 4 / sum]
    for (found, wanted) in zip(try #require(result.scores), wanted) { #expect(abs(found - wanted) < 1e-15) }
  }

  @Test("newline tokens never move, and each image keeps its count")
  func separators() throws {
    let layout = try TokenLayout(
      ["type": "llava_next", "image_size": [700, 400]], tokenCount: nil)
    #expect(!layout.separators.isEmpty)
    let kept = (0..<layout.tokenCount).filter { $0 % 7 == 0 }
    let wanted = layout.separators.filter { $0 % 7 == 0 }
    var numbers = TestNumbers(9)
    let attention = numbers.floats(layout.tokenCount).map { abs($0) }
    let input = PruningInput(
      tokenCount: layout.tokenCount,
      tensors: ["attention": try floatTensor(attention, [layout.tokenCount])], layout: layout, previous: kept)
    for scope in BudgetScope.allCases {
      let result = try reselect(input, ReselectRequest(margin: 0, scope: scope))
      #expect(result.kept.filter { layout.separators.contains($0) } == wanted)
      #expect(result.kept.count == kept.count && !result.swaps.isEmpty)
    }
  }

  @Test("ties: the lower index stays and the lower index comes in")
  func ties() throws {
    let input = PruningInput(
      tokenCount: 6, tensors: ["attention": try floatTensor([1, 1, 1, 9, 9, 9], [6])], layout: nil,
      previous: [0, 1, 2])
    let result = try reselect(input, ReselectRequest(maximumSwaps: 2))
    #expect(result.swaps.map(\.out) == [2, 1] && result.swaps.map(\.in) == [3, 4])
    #expect(try reselect(input, ReselectRequest()).stop == .allSwapped)
  }

  @Test("ranks that count from 0 are refused, since 0 is for a token without a rank")
  func ranksFromZero() throws {
    func error(_ ranks: [Float], _ layout: TokenLayout? = nil) throws -> PruningError? {
      let attention = try floatTensor(ranks.map { _ in 1 }, [ranks.count])
      let tensors = ["attention": attention, "prefill_rank": try floatTensor(ranks, [ranks.count])]
      let input = PruningInput(
        tokenCount: ranks.count, tensors: tensors, layout: layout, previous: [0, 1])
      return pruningError { _ = try reselect(input, ReselectRequest()) }
    }
    for ranks: [Float] in [[0, 1, 2, 3], [2, 0, 3, 1], [1, 0]] {
      let error = try error(ranks)
      #expect(error?.pointer == "prefill_rank")
      #expect(error?.message.contains("add 1 to each rank") == true)
    }
    // Ranks of several groups, of fewer tokens, from 1, or none at all.
    for ranks: [Float] in [[1, 2, 1, 2], [0, 0, 1, 2], [0, 2, 3, 4], [4, 3, 2, 1], [0, 0, 0, 0]] {
      #expect(try error(ranks) == nil)
    }
    // The one row's break has no rank where breaks are dropped.
    let row = try TokenLayout(["type": "pixtral", "image_size": [48, 16], "breaks": true], tokenCount: nil)
    #expect(row.separators == [3])
    #expect(try error([2, 1, 3, 0], row) == nil)
    #expect(try error([2, 0, 3, 1], row)?.pointer == "prefill_rank")
  }

  @Test("hostile inputs are answered or refused by name")
  func hostile() throws {
    func row(_ values: [Float]) throws -> Tensor { try floatTensor(values, [values.count]) }
    func error(_ tensors: [String: Tensor], _ kept: [Int]? = [0, 1], _ request: ReselectRequest = .init())
      -> String?
    {
      pruningError {
        _ = try reselect(
          PruningInput(tokenCount: 4, tensors: tensors, layout: nil, previous: kept), request)
      }?.pointer
    }
    let good = try row([1, 2, 3, 4])
    #expect(error(["attention": good]) == nil)
    #expect(error(["attention": good], nil) == "/previous")
    #expect(error([:]) == "attention")
    #expect(error(["attention": try row([1, 2, 3])]) == "attention")
    #expect(error(["attention": try row([1, 2])]) == "attention")
    #expect(error(["attention": try row([1, -2, 3, 4])]) == "attention")
    #expect(error(["attention": try row([1, .nan, 3, 4])]) == "attention")
    #expect(error(["attention": try row([1, .infinity, 3, 4])]) == "attention")
    #expect(error(["attention": good, "prefill_scores": try row([1, 2])]) == "prefill_scores")
    #expect(error(["attention": good, "prefill_scores": try row([1, 2, -1, 0])]) == "prefill_scores")
    #expect(error(["attention": good, "prefill_rank": try row([1, 2, 2.5, 0])]) == "prefill_rank")
    #expect(error(["attention": good, "prefill_rank": good, "prefill_scores": good]) == "prefill_rank")
    #expect(error(["attention": good], [0], ReselectRequest(prefillWeight: 0.5)) == "/prefill_weight")
    #expect(error(["attention": good], [0], ReselectRequest(scope: .tile)) == "/budget_scope")
    // Zeros say nothing, the largest numbers do not overflow, and none or all kept leaves nothing to do.
    for (values, kept): ([Float], [Int]) in [
      ([0, 0, 0, 0], [0, 1]), ([1, 2, 3, 4], []), ([1, 2, 3, 4], [0, 1, 2, 3]),
    ] {
      let result = try reselect(
        PruningInput(tokenCount: 4, tensors: ["attention": row(values)], layout: nil, previous: kept),
        ReselectRequest())
      #expect(result.kept == kept && result.swaps.isEmpty)
    }
    let largest = Float.greatestFiniteMagnitude
    let result = try reselect(
      PruningInput(
        tokenCount: 4, tensors: ["attention": row([0, largest, largest, largest])], layout: nil,
        previous: [0, 1]), ReselectRequest())
    #expect(result.kept == [1, 2])
  }
}
