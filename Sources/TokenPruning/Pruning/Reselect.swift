public import PruningNumerics
import Tensors
import VisionLayouts

/// Moves a selection to where the language model looks now, while it decodes.
///
/// What matters in an image changes as an answer is written (Kim et al., "Why and When Visual Token Pruning Fails?",
/// arXiv 2604.12358). Given the kept tokens, what the prefill thought of all of them and a new row of attention, this
/// finds the kept tokens to give up and the pruned ones to take back. The number kept is the same in every group that
/// shares a budget.
///
/// With a the new attention and p the prefill, each divided by its sum over the group, a token's score is
/// (1 - w) a + w p. A rank r of the prefill counts as 1 / r. Attention over the kept tokens alone says nothing of the
/// others: these then have a = p, and the row is scaled so that the kept tokens together have their part of p. The
/// best pruned token is paired with the weakest kept one, the second best with the second weakest, and so on; a pair
/// is swapped where the pruned token's score is more than (1 + margin) times the other's. Separators never move.
///
/// *Deviations*: the paper detects a shift from hidden states inside the model and swaps by its own schedule; here
/// the caller decides when to ask, and margin and limit say how readily tokens move.
/// - Precondition: `input.previous` are the kept tokens.
/// - Throws: at `attention` or the tensor of the prefill where they are absent, negative or of another shape, at
///   `/prefill_weight` where there is no prefill.
/// - Complexity: O(N log N) at most.
public func reselect(
  _ input: PruningInput, _ request: ReselectRequest
) throws(PruningError) -> ReselectResult {
  guard let kept = input.previous else {
    throw PruningError(
      at: "/previous", "is missing; the tokens that are kept now are needed, or already_dropped")
  }
  let groups = try ReselectionGroups(input, request.scope, kept)
  let scores = try ReselectionScores(input, request, kept).combined(groups)
  var pairs: [ReselectResult.Swap] = []
  var tooClose = 0
  for group in groups.groups {
    let count = min(group.kept.count, group.pruned.count)
    let weakest = Ranking.highest(group.kept.count, of: scores, among: group.kept).reversed()
    let best = Ranking.highest(count, of: scores, among: group.pruned)
    for (incoming, outgoing) in zip(best, weakest) {
      let pair = ReselectResult.Swap(
        out: outgoing, in: incoming, outScore: scores[outgoing], inScore: scores[incoming])
      guard pair.gain > 0 else { break }
      if pair.inScore > (1 + request.margin) * pair.outScore { pairs.append(pair) } else { tooClose += 1 }
    }
  }
  pairs.sort { $0.gain != $1.gain ? $0.gain > $1.gain : $0.in < $1.in }
  let swaps = Array(pairs.prefix(request.maximumSwaps ?? pairs.count))
  return ReselectResult(
    tokenCount: input.tokenCount, kept: replaced(kept, by: swaps, of: input.tokenCount), swaps: swaps,
    stop: stop(groups, swaps: swaps.count, passed: pairs.count, tooClose: tooClose),
    keptShare: groups.share(of: scores, swaps), scores: request.explain ? scores : nil)
}

private func replaced(_ kept: [Int], by swaps: [ReselectResult.Swap], of tokenCount: Int) -> [Int] {
  guard !swaps.isEmpty else { return kept }
  let out = Set(swaps.map(\.out))
  return Ranking.ascending(kept.filter { !out.contains($0) } + swaps.map(\.in), below: tokenCount)
}

private func stop(
  _ groups: ReselectionGroups, swaps: Int, passed: Int, tooClose: Int
) -> ReselectResult.Stop {
  if groups.swappable == 0 { return .nothingToSwap }
  if swaps < passed { return .limit(pairs: passed - swaps) }
  if tooClose > 0 { return .margin(pairs: tooClose) }
  return passed == groups.swappable ? .allSwapped : .bestKept
}

/// The tokens whose count stays the same, kept and pruned ones apart; each ascending.
private struct ReselectionGroups {
  struct Group {
    var kept: [Int] = []
    var pruned: [Int] = []
  }

  private(set) var groups: [Group]
  /// How many pairs there are at most.
  var swappable: Int { groups.reduce(0) { $0 + min($1.kept.count, $1.pruned.count) } }

  init(_ input: PruningInput, _ scope: BudgetScope, _ kept: [Int]) throws(PruningError) {
    let layout = input.layout
    let owners = layout?.viewOfEachToken()
    if scope == .tile, owners == nil, input.tokenCount > 0 {
      throw PruningError(at: "/budget_scope", "'tile' keeps the count of each view, which needs a layout")
    }
    var group = [Int](repeating: 0, count: input.tokenCount)
    if let layout, let owners, scope != .request {
      group = owners.map { scope == .tile ? $0 : layout.views[$0].image }
    }
    for token in layout?.separators ?? [] { group[token] = -1 }
    groups = Array(repeating: Group(), count: (group.max() ?? 0) + 1)
    var isKept = [Bool](repeating: false, count: input.tokenCount)
    for token in kept { isKept[token] = true }
    for (token, index) in group.enumerated() where index >= 0 {
      if isKept[token] { groups[index].kept.append(token) } else { groups[index].pruned.append(token) }
    }
  }

