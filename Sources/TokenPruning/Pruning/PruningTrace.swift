import Numerics
import VisionLayouts

/// One image on its way through the stages: what is left of it, and why.
struct PruningTrace {
  private(set) var input: PruningInput
  private(set) var request: PruneRequest
  let groups: BudgetGroups
  var selection: RegionSelection
  /// Of each group, ascending.
  private(set) var survivors: [[Int]]
  /// What the model still holds, separators included, ascending.
  private(set) var held: [Int]
  /// Separators that stay and are there.
  private let keptSeparators: [Int]
  /// What there was before the first step.
  private let initial: [Int]
  private var stages: [StageResult] = []
  private(set) var notes: [String] = []
  private var scores: [Double]?
  private var explanation: PruneExplanation?

  init(
    _ input: PruningInput, _ request: PruneRequest, method: any PruningMethod, scope: BudgetScope
  ) throws(PruningError) {
    self.input = input
    self.request = request
    groups = try BudgetGroups(
      tokenCount: input.tokenCount, layout: input.layout, scope: scope, newlines: request.newlines)
    let (policy, region) = try Self.effectivePolicy(of: request, input.tokenCount, groups, &notes)
    selection = RegionSelection(
      method: method, policy: policy, region: region, tokenCount: input.tokenCount)
    if let previous = input.previous {
      let isLeft = Set(previous)
      survivors = groups.groups.map { $0.filter(isLeft.contains) }
      held = previous
      keptSeparators = groups.keptSeparators.filter(isLeft.contains)
    } else {
      survivors = groups.groups
      keptSeparators = groups.keptSeparators
      let isWhole = groups.groups.count == 1 && groups.groups[0].count == input.tokenCount
      held = isWhole ? groups.groups[0] : Array(0..<input.tokenCount)
    }
    initial = held
    if request.explain {
      explanation = PruneExplanation(
        tokenCount: input.tokenCount, groups: groups,
        isInside: request.regionTokens == nil ? nil : selection.isInside, previous: input.previous)
    }
  }

  /// The same before its first step, for an input of the same shapes and perhaps a region that was found in it.
  func starting(on input: PruningInput, region: [Int]?) throws(PruningError) -> PruningTrace {
    var trace = self
    trace.input = input
    guard let region else { return trace }
    trace.request.regionTokens = region
    trace.notes = []
    let (policy, tokens) = try Self.effectivePolicy(of: trace.request, input.tokenCount, groups, &trace.notes)
    trace.selection = RegionSelection(
      method: selection.method, policy: policy, region: tokens, tokenCount: input.tokenCount)
    if request.explain {
      trace.explanation = PruneExplanation(
        tokenCount: input.tokenCount, groups: groups, isInside: trace.selection.isInside,
        previous: input.previous)
    }
    return trace
  }

  /// What the region comes to: a degenerate one leaves the choice to the scorer, and a note says so.
  private static func effectivePolicy(
    of request: PruneRequest, _ tokenCount: Int, _ groups: BudgetGroups, _ notes: inout [String]
  ) throws(PruningError) -> (RegionPolicy, [Int]) {
    guard let tokens = request.regionTokens else {
      if let policy = request.policy, policy != .none {
        notes.append("there is no region, so region_policy '\(policy.name)' has no effect")
      }
      return (.none, [])
    }
    guard tokens.allSatisfy({ (0..<tokenCount).contains($0) }) else {
      throw PruningError(at: "/region", "the region has tokens outside 0..<\(tokenCount)")
    }
    let policy = request.policy ?? .first
    let region = groups.candidates(among: tokens, tokenCount: tokenCount)
    if policy == .none { return (.none, region) }
    if region.isEmpty || region.count == groups.candidateCount {
      notes.append(
        "the region holds \(region.isEmpty ? "no token" : "every token"), so tokens are chosen by score alone"
      )
      return (.none, region)
    }
    return (policy, region)
  }

  /// - Parameter largestPeer: see ``PruneRequest/largestPeer``.
  func quotas(largestPeer: Int? = nil) throws(PruningError) -> Quotas {
    var request = request
    request.largestPeer = [request.largestPeer, largestPeer].compactMap { $0 }.max()
    let quotas = try Quotas(request, sizes: groups.sizes, name: groups.name)
    try checkFirst(quotas)
    return quotas
  }

  /// One step: explains it where that is asked for, chooses, and takes note.
  mutating func keep(at step: Quotas.Step, _ stageInput: PruningInput) throws(PruningError) {
    try explain(stageInput)
    record(try selection.keep(step.counts, of: survivors, stageInput), at: step)
  }

  /// The input as the step sees it.
  func input(for step: Quotas.Step) throws(PruningError) -> PruningInput {
    guard let stage = step.stage else { return input }
    return try input.attending(by: stage, number: step.number, over: held)
  }

  /// Scores and ranks of the first step, where they are asked for.
  ///
  /// - Parameter ranks: where tokens rank among those of several images; found here when nil.
  mutating func explain(_ stageInput: PruningInput, ranks: [Int?]? = nil) throws(PruningError) {
    guard request.explain, stages.isEmpty else { return }
    scores = try selection.scores(of: stageInput)
    let raters = try selection.textRaters(of: stageInput)
    explanation?.textRaters = raters
    if let ranks {
      explanation?.ranks = ranks
    } else if let effective = try selection.effectiveScores(of: stageInput) {
      let found = PruneExplanation.ranks(by: effective, in: survivors, of: input.tokenCount)
      explanation?.ranks = found
    }
  }

  /// Takes note of what a step kept of each group.
  mutating func record(_ kept: [[Int]], at step: Quotas.Step) {
    let (before, choice) = (survivors, selection)
    explanation?.record(kept, of: before, step, choice)
    let previous = held
    held =
      kept.count == 1 && keptSeparators.isEmpty
      ? kept[0] : (kept.joined() + keptSeparators).sorted()
    survivors = kept
    if let stage = step.stage {
      stages.append(
        StageResult(layer: stage.layer, kept: held, keptWithinPrevious: positions(of: held, in: previous)))
    }
  }

  func result(notes more: [String], decidedBy: String? = nil, reason: String? = nil) -> PruneResult {
    let schedule = Schedule(
      stages.map { ($0.layer, $0.kept.count) }, tokenCount: input.tokenCount, plain: held.count)
    let newlines = input.layout.map { layout in
      layout.separators.isEmpty ? nil : held.count { layout.position(of: $0) == nil }
    }
    return PruneResult(
      tokenCount: input.tokenCount, kept: held, decidedBy: decidedBy ?? selection.decidedBy,
      reason: reason ?? selection.reason,
      policy: selection.policy, stages: stages,
      averageTokens: stages.isEmpty ? Double(held.count) : request.layerCount.map(schedule.average),
      notes: notes + more + selection.notes, scores: scores, explanation: explanation,
      keptNewlines: newlines ?? nil,
      keptWithinPrevious: input.previous.map { _ in positions(of: held, in: initial) },
      previousCount: input.previous?.count)
  }
}

/// Positions of the ascending `kept` within the ascending `survivors`.
private func positions(of kept: [Int], in survivors: [Int]) -> [Int] {
  var positions: [Int] = []
  positions.reserveCapacity(kept.count)
  var next = 0
  for (position, token) in survivors.enumerated() where next < kept.count && kept[next] == token {
    positions.append(position)
    next += 1
  }
  return positions
}
