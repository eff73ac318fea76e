import Localization
import PruningNumerics
public import VisionLayouts

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
    public fileprivate(set) var kept: [Int?]
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
  ///   - left: of each layout the tokens that earlier requests left, ascending; nil where all are there.
  /// - Throws: what `/prune` would reject of the same budgets and regions.
  /// - Complexity: O(tokens x stages).
  public init(
    of layouts: [TokenLayout], _ requests: [PruneRequest], left: [[Int]?]? = nil
  ) throws(SharedPruningError) {
    let left = left ?? layouts.map { _ in nil }
    precondition(layouts.count == requests.count && layouts.count == left.count && !layouts.isEmpty)
    let images = try Sketch.all(of: layouts, requests, left)
    let sketches = images.flatMap { $0 }
    let request = sketches[0].request
    let isShared = request.scope == .request && sketches.count > 1
    var planned: [Part] = []
    if isShared {
      planned = zip(sketches, try Sketch.shared(sketches, request)).map { $0.part($1) }
      let separators = sketches.reduce(0) { $0 + $1.trace.keptSeparators.count }
      kept = try Sketch.totals(sketches, request).map { $0 + separators }
    } else {
      for (index, own) in images.enumerated() {
        planned += try SharedPruningError.about(layouts.count > 1 ? index : nil) { () throws(PruningError) in
          try Sketch.parts(own)
        }
      }
      let parts = planned
      kept = (0..<max(request.stages.count, 1)).map { step in parts.reduce(0) { $0 + ($1.kept[step] ?? 0) } }
    }
    layers = request.stages.map(\.layer)
    var joined: [Part] = []
    var next = planned[...]
    for own in images {
      joined.append(Part(joining: Array(next.prefix(own.count))))
      next = next.dropFirst(own.count)
    }
    // Who shares a budget with nobody else knows the total, whatever scores decide.
    if joined.count == 1 { joined[0].kept = kept }
    parts = joined
  }
}

extension PrunePlan.Part {
  /// That of a layout with several images.
  ///
  /// - Precondition: one part at least, alike in their steps.
  fileprivate init(joining images: [PrunePlan.Part]) {
    func sum(_ counts: [Int?]) -> Int? {
      counts.contains { $0 == nil } ? nil : counts.reduce(0) { $0 + ($1 ?? 0) }
    }
    tokenCount = images.reduce(0) { $0 + $1.tokenCount }
    newlineCount = images.reduce(0) { $0 + $1.newlineCount }
    keptNewlines = sum(images.map(\.keptNewlines))
    kept = images[0].kept.indices.map { step in sum(images.map { $0.kept[step] }) }
    self.images = images.flatMap(\.images)
    notes = joinedNotes(images.map(\.notes))
  }
}

/// An image's budgets, and how many of each group the region lets stay.
private struct Sketch {
  let layout: TokenLayout
  let request: PruneRequest
  let method: any PruningMethod
  let trace: PruningTrace
  /// Tokens that a budget may keep, by group: of those that are left, under the policy `only` those in the region.
  let limits: [Int]

  /// The images of each layout.
  static func all(
    of layouts: [TokenLayout], _ requests: [PruneRequest], _ left: [[Int]?]
  ) throws(SharedPruningError) -> [[Sketch]] {
    var sketches: [[Sketch]] = []
    for (index, layout) in layouts.enumerated() {
      sketches.append(
        try SharedPruningError.about(layouts.count > 1 ? index : nil) { () throws(PruningError) in
          let parts = layout.imageParts
          return try parts.enumerated().map { (image, part) throws(PruningError) -> Sketch in
            do throws(PruningError) {
              return try Sketch(
                part.layout, requests[index].about(part.tokens), left[index]?.offsets(within: part.tokens))
            } catch {
              throw parts.count > 1 ? error.about(image: image) : error
            }
          }
        })
    }
    return sketches
  }

  /// The parts of the images of one layout, each with budgets of its own.
  static func parts(_ images: [Sketch]) throws(PruningError) -> [PrunePlan.Part] {
    let largest = images.count > 1 ? images.flatMap(\.trace.groups.sizes).max() : nil
    return try images.enumerated().map { (image, sketch) throws(PruningError) -> PrunePlan.Part in
      do throws(PruningError) {
        let quotas = try sketch.trace.quotas(largestPeer: largest)
        return sketch.part(
          quotas.steps.map { zip($0.counts, sketch.limits).map { min($0, $1) } }, quotas.notes)
      } catch {
        throw images.count > 1 ? error.about(image: image) : error
      }
    }
  }

  init(_ layout: TokenLayout, _ request: PruneRequest, _ left: [Int]?) throws(PruningError) {
    let input = PruningInput(
      tokenCount: layout.tokenCount, tensors: [:], layout: layout, previous: left)
    method = try MethodRegistry.standard.method(of: request)
    guard !method.mayKeepFewer else {
      throw PruningError(
        at: "/method_parameters",
        "lets '\(request.method)' keep fewer tokens than requested, depending on the tensors, which cannot be planned"
      )
    }
    let request = try request.expandingSchedule(tokenCount: layout.tokenCount)
    let trace = try PruningTrace(input, request, method: method, scope: request.scope)
    self.trace = trace
    self.layout = layout
    self.request = request
    let isInside = trace.selection.isInside
    limits = trace.survivors.map { group in
      trace.selection.policy == .only ? group.count { isInside[$0] } : group.count
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
    guard method.scoring == nil, !method.choosesMethod else {
      return sketches.map { _ in steps.map { _ in [nil] } }
    }
    let sizes = sketches.map(\.trace.groups.candidateCount)
    var limits = sketches.map { $0.trace.survivors[0].count }
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
      try Quotas(request, sharedBy: sketches.map(\.trace))
    }
  }

  /// - Parameter steps: [step][group].
  func part(_ steps: [[Int?]], _ more: [String] = []) -> PrunePlan.Part {
    let groups = trace.groups
    func sum(_ counts: [Int?]) -> Int? {
      counts.contains { $0 == nil } ? nil : counts.reduce(trace.keptSeparators.count) { $0 + ($1 ?? 0) }
    }
    let views = layout.views.enumerated().map { index, view in
      let group = groups.views.firstIndex(of: index)
      return PrunePlan.View(
        role: view.role.rawValue, rows: view.rows, columns: view.columns,
        kept: steps.map { counts in group.flatMap { counts[$0] } })
    }
    let kept = steps.map(sum)
    return PrunePlan.Part(
      tokenCount: layout.tokenCount, newlineCount: layout.separators.count,
      keptNewlines: request.newlines == .count ? nil : trace.keptSeparators.count, kept: kept,
      images: [PrunePlan.Image(tokenCount: layout.tokenCount, kept: kept, views: views)],
      notes: trace.notes + more)
  }
}