  func share(of scores: [Double], _ swaps: [ReselectResult.Swap]) -> ReselectResult.Share {
    var total = 0.0
    var held = 0.0
    for group in groups {
      let own = group.kept.reduce(0) { $0 + scores[$1] }
      held += own
      total += group.pruned.reduce(own) { $0 + scores[$1] }
    }
    guard total > 0 else { return ReselectResult.Share(before: 0, after: 0) }
    return ReselectResult.Share(before: held / total, after: swaps.reduce(held) { $0 + $1.gain } / total)
  }
}

/// The new attention and the prefill, as they were sent.
private struct ReselectionScores {
  private let attention: [Double]
  /// Whether the attention is over the kept tokens alone.
  private let isOfKept: Bool
  private let prefill: [Double]?
  private let weight: Double

  init(_ input: PruningInput, _ request: ReselectRequest, _ kept: [Int]) throws(PruningError) {
    let row = try input.attentionScores(counts: [input.tokenCount, kept.count])
    try Self.refuseNegative(row, at: "attention")
    isOfKept = row.count != input.tokenCount
    prefill = try Self.prefill(of: input)
    if prefill == nil {
      if isOfKept {
        throw PruningError(
          at: "attention",
          "covers only the \(kept.count) kept tokens, so the others have no score; send prefill_scores or "
            + "prefill_rank, or attention over all \(input.tokenCount) tokens")
      }
      if request.prefillWeight ?? 0 > 0 {
        throw PruningError(at: "/prefill_weight", "has no effect without prefill_scores or prefill_rank")
      }
    }
    weight = prefill == nil ? 0 : request.prefillWeight ?? ReselectRequest.defaultPrefillWeight
    var attention = row
    if isOfKept {
      attention = [Double](repeating: 0, count: input.tokenCount)
      for (token, value) in zip(kept, row) { attention[token] = value }
    }
    self.attention = attention
  }

  /// What the prefill thought of each token [N]; nil where the request has neither tensor.
  private static func prefill(of input: PruningInput) throws(PruningError) -> [Double]? {
    if input.tensors["prefill_scores"] != nil {
      guard input.tensors["prefill_rank"] == nil else {
        throw PruningError(at: "prefill_rank", "is given together with prefill_scores; send only one of them")
      }
      let scores = try input.attentionScores(named: "prefill_scores")
      try refuseNegative(scores, at: "prefill_scores")
      return scores
    }
    guard input.tensors["prefill_rank"] != nil else { return nil }
    let ranks = try input.attentionScores(named: "prefill_rank")
    if let token = ranks.firstIndex(where: { $0 < 0 || $0 != $0.rounded() }) {
      throw PruningError(
        at: "prefill_rank",
        "is \(ranks[token]) at token \(token); ranks are whole numbers from 1, the best, or 0 for a token without one"
      )
    }
    if let best = ranks.firstIndex(of: 0), input.layout?.separators.contains(best) != true,
      countFromZero(ranks)
    {
      throw PruningError(
        at: "prefill_rank",
        "counts from 0: it has each of 0 to \(ranks.count - 1) once. Ranks count from 1, the best, and 0 is for a token "
          + "without one; add 1 to each rank, or, if only token \(best) has none, send prefill_scores")
    }
    return ranks.map { $0 == 0 ? 0 : 1 / $0 }
  }

  /// Whether the ranks are 0 to N - 1, each once, as sorting twice makes them: the 0 may be the best token's.
  private static func countFromZero(_ ranks: [Double]) -> Bool {
    guard ranks.count > 1 else { return false }
    var isThere = [Bool](repeating: false, count: ranks.count)
    for rank in ranks {
      guard rank < Double(ranks.count), !isThere[Int(rank)] else { return false }
      isThere[Int(rank)] = true
    }
    return true
  }

  private static func refuseNegative(_ row: [Double], at name: String) throws(PruningError) {
    if let token = row.firstIndex(where: { $0 < 0 }) {
      throw PruningError(
        at: name, "is negative at place \(token) (\(row[token])); send attention after the softmax")
    }
  }

  /// One score per token [N]; those of a group sum to 1, or are all 0.
  func combined(_ groups: ReselectionGroups) -> [Double] {
    var scores = [Double](repeating: 0, count: attention.count)
    for group in groups.groups {
      let members = group.kept + group.pruned
      let prior = prefill.map { Self.shares(of: $0, among: members) }
      if isOfKept, let prior {
        let own = Self.shares(of: attention, among: group.kept)
        let mass = prior.prefix(group.kept.count).reduce(0, +)
        for (slot, token) in members.enumerated() {
          let now = slot < group.kept.count ? mass * own[slot] : prior[slot]
          scores[token] = (1 - weight) * now + weight * prior[slot]
        }
        continue
      }
      let now = Self.shares(of: attention, among: members)
      for (slot, token) in members.enumerated() {
        scores[token] = (1 - weight) * now[slot] + weight * (prior?[slot] ?? 0)
      }
    }
    return scores
  }

  /// The values of some tokens divided by their sum; zeros where the sum is 0.
  private static func shares(of values: [Double], among tokens: [Int]) -> [Double] {
    // By the largest first, so that no sum of finite values overflows.
    let largest = tokens.reduce(0) { max($0, values[$1]) }
    guard largest > 0 else { return Array(repeating: 0, count: tokens.count) }
    let scaled = tokens.map { values[$0] / largest }
    let sum = scaled.reduce(0, +)
    return scaled.map { $0 / sum }
  }
}
