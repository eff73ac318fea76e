/// Carries out a region policy: splits a choice into the tasks a method understands.
struct RegionSelection {
  let method: any PruningMethod
  let policy: RegionPolicy
  /// Ascending, unique.
  let region: [Int]
  private let isInside: [Bool]
  private(set) var notes: [String] = []
  private(set) var decidedBy: String

  init(method: any PruningMethod, policy: RegionPolicy, region: [Int], tokenCount: Int) {
    self.method = method
    self.policy = policy
    self.region = region
    var isInside = [Bool](repeating: false, count: tokenCount)
    for token in region { isInside[token] = true }
    self.isInside = isInside
    decidedBy = type(of: method).descriptor.name
  }

  /// `count` of the ascending `survivors`, ascending; fewer only under the policy `only`.
  mutating func keep(
    _ count: Int, of survivors: [Int], _ input: PruningInput
  ) throws(PruningError) -> [Int] {
    let scorer = try method.resolved(for: input)
    decidedBy = type(of: scorer).descriptor.name
    let isInside = isInside
    lazy var inside = survivors.filter { isInside[$0] }
    lazy var outside = survivors.filter { !isInside[$0] }
    switch policy {
    case .none:
      return try scorer.select(SelectionTask(count: count, candidates: survivors), from: input).sorted()
    case .only:
      if inside.count < count {
        notes.append(
          "the region holds \(inside.count) tokens, fewer than the budget of \(count); only those are kept")
      }
      let task = SelectionTask(count: min(count, inside.count), candidates: inside)
      return try scorer.select(task, from: input).sorted()
    case .first:
      return try keep(min(count, inside.count), inside, of: count, outside, scorer, input)
    case .share(let share):
      return try keep(
        insideCount(share: share, of: count, inside: inside.count, outside: outside.count), inside,
        of: count, outside, scorer, input)
    case .bias(let factor):
      let scores = try biased(scorer, by: factor, input)
      return Ranking.highest(count, of: scores, among: survivors).sorted()
    }
  }

  /// The scores of the method that decided [N], or nil when it has none.
  func scores(of input: PruningInput) throws(PruningError) -> [Double]? {
    try (method.resolved(for: input) as? any ScoringMethod)?.scores(of: input)
  }

  private func keep(
    _ insideCount: Int, _ inside: [Int], of count: Int, _ outside: [Int], _ scorer: any PruningMethod,
    _ input: PruningInput
  ) throws(PruningError) -> [Int] {
    let kept =
      insideCount == inside.count
      ? inside
      : try scorer.select(SelectionTask(count: insideCount, candidates: inside), from: input).sorted()
    // Asked even when nothing is left to choose: the method checks its tensors then, too.
    let rest = SelectionTask(count: count - insideCount, candidates: outside, given: kept)
    return try (kept + scorer.select(rest, from: input)).sorted()
  }

  private mutating func biased(
    _ scorer: any PruningMethod, by factor: Double, _ input: PruningInput
  ) throws(PruningError) -> [Double] {
    guard let scoring = scorer as? any ScoringMethod else {
      throw PruningError(
        at: "/region_policy",
        "'bias' multiplies scores, but \(decidedBy) has none; use 'first' or 'share' with it")
    }
    var scores = try scoring.scores(of: input)
    if let lowest = scores.min(), lowest < 0 {
      // A factor above 1 would push negative scores down; the lowest becomes 0.
      scores = scores.map { $0 - lowest }
      let note = "some scores are negative; all were raised by the lowest before the bias"
      if !notes.contains(note) { notes.append(note) }
    }
    for token in region { scores[token] *= factor }
    return scores
  }
}

/// How many of `count` go inside the region under a share; what one side cannot use goes to the other.
///
/// - Precondition: count <= inside + outside.
func insideCount(share: Double, of count: Int, inside: Int, outside: Int) -> Int {
  let wanted = min(roundHalfToEven(share, of: count), inside)
  return max(wanted, count - outside)
}
