/// How many tokens `/prune` will keep of given layouts, before there are any tensors.
public struct PrunePlan: Sendable {
  /// One layout's part.
  public struct Part: Sendable {
    public let tokenCount: Int
    /// Separators among the tokens.
    public let newlineCount: Int
    /// How many of them stay; nil where they are candidates.
    public let keptNewlines: Int?
    /// Of each step what is left, separators that stay included; nil where the scores of several layouts decide.
    public let kept: [Int?]
    public let images: [Image]
    public let notes: [String]
  }

  public struct Image: Sendable {
    public let tokenCount: Int
    public let kept: [Int?]
    public let views: [View]
  }

  public struct View: Sendable {
    public let role: String
    public let rows: Int
    public let columns: Int
    /// nil unless each view has its own budget.
    public let kept: [Int?]
  }

  public let parts: [Part]
  /// The layer of each step; empty for a plain budget, which is one step.
  public let layers: [Int]
  /// What is left of all parts after each step.
  public let kept: [Int]

  public var tokenCount: Int { parts.reduce(0) { $0 + $1.tokenCount } }

  public var budget: BudgetEcho { BudgetEcho(kept: kept.last ?? 0, total: tokenCount) }

  /// Visual tokens each layer computes, as ``PruneResult/tokensPerLayer(layerCount:)``; nil where unknown.
  func schedule(of part: Int) -> Schedule? {
    let counts = parts[part].kept.compactMap { $0 }
    guard counts.count == parts[part].kept.count, let last = counts.last else { return nil }
    return Schedule(Array(zip(layers, counts)), tokenCount: parts[part].tokenCount, plain: last)
  }

  /// The layer-averaged equivalent, as ``PruneResult/averageTokens``.
  public func averageTokens(of part: Int, layerCount: Int?) -> Double? {
    guard !layers.isEmpty else { return parts[part].kept.last.flatMap { $0 }.map(Double.init) }
    return layerCount.flatMap { schedule(of: part)?.average($0) }
  }

  /// - Parameters:
  ///   - layouts: one for each image of a batch, or the one there is.
  ///   - requests: as many, alike but for their regions.
  /// - Throws: what `/prune` would refuse of the same budgets and regions.
  /// - Complexity: O(tokens x stages).
  public init(
    of layouts: [TokenLayout], _ requests: [PruneRequest], registry: MethodRegistry = .standard
  ) throws(SharedPruningError) {
    precondition(layouts.count == requests.count && !layouts.isEmpty)
    let sketches = try Sketch.all(of: layouts, requests, registry)
    let isShared = requests[0].scope == .request && layouts.count > 1
    let steps: [[[Int?]]]
    if isShared {
      steps = try Sketch.shared(sketches, requests[0])
    } else {
      var each: [[[Int?]]] = []
      for (index, sketch) in sketches.enumerated() {
        each.append(try SharedPruningError.about(index) { () throws(PruningError) in try sketch.counts() })
      }
      steps = each
    }
    parts = zip(sketches, steps).map { $0.part($1) }
    layers = requests[0].stages.map(\.layer)
    let stepCount = max(requests[0].stages.count, 1)
    if isShared {
      let separators = sketches.reduce(0) { $0 + $1.groups.keptSeparators.count }
      kept = try Sketch.totals(sketches, requests[0]).map { $0 + separators }
    } else {
      let parts = parts
      kept = (0..<stepCount).map { step in parts.reduce(0) { $0 + ($1.kept[step] ?? 0) } }
    }
  }
}

/// A layout's budgets, and how many of each group the region lets stay.
private struct Sketch {
  let layout: TokenLayout
  let request: PruneRequest
  let method: any PruningMethod
  let groups: BudgetGroups
  let policy: RegionPolicy
  let notes: [String]
  /// Tokens that a budget may keep, by group: fewer than candidates under the policy `only`.
  let limits: [Int]

  static func all(
    of layouts: [TokenLayout], _ requests: [PruneRequest], _ registry: MethodRegistry
  ) throws(SharedPruningError) -> [Sketch] {
    var sketches: [Sketch] = []
    for (index, layout) in layouts.enumerated() {
      sketches.append(
        try SharedPruningError.about(layouts.count > 1 ? index : nil) { () throws(PruningError) in
          try Sketch(layout, requests[index], registry)
        })
    }
    return sketches
  }

