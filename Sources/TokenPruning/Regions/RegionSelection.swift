import Kernels
import PruningNumerics
import Tensors

/// Carries out a region policy: splits a choice into the tasks a method understands.
struct RegionSelection {
  let method: any PruningMethod
  let policy: RegionPolicy
  /// Ascending, unique.
  let region: [Int]
  let isInside: [Bool]
  private(set) var notes: [String] = []
  private(set) var decidedBy: String
  /// Why that method, where there was a choice.
  private(set) var reason: String?

  /// A method without scores reads all tensors and places again for every budget: at most that many numbers in all,
  /// a place taken for ``numbersPerSlot``.
  private static let maximumRereadCount = 1 << 32
  private static let numbersPerSlot = 32

  /// Who ranks: scores at hand, which hold for every group and for both sides of a region, or a method that is asked for
  /// each.
  private enum Ranker {
    case scores([Double])
    case method(any PruningMethod)
  }

  init(method: any PruningMethod, policy: RegionPolicy, region: [Int], tokenCount: Int) {
    self.method = method
    self.policy = policy
    self.region = region
    var isInside = Array(uniform: false, count: tokenCount)
    for token in region { isInside[token] = true }
    self.isInside = isInside
    decidedBy = method.decidingName
  }

  /// Of each group of ascending survivors as many as its count says, ascending; fewer only under the policy
  /// `only`, and where there are fewer.
  mutating func keep(
    _ counts: [Int], of groups: [[Int]], _ input: PruningInput
  ) throws(PruningError) -> [[Int]] {
    let resolved = try method.resolved(for: input)
    decidedBy = resolved.decidingName
    try recordReason(for: input)
    if case .bias(let factor) = policy {
      let scores = try biased(resolved, by: factor, input)
      return zip(counts, groups).map { count, group in
        Ranking.highestAscending(min(count, group.count), of: scores, among: group)
      }
    }
    var ranker = Ranker.method(resolved)
    if let scoring = resolved.scoring, !scoring.mayKeepFewer {
      ranker = .scores(try scoring.scores(of: input))
    } else if groups.count > 1 {
      try checkRereading(input, groups.count)
    }
    var kept: [[Int]] = []
    kept.reserveCapacity(groups.count)
    for (index, group) in groups.enumerated() {
      try input.stepLimit.spend(cost(of: group, ranker, input), on: "choosing among these tokens")
      kept.append(
        try keep(
          min(counts[index], group.count), of: group, ranker, groups.count > 1 ? input.part(index) : input))
    }
    noteShortfall(kept, counts, groups)
    return kept
  }

  /// What one choice costs beside the work of a search: scores at hand are ranked, any other method walks through all
  /// places and candidates.
  private func cost(of group: [Int], _ ranker: Ranker, _ input: PruningInput) -> Int {
    let slots =
      switch ranker {
      case .scores: input.tokenCount / 64
      case .method: Self.numbersPerSlot * input.tokenCount
      }
    return 1_000 + slots + 16 * group.count
  }

  /// A choice in one group, under any policy but `bias`, which compares scores and has no parts.
  private func keep(
    _ count: Int, of survivors: [Int], _ ranker: Ranker, _ input: PruningInput
  ) throws(PruningError) -> [Int] {
    let (inside, outside) = policy == .none ? ([], []) : split(survivors)
    switch policy {
    case .none, .bias:
      return try chosen(SelectionTask(count: count, candidates: survivors), by: ranker, input)
    case .only:
      let task = SelectionTask(count: min(count, inside.count), candidates: inside)
      return try chosen(task, by: ranker, input)
    case .first:
      return try keep(min(count, inside.count), inside, of: count, outside, ranker, input)
    case .share(let share):
      return try keep(
        insideCount(share: share, of: count, inside: inside.count, outside: outside.count), inside,
        of: count, outside, ranker, input)
    }
  }

  /// Tokens of the region and the others, each in the order in which they come.
  private func split(_ tokens: [Int]) -> (inside: [Int], outside: [Int]) {
    // Of all tokens those outside are what the region leaves, which takes no look at each.
    guard tokens.count < isInside.count else {
      return (region, Ranking.indices(below: isInside.count, without: region))
    }
    var inside: [Int] = []
    let outside = [Int](room: tokens.count) { outside, outsideCount in
      inside = [Int](room: tokens.count) { inside, insideCount in
        (insideCount, outsideCount) = split(tokens, inside.baseAddress, outside.baseAddress)
      }
    }
    return (inside, outside)
  }

  /// - Returns: how many tokens were written to each.
  private func split(
    _ tokens: [Int], _ inside: UnsafeMutablePointer<Int>?, _ outside: UnsafeMutablePointer<Int>?
  ) -> (Int, Int) {
    guard let inside, let outside else { return (0, 0) }
    return isInside.withUnsafeBufferPointer { marks in
      guard let marked = marks.baseAddress else { return (0, 0) }
      var insideCount = 0
      var outsideCount = 0
      // Written to both, and kept by one: whether a token lies inside is no branch.
      for token in tokens {
        precondition(UInt(bitPattern: token) < UInt(bitPattern: marks.count))
        inside[insideCount] = token
        outside[outsideCount] = token
        let isInside = marked[token] ? 1 : 0
        insideCount &+= isInside
        outsideCount &+= 1 &- isInside
      }
      return (insideCount, outsideCount)
    }
  }

