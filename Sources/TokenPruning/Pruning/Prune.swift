public import PruningNumerics

/// Chooses the visual tokens to keep: inner-LLM pruning of CROP, and every other method behind the same call.
///
/// The budget holds for the tokens of one image, of one view, or all there are, as `request.scope` says. A layout
/// with several images is the list of those images: each is computed by itself (``pruneImages(_:_:)``).
/// - Throws: ``PruningError`` at the tensor or request member that is wrong.
/// - Complexity: that of the method, once per stage, and once per budget for methods without scores.
public func prune(
  _ input: PruningInput, _ request: PruneRequest
) throws(PruningError) -> PruneResult {
  try PreparedPruning(input, request).run(on: input)
}

/// What is wrong with one of several inputs, or with all of them.
public struct SharedPruningError: Error, Sendable {
  /// nil when the complaint is about no image in particular.
  public let image: Int?
  public let error: PruningError
}

/// Chooses the tokens to keep of several images under one budget, `budget_scope` `request`.
///
/// A method with scores keeps the highest of all images together; ties go to the earlier image, then to the
/// lower index. Any other method keeps of each image a part of the budget in proportion to its tokens, by
/// largest remainder. The total is exact either way.
/// - Precondition: as many requests as inputs, alike but for their regions.
/// - Throws: with the image that is wrong.
public func pruneTogether(
  _ inputs: [PruningInput], _ requests: [PruneRequest]
) throws(SharedPruningError) -> [PruneResult] {
  precondition(inputs.count == requests.count)
  return inputs.isEmpty ? [] : try ImagesRun.results(of: inputs, requests.map(\.sharingBudget))
}

/// Rejects what ``pruneTogether(_:_:)`` would reject whatever the tensors hold, and with whatever region.
///
/// - Parameter inputs: without tensors.
public func validatePruningTogether(
  _ inputs: [PruningInput], _ requests: [PruneRequest]
) throws(SharedPruningError) {
  precondition(inputs.count == requests.count)
  guard !inputs.isEmpty else { return }
  try ImagesRun.check(inputs, requests.map(\.sharingBudget))
}

extension PruneRequest {
  /// The same under a budget for all images.
  fileprivate var sharingBudget: PruneRequest {
    var request = self
    request.scope = .request
    return request
  }
}

/// One step of several images under one budget.
///
/// - Returns: the name of the method that decided, where one decided for all.
func keepTogether(
  _ traces: inout [PruningTrace], _ stageInputs: [PruningInput], _ step: Quotas.Step
) throws(SharedPruningError) -> String? {
  var scores: [[Double]] = []
  for (image, trace) in traces.enumerated() {
    try SharedPruningError.about(image) { () throws(PruningError) in
      if let own = try trace.selection.scores(of: stageInputs[image]) { scores.append(own) }
    }
  }
  if scores.count == traces.count, let selection = traces.first?.selection, !selection.method.mayKeepFewer {
    return try SharedPruningError.about(nil) { () throws(PruningError) in
      try pool(&traces, stageInputs, scores, step)
    }
  }
  let limits = traces.map { $0.survivors[0].count }
  let wanted = min(step.counts[0], limits.reduce(0, +))
  let counts = apportion(wanted, by: traces.map(\.groups.candidateCount), limits: limits)
  for image in traces.indices {
    try SharedPruningError.about(image) { () throws(PruningError) in
      let own = Quotas.Step(stage: step.stage, number: step.number, counts: [counts[image]])
      try traces[image].keep(at: own, stageInputs[image])
    }
  }
  return nil
}

/// One choice among the tokens of all images, by their scores.
///
/// - Returns: the name of the method that decided.
private func pool(
  _ traces: inout [PruningTrace], _ stageInputs: [PruningInput], _ scores: [[Double]], _ step: Quotas.Step
) throws(PruningError) -> String {
  var starts: [Int] = []
  var total = 0
  for trace in traces {
    starts.append(total)
    total += trace.input.tokenCount
  }
  func pooled(_ tokens: (PruningTrace) -> [Int]) -> [Int] {
    zip(traces, starts).flatMap { trace, start in tokens(trace).map { $0 + start } }
  }
  // An image whose region says nothing has no tokens to prefer; under `only`, none to leave out.
  let policy = traces.map(\.selection.policy).first { $0 != .none } ?? .none
  func region(of trace: PruningTrace) -> [Int] {
    if trace.selection.policy != .none { return trace.selection.region }
    return policy == .only ? trace.groups.groups[0] : []
  }
  var selection = RegionSelection(
    method: GivenScores(Array(scores.joined())), policy: policy,
    region: policy == .none ? [] : pooled(region), tokenCount: total)
  let everything = PruningInput(
    tokenCount: total, tensors: [:], layout: nil, stepLimit: stageInputs[0].stepLimit)
  var ranks: [Int?]?
  if traces[0].request.explain, let effective = try selection.effectiveScores(of: everything) {
    ranks = PruneExplanation.ranks(by: effective, in: [pooled { $0.survivors[0] }], of: total)
  }
  var kept = try selection.keep(step.counts, of: [pooled { $0.survivors[0] }], everything)[0][...]
  var name = ""
  for (image, start) in starts.enumerated() {
    let range = start..<(start + traces[image].input.tokenCount)
    try traces[image].explain(stageInputs[image], ranks: ranks.map { Array($0[range]) })
    let own = kept.prefix { $0 < range.upperBound }
    kept = kept.dropFirst(own.count)
    traces[image].record([own.map { $0 - start }], at: step)
    for note in selection.notes { traces[image].selection.add(note) }
    try traces[image].selection.recordReason(for: stageInputs[image])
    name = try traces[image].selection.method.resolved(for: stageInputs[image]).decidingName
  }
  return name
}

extension SharedPruningError {
  /// Runs `body`; what it throws is about this image.
  public static func about<Result>(
    _ image: Int?, _ body: () throws(PruningError) -> Result
  ) throws(SharedPruningError) -> Result {
    do throws(PruningError) {
      return try body()
    } catch {
      throw SharedPruningError(image: image, error: error)
    }
  }
}
