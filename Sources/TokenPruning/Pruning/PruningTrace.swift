import PruningNumerics
import VisionLayouts

/// One image on its way through the stages: what is left of it, and why.
struct PruningTrace {
  /// What holds for all images of the same shapes, layout and request, held by reference: a run begins with a copy of a trace.
  private final class Start: Sendable {
    let request: PruneRequest
    let groups: BudgetGroups
    /// Of each group, ascending.
    let survivors: [[Int]]
    /// What there is before the first step, separators included, ascending.
    let held: [Int]
    /// Separators that stay and are there.
    let keptSeparators: [Int]

    init(_ input: PruningInput, _ request: PruneRequest, _ groups: BudgetGroups) {
      self.request = request
      self.groups = groups
      guard let previous = input.previous else {
        survivors = groups.groups
        keptSeparators = groups.keptSeparators
        let isWhole = groups.groups.count == 1 && groups.groups[0].count == input.tokenCount
        held = isWhole ? groups.groups[0] : Array(0..<input.tokenCount)
        return
      }
      let isLeft = Set(previous)
      survivors = groups.groups.map { $0.filter(isLeft.contains) }
      held = previous
      keptSeparators = groups.keptSeparators.filter(isLeft.contains)
    }
  }

  private(set) var input: PruningInput
  private let start: Start
  var selection: RegionSelection
  /// Of each group, ascending.
  private(set) var survivors: [[Int]]
  /// What the model still holds, separators included, ascending.
  private(set) var held: [Int]
  private var stages: [StageResult] = []
  private(set) var notes: [String] = []
  private var scores: [Double]?
  private var explanation: PruneExplanation?

  /// Its region is that of the image that this was first made for.
  var request: PruneRequest { start.request }
  var groups: BudgetGroups { start.groups }
  /// Separators that stay and are there.
  var keptSeparators: [Int] { start.keptSeparators }

  init(
    _ input: PruningInput, _ request: PruneRequest, method: any PruningMethod, scope: BudgetScope
  ) throws(PruningError) {
    let groups = try BudgetGroups(
      tokenCount: input.tokenCount, layout: input.layout, scope: scope, newlines: request.newlines)
    let (policy, region) = try Self.effectivePolicy(
      request, request.regionTokens, input.tokenCount, groups, &notes)
    self.input = input
    start = Start(input, request, groups)
    selection = RegionSelection(method: method, policy: policy, region: region, tokenCount: input.tokenCount)
    survivors = start.survivors
    held = start.held
    if request.explain {
      explanation = PruneExplanation(
        tokenCount: input.tokenCount, groups: groups,
        isInside: request.regionTokens == nil ? nil : selection.isInside, previous: input.previous)
    }
  }

  /// The same before its first step, for an input of the same shapes and perhaps a region that was found in it.
  func starting(on input: PruningInput, region: [Int]?) throws(PruningError) -> PruningTrace {
    guard let region else { return PruningTrace(start, input, selection, notes, explanation) }
    var notes: [String] = []
    let (policy, tokens) = try Self.effectivePolicy(
      start.request, region, input.tokenCount, start.groups, &notes)
    let selection = RegionSelection(
      method: selection.method, policy: policy, region: tokens, tokenCount: input.tokenCount)
    let explanation =
      start.request.explain
      ? PruneExplanation(
        tokenCount: input.tokenCount, groups: start.groups, isInside: selection.isInside,
        previous: input.previous) : nil
    return PruningTrace(start, input, selection, notes, explanation)
  }

  private init(
    _ start: Start, _ input: PruningInput, _ selection: RegionSelection, _ notes: [String],
    _ explanation: PruneExplanation?
  ) {
    self.start = start
    self.input = input
    self.selection = selection
    self.notes = notes
    self.explanation = explanation
    survivors = start.survivors
    held = start.held
  }

  /// What the region comes to: a degenerate one leaves the choice to the scorer, and a note says so.
  ///
  /// - Parameter tokens: those of the region; nil where there is none.
  private static func effectivePolicy(
    _ request: PruneRequest, _ tokens: [Int]?, _ tokenCount: Int, _ groups: BudgetGroups,
    _ notes: inout [String]
  ) throws(PruningError) -> (RegionPolicy, [Int]) {
    guard let tokens else {
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
    try quotas.checkFirst(request, left: survivors.map(\.count))
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
    guard start.request.explain, stages.isEmpty else { return }
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
    if explanation != nil {
      let (before, choice) = (survivors, selection)
      explanation?.record(kept, of: before, step, choice)
    }
    let previous = held
    held =
      kept.count == 1 && start.keptSeparators.isEmpty
      ? kept[0] : (kept.joined() + start.keptSeparators).sorted()
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
      averageTokens: stages.isEmpty ? Double(held.count) : start.request.layerCount.map(schedule.average),
      notes: notes + more + selection.notes, scores: scores, explanation: explanation,
      keptNewlines: newlines ?? nil,
      keptWithinPrevious: input.previous.map { _ in positions(of: held, in: start.held) },
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