  /// The scores of the method that decided [N], or nil when it has none.
  func scores(of input: PruningInput) throws(PruningError) -> [Double]? {
    try method.resolved(for: input).scoring?.scores(of: input)
  }

  /// The query rows that the method that decided listened to [M], or nil when it listens to all.
  func textRaters(of input: PruningInput) throws(PruningError) -> [Int]? {
    try (method.resolved(for: input) as? any TextRatingMethod)?.textRaters(of: input)
  }

  /// The scores that tokens are compared by: those of the method, the bias included.
  mutating func effectiveScores(of input: PruningInput) throws(PruningError) -> [Double]? {
    if case .bias(let factor) = policy { return try biased(method.resolved(for: input), by: factor, input) }
    return try scores(of: input)
  }

  private func keep(
    _ insideCount: Int, _ inside: [Int], of count: Int, _ outside: [Int], _ ranker: Ranker,
    _ input: PruningInput
  ) throws(PruningError) -> [Int] {
    let kept =
      insideCount == inside.count
      ? inside : try chosen(SelectionTask(count: insideCount, candidates: inside), by: ranker, input)
    // Asked even when nothing is left to choose: the method checks its tensors then, too.
    let rest = SelectionTask(count: count - insideCount, candidates: outside, given: kept)
    return Ranking.merged(kept, try chosen(rest, by: ranker, input))
  }

  /// What a method chooses, ascending.
  private func chosen(
    _ task: SelectionTask, by ranker: Ranker, _ input: PruningInput
  ) throws(PruningError) -> [Int] {
    switch ranker {
    case .scores(let scores):
      Ranking.highestAscending(task.count, of: scores, among: task.candidates)
    case .method(let method): Ranking.ascending(try method.select(task, from: input), below: input.tokenCount)
    }
  }

  private mutating func biased(
    _ scorer: any PruningMethod, by factor: Double, _ input: PruningInput
  ) throws(PruningError) -> [Double] {
    guard let scoring = scorer.scoring else {
      throw PruningError(
        at: "/region_policy",
        "'bias' multiplies scores, but \(decidedBy) has none; use 'first' or 'share' with it")
    }
    var scores = try scoring.scores(of: input)
    if let lowest = scores.min(), lowest < 0 {
      // A factor above 1 would push negative scores down; the lowest becomes 0.
      scores = scores.map { $0 - lowest }
      add("some scores are negative; all were raised by the lowest before the bias")
    }
    for token in region { scores[token] *= factor }
    return scores
  }

  /// Only the policy `only` keeps fewer tokens than a budget allows and survivors could fill.
  private mutating func noteShortfall(_ kept: [[Int]], _ counts: [Int], _ groups: [[Int]]) {
    guard policy == .only else { return }
    let short = groups.indices.filter { kept[$0].count < min(counts[$0], groups[$0].count) }
    guard let first = short.first else { return }
    notes.append(
      groups.count == 1
        ? "the region holds \(kept[first].count) tokens, fewer than the budget of \(counts[first]); only those "
          + "are kept"
        : "in \(short.count) of \(groups.count) parts the region holds fewer tokens than the budget; only those "
          + "are kept")
  }

  mutating func recordReason(for input: PruningInput) throws(PruningError) {
    reason = try method.reason(for: input)
  }

  mutating func add(_ note: String) {
    if !notes.contains(note) { notes.append(note) }
  }

  private func checkRereading(_ input: PruningInput, _ groupCount: Int) throws(PruningError) {
    let numbers = input.tensors.values.reduce(Self.numbersPerSlot * input.tokenCount) {
      $0 + $1.elementCount
    }
    let (total, overflow) = numbers.multipliedReportingOverflow(by: groupCount)
    guard !overflow, total <= Self.maximumRereadCount else {
      throw PruningError(
        at: "/budget_scope",
        "\(decidedBy) would read \(numbers) numbers for each of \(groupCount) budgets; use scope 'image', or a "
          + "method that scores tokens")
    }
  }
}

/// Scores computed beforehand: what pooled images and repeated choices rank by.
struct GivenScores: ScoringMethod {
  static let descriptor = MethodDescriptor(
    name: "scores", summary: "Keeps the tokens with the highest of given scores.")

  private let values: [Double]

  init(_ values: [Double]) { self.values = values }

  init(_ parameters: Parameters) { values = [] }

  func scores(of input: PruningInput) -> [Double] { values }
}

/// How many of `count` go inside the region under a share; what one side cannot use goes to the other.
///
/// - Precondition: count <= inside + outside.
func insideCount(share: Double, of count: Int, inside: Int, outside: Int) -> Int {
  let wanted = min(roundHalfToEven(share, of: count), inside)
  return max(wanted, count - outside)
}
