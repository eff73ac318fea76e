/// Chooses the visual tokens to keep: inner-LLM pruning of CROP, and every other method behind the same call.
///
/// - Throws: ``PruningError`` at the tensor or request member that is wrong.
/// - Complexity: that of the method, once per stage.
public func prune(
  _ input: PruningInput, _ request: PruneRequest, registry: MethodRegistry = .standard
) throws(PruningError) -> PruneResult {
  var notes: [String] = []
  let method = try registry.make(request.method, request.methodParameters)
  let (policy, region) = try effectivePolicy(of: request, tokenCount: input.tokenCount, &notes)
  var selection = RegionSelection(
    method: method, policy: policy, region: region, tokenCount: input.tokenCount)

  guard !request.stages.isEmpty else {
    guard let budget = request.budget else {
      throw PruningError(at: "/keep_tokens", "no budget is given, and no stages")
    }
    let count = try budget.resolve(total: input.tokenCount)
    let kept = try selection.keep(count, of: Array(0..<input.tokenCount), input)
    return PruneResult(
      tokenCount: input.tokenCount, kept: kept, decidedBy: selection.decidedBy, policy: policy, stages: [],
      averageTokens: Double(kept.count), notes: notes + selection.notes,
      scores: request.explain ? try selection.scores(of: input) : nil)
  }

  let counts = try stageCounts(request, tokenCount: input.tokenCount)
  var stages: [StageResult] = []
  var survivors = Array(0..<input.tokenCount)
  var scores: [Double]?
  let share = input.dividingSteps(among: request.stages.count)
  for (index, stage) in request.stages.enumerated() {
    let stageInput = try share.attending(by: stage, number: index, over: survivors)
    // A region smaller than the budget (`only`) may have left fewer than this stage may keep.
    let kept = try selection.keep(min(counts[index], survivors.count), of: survivors, stageInput)
    if index == 0, request.explain { scores = try selection.scores(of: stageInput) }
    stages.append(
      StageResult(layer: stage.layer, kept: kept, keptWithinPrevious: positions(of: kept, in: survivors)))
    survivors = kept
  }
  let schedule = Schedule(
    stages.map { ($0.layer, $0.kept.count) }, tokenCount: input.tokenCount, plain: survivors.count)
  return PruneResult(
    tokenCount: input.tokenCount, kept: survivors, decidedBy: selection.decidedBy, policy: policy,
    stages: stages, averageTokens: request.layerCount.map(schedule.average),
    notes: notes + selection.notes, scores: scores)
}

/// What the region comes to: a degenerate one leaves the choice to the scorer, and a note says so.
private func effectivePolicy(
  of request: PruneRequest, tokenCount: Int, _ notes: inout [String]
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
  let region = Set(tokens).sorted()
  if policy == .none { return (.none, []) }
  if region.isEmpty || region.count == tokenCount {
    notes.append(
      "the region holds \(region.isEmpty ? "no token" : "every token"), so tokens are chosen by score alone")
    return (.none, [])
  }
  return (policy, region)
}

private func stageCounts(_ request: PruneRequest, tokenCount: Int) throws(PruningError) -> [Int] {
  var counts: [Int] = []
  for (index, stage) in request.stages.enumerated() {
    let pointer = "/stages/\(index)"
    if let layerCount = request.layerCount, stage.layer >= layerCount {
      throw PruningError(
        at: "\(pointer)/layer", "must be below the number of layers, \(layerCount), not \(stage.layer)")
    }
    if index > 0, stage.layer <= request.stages[index - 1].layer {
      throw PruningError(
        at: "\(pointer)/layer",
        "layers must ascend, but \(stage.layer) follows \(request.stages[index - 1].layer)")
    }
    let count = try stage.budget.resolve(total: tokenCount, at: pointer)
    if let previous = counts.last, count > previous {
      throw PruningError(
        at: "\(pointer)/\(stage.budget.name)",
        "keeps \(count) tokens, more than the \(previous) the stage before leaves")
    }
    counts.append(count)
  }
  return counts
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
