import PruningNumerics
public import VisionLayouts

/// Which tokens share one budget.
public enum BudgetScope: String, Sendable, Hashable, CaseIterable {
  /// All tokens of the request, of every image of a batch.
  case request
  /// Those of one image, each image with its own budget.
  case image
  /// Those of one view (tile, frame, thumbnail), each view with its own budget.
  case tile
}

/// What becomes of separators, the newline tokens that LLaVA-NeXT puts after each row of its raster.
public enum NewlinePolicy: String, Sendable, Hashable, CaseIterable {
  /// All stay, and do not count: K tokens of the image and the newlines.
  case keep
  /// They are candidates like any other, and count.
  case count
  /// None stays: K tokens in all.
  case drop
}

/// The tokens of one image, sorted by the budget they come under.
///
/// - Complexity: O(N) to make.
struct BudgetGroups {
  /// Candidates of each budget, ascending; every group has one budget of its own.
  let groups: [[Int]]
  /// Separators that stay whatever the budget.
  let keptSeparators: [Int]
  /// Separators that go whatever the budget.
  let droppedSeparators: [Int]
  /// For each group its view, where the scope is `tile`; empty otherwise, where there is one group.
  let views: [Int]

  /// - Throws: at `/budget_scope` for `tile` where nothing says which token belongs to which tile.
  init(
    tokenCount: Int, layout: TokenLayout?, scope: BudgetScope, newlines: NewlinePolicy
  ) throws(PruningError) {
    let separators = newlines == .count ? [] : layout?.separators ?? []
    keptSeparators = newlines == .keep ? separators : []
    droppedSeparators = newlines == .drop ? separators : []
    var candidates = Ranking.indices(below: tokenCount)
    if !separators.isEmpty {
      var isCandidate = [Bool](repeating: true, count: tokenCount)
      for token in separators { isCandidate[token] = false }
      candidates = candidates.filter { isCandidate[$0] }
    }
    let owners = scope == .tile ? layout?.viewOfEachToken() : nil
    if scope == .tile, owners == nil, tokenCount > 0 {
      throw PruningError(at: "/budget_scope", "'tile' gives each view its own budget, which needs a layout")
    }
    guard let layout, let owners else {
      groups = [candidates]
      views = []
      return
    }
    var groups = [[Int]](repeating: [], count: layout.views.count)
    for token in candidates { groups[owners[token]].append(token) }
    self.groups = groups
    views = Array(layout.views.indices)
  }

  var sizes: [Int] { groups.map(\.count) }

  /// Those of some tokens that come under a budget, ascending and unique.
  func candidates(among tokens: [Int], tokenCount: Int) -> [Int] {
    let ascend = zip(tokens, tokens.dropFirst()).allSatisfy { $0 < $1 }
    if ascend, keptSeparators.isEmpty, droppedSeparators.isEmpty { return tokens }
    var isCandidate = [Bool](repeating: false, count: tokenCount)
    for token in tokens { isCandidate[token] = true }
    for token in keptSeparators { isCandidate[token] = false }
    for token in droppedSeparators { isCandidate[token] = false }
    return (0..<tokenCount).filter { isCandidate[$0] }
  }

  var candidateCount: Int { groups.reduce(0) { $0 + $1.count } }

  /// What a group is called in notes.
  func name(of group: Int) -> String { views.isEmpty ? "the image" : "view \(group)" }
}

extension BudgetScope {
  /// The candidates of an image's largest budget: what several images with the same `keep_tokens` are compared by.
  ///
  /// - Parameter previous: the tokens that are left; nil where all are.
  public func largestBudget(
    of tokenCount: Int, _ layout: TokenLayout?, _ newlines: NewlinePolicy, left previous: [Int]? = nil
  ) -> Int {
    guard self == .tile || previous != nil,
      let groups = try? BudgetGroups(tokenCount: tokenCount, layout: layout, scope: self, newlines: newlines)
    else { return tokenCount - (newlines == .count ? 0 : layout?.separators.count ?? 0) }
    guard let previous else { return groups.sizes.max() ?? 0 }
    let isLeft = Set(previous)
    return groups.groups.map { group in group.count { isLeft.contains($0) } }.max() ?? 0
  }
}
