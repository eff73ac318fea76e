import JSON
import LearnedNetworks
import PruningNumerics
import TokenPruning

/// `/reselect`: which kept tokens to give up for which pruned ones, while the language model decodes.
enum ReselectOperation {
  static let parameterNames = ReselectRequest.parameterNames + ["previous", "renumber", "bookkeeping"]
}

/// What `/reselect` is asked of one image.
struct ReselectTask: PreparedTask {
  private let request: ReselectRequest
  private let positions: PositionMembers
  private let bookkeeping: Bookkeeping?
  let answerBytes: Int
  let cost: ComputeCost
  let otherNumbers: Int

  init(_ image: ImageRequest, _ input: PruningInput) throws(PruningError) {
    request = try ReselectRequest(image.parameters)
    positions = try PositionMembers(image, input)
    bookkeeping = try Bookkeeping(image.parameters, image.layout)
    otherNumbers = bookkeeping?.numberCount ?? 0
    // Swaps are listed twice, as indices and with their scores; positions have up to three numbers.
    answerBytes = image.answerBytes(
      listsPerToken: 8 + (request.explain ? 1 : 0) + (positions.areAnswered ? 3 : 0),
      otherNumbers: otherNumbers)
    cost = ComputeCost(input, .none) + ComputeCost(listing: otherNumbers)
  }

  func run(
    on input: PruningInput, _: ModelSet, shared: inout JSONObject
  ) throws(PruningError) -> Answer.Sample {
    let result = try reselect(input, request)
    var members: JSONObject = [
      "swap_count": .integer(result.swaps.count),
      "swaps": .array(result.swaps.map(\.json)),
      "reason": .string(result.reason(request)),
      "kept_share": [
        "before": .number(result.keptShare.before), "after": .number(result.keptShare.after),
      ],
      "pruned_count": .integer(result.tokenCount - result.kept.count),
    ]
    members.append(BudgetEcho(kept: result.kept.count, total: result.tokenCount).members)
    members.append(try positions.members(input, kept: result.kept, rows: result.kept.count))
    if let bookkeeping {
      members["bookkeeping"] = .object(try bookkeeping.members(keeping: result.kept, input))
    }
    if let scores = result.scores { members["scores"] = .array(scores.map { .number($0) }) }
    var sample = Answer.Sample(
      members: members,
      indices: [
        ("kept_indices", result.kept), ("swapped_out", result.swaps.map(\.out)),
        ("swapped_in", result.swaps.map(\.in)),
      ],
      tokenCount: result.tokenCount, keptCount: result.kept.count)
    sample.scene = Scene(input.image)
    return sample
  }
}

extension ReselectResult.Swap {
  fileprivate var json: JSONValue {
    [
      "out": .integer(out), "in": .integer(self.in), "out_score": .number(outScore),
      "in_score": .number(inScore),
    ]
  }
}

extension ReselectResult {
  /// Why these swaps and no more, in one sentence.
  fileprivate func reason(_ request: ReselectRequest) -> String {
    let done = swaps.isEmpty ? "Nothing is swapped" : "Swapped \(swaps.count) of \(kept.count) kept tokens"
    switch stop {
    case .nothingToSwap: return done + ": every token is kept, or none."
    case .bestKept:
      return done + ": no further pruned token scores higher than the kept one it would replace."
    case .margin(let pairs):
      return done
        + ": \(pairs) more pruned tokens score higher than the kept ones they would replace, but not by"
        + " more than the swap_margin of \(request.margin)."
    case .limit(let pairs):
      return done + ", all that max_swaps allows; \(pairs) more pairs exceed the swap_margin."
    case .allSwapped: return done + ": every pair exceeds the swap_margin."
    }
  }
}