  init(_ layout: TokenLayout, _ request: PruneRequest, _ registry: MethodRegistry) throws(PruningError) {
    let input = PruningInput(tokenCount: layout.tokenCount, tensors: [:], layout: layout)
    method = try registry.make(request.method, request.methodParameters)
    guard !method.mayKeepFewer else {
      throw PruningError(
        at: "/method_parameters",
        "lets '\(request.method)' keep fewer tokens than asked, by what the tensors hold; that cannot be planned"
      )
    }
    let trace = try PruningTrace(input, request, method: method, scope: request.scope)
    self.layout = layout
    self.request = request
    groups = trace.groups
    policy = trace.selection.policy
    notes = trace.notes
    let isInside = trace.selection.isInside
    limits = trace.groups.groups.map { group in
      trace.selection.policy == .only ? group.count { isInside[$0] } : group.count
    }
  }

  /// [step][group].
  func counts() throws(PruningError) -> [[Int?]] {
    try Quotas(request, sizes: groups.sizes, name: groups.name).steps.map { step in
      zip(step.counts, limits).map { min($0, $1) }
    }
  }

  /// What is kept of the candidates of all layouts together, after each step.
  static func totals(_ sketches: [Sketch], _ request: PruneRequest) throws(SharedPruningError) -> [Int] {
    let limit = sketches.reduce(0) { $0 + $1.limits[0] }
    let own = try shared(sketches, request)
    return try quotas(sketches, request).steps.enumerated().map { number, step in
      // Parts that are known may fall short of the budget one by one; pooled ones only together.
      let known = own.compactMap { $0[number][0] }
      return known.count == own.count ? known.reduce(0, +) : min(step.counts[0], limit)
    }
  }

  /// [layout][step][group] under one budget: known where the method has no scores to compare.
  static func shared(
    _ sketches: [Sketch], _ request: PruneRequest
  ) throws(SharedPruningError) -> [[[Int?]]] {
    let steps = try quotas(sketches, request).steps
    let method = sketches[0].method
    guard !(method is any ScoringMethod), !(method is Crop) else {
      return sketches.map { _ in steps.map { _ in [nil] } }
    }
    let sizes = sketches.map(\.groups.candidateCount)
    var limits = sizes
    var result = sketches.map { _ in [[Int?]]() }
    for step in steps {
      let counts = apportion(min(step.counts[0], limits.reduce(0, +)), by: sizes, limits: limits)
      for (index, sketch) in sketches.enumerated() {
        limits[index] = min(counts[index], sketch.limits[0])
        result[index].append([limits[index]])
      }
    }
    return result
  }

  private static func quotas(
    _ sketches: [Sketch], _ request: PruneRequest
  ) throws(SharedPruningError) -> Quotas {
    try SharedPruningError.about(nil) { () throws(PruningError) in
      try Quotas(request, sizes: [sketches.reduce(0) { $0 + $1.groups.candidateCount }])
    }
  }

  /// - Parameter steps: [step][group].
  func part(_ steps: [[Int?]]) -> PrunePlan.Part {
    let owners = layout.viewOfEachToken() ?? []
    func sum(_ counts: [Int?], _ separators: Int) -> Int? {
      counts.contains { $0 == nil } ? nil : counts.reduce(separators) { $0 + ($1 ?? 0) }
    }
    let isPlaced = groups.groups.count > 1 || layout.imageCount == 1
    let images = (0..<layout.imageCount).map { image -> PrunePlan.Image in
      let separators = groups.keptSeparators.count { layout.views[owners[$0]].image == image }
      let own = groups.places.indices.filter { groups.places[$0].image == image }
      let views = layout.views.indices.filter { layout.views[$0].image == image }
      return PrunePlan.Image(
        // Separators occur in layouts of one image only.
        tokenCount: layout.imageCount == 1
          ? layout.tokenCount : views.reduce(0) { $0 + layout.views[$1].tokenCount },
        kept: steps.map { counts in isPlaced ? sum(own.map { counts[$0] }, separators) : nil },
        views: views.map { index in
          let view = layout.views[index]
          let group = groups.places.firstIndex { $0.view == index }
          return PrunePlan.View(
            role: view.role.rawValue, rows: view.rows, columns: view.columns,
            kept: steps.map { counts in group.flatMap { counts[$0] } })
        })
    }
    return PrunePlan.Part(
      tokenCount: layout.tokenCount, newlineCount: layout.separators.count,
      keptNewlines: request.newlines == .count ? nil : groups.keptSeparators.count,
      kept: steps.map { sum($0, groups.keptSeparators.count) }, images: images, notes: notes)
  }
}
