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

/// The tokens of one image or layout, sorted by the budget they come under.
///
/// - Complexity: O(N) to make.
struct BudgetGroups {
  /// Candidates of each budget, ascending; every group has one budget of its own.
  let groups: [[Int]]
  /// Separators that stay whatever the budget.
  let keptSeparators: [Int]
  /// Separators that go whatever the budget.
  let droppedSeparators: [Int]
  /// For each group the image and, where the scope is `tile`, the view it belongs to.
  let places: [(image: Int, view: Int?)]
  private let scope: BudgetScope

  /// - Throws: at `/budget_scope` for `tile` where nothing says which token belongs to which tile.
  init(
    tokenCount: Int, layout: TokenLayout?, scope: BudgetScope, newlines: NewlinePolicy
  ) throws(PruningError) {
    self.scope = scope
    let separators = newlines == .count ? [] : layout?.separators ?? []
    keptSeparators = newlines == .keep ? separators : []
    droppedSeparators = newlines == .drop ? separators : []
    var isCandidate = [Bool](repeating: true, count: tokenCount)
    for token in separators { isCandidate[token] = false }
    let owners = layout?.viewOfEachToken()
    if scope == .tile, owners == nil, tokenCount > 0 {
      throw PruningError(
        at: "/budget_scope", "'tile' gives each view its own budget, and no layout tells the views")
    }
    guard let layout, let owners, scope != .request, scope == .tile || layout.imageCount > 1 else {
      let all = Ranking.indices(below: tokenCount)
      groups = [separators.isEmpty ? all : all.filter { isCandidate[$0] }]
      places = [(0, nil)]
      return
    }
    var groups = [[Int]](repeating: [], count: scope == .tile ? layout.views.count : layout.imageCount)
    for token in 0..<tokenCount where isCandidate[token] {
      groups[scope == .tile ? owners[token] : layout.views[owners[token]].image].append(token)
    }
    self.groups = groups
    places =
      scope == .tile
      ? layout.views.enumerated().map { ($0.element.image, $0.offset) } : groups.indices.map { ($0, nil) }
  }

  var sizes: [Int] { groups.map(\.count) }

  var candidateCount: Int { groups.reduce(0) { $0 + $1.count } }

  /// What a group is called in notes.
  func name(of group: Int) -> String { scope == .tile ? "view \(group)" : "image \(group)" }
}
