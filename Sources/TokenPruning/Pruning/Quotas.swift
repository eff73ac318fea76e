import PruningNumerics

/// The exact number of tokens every budget keeps at every stage: what `/plan` answers and `prune` carries out.
struct Quotas {
  struct Step {
    /// nil for a plain budget, which is one step before the first layer.
    let stage: PruningStage?
    let number: Int
    /// One per group.
    let counts: [Int]
  }

  let steps: [Step]
  let notes: [String]

  /// - Parameters:
  ///   - sizes: candidates in each group.
  ///   - name: what a group is called in notes.
  /// - Throws: at the budget that asks for more than there is, for layers that do not ascend, or for a stage
  ///   that would keep more than the one before.
  init(
    _ request: PruneRequest, sizes: [Int], name: (Int) -> String = { "group \($0)" }
  ) throws(PruningError) {
    var notes: [String] = []
    guard !request.stages.isEmpty else {
      guard let budget = request.budget else {
        throw PruningError(at: "/keep_tokens", "no budget is given, and no stages")
      }
      let counts = try Self.counts(budget, sizes, request.largestPeer, name, at: "", &notes)
      steps = [Step(stage: nil, number: 0, counts: counts)]
      self.notes = notes
      return
    }
    var steps: [Step] = []
    for (number, stage) in request.stages.enumerated() {
      let pointer = "/stages/\(number)"
      try Self.checkLayer(stage, after: steps.last?.stage, request.layerCount, at: pointer)
      let counts = try Self.counts(stage.budget, sizes, request.largestPeer, name, at: pointer, &notes)
      if let previous = steps.last?.counts,
        let group = counts.indices.first(where: { counts[$0] > previous[$0] })
      {
        throw PruningError(
          at: "\(pointer)/\(stage.budget.name)",
          "keeps \(counts[group]) tokens, more than the \(previous[group]) that the previous stage keeps")
      }
      steps.append(Step(stage: stage, number: number, counts: counts))
    }
    self.steps = steps
    self.notes = notes
  }

  private static func checkLayer(
    _ stage: PruningStage, after previous: PruningStage?, _ layerCount: Int?, at pointer: String
  ) throws(PruningError) {
    if let layerCount, stage.layer >= layerCount {
      throw PruningError(
        at: "\(pointer)/layer", "must be below the number of layers, \(layerCount), not \(stage.layer)")
    }
    if let previous, stage.layer <= previous.layer {
      throw PruningError(
        at: "\(pointer)/layer", "layers must ascend, but \(stage.layer) follows \(previous.layer)")
    }
  }

  /// One budget for each group; a group smaller than the count that another can meet keeps all it has.
  private static func counts(
    _ budget: TokenBudget, _ sizes: [Int], _ peer: Int?, _ name: (Int) -> String, at pointer: String,
    _ notes: inout [String]
  ) throws(PruningError) -> [Int] {
    let largest = max(sizes.max() ?? 0, peer ?? 0)
    if case .keepTokens(let count) = budget, sizes.count > 1 || peer != nil, count <= largest,
      let group = sizes.firstIndex(where: { $0 < count })
    {
      let more = sizes.count { $0 < count } - 1
      let note =
        "\(name(group))\(more > 0 ? " and \(more) more have" : " has") fewer than \(count) tokens; all are kept"
      if !notes.contains(note) { notes.append(note) }
      _ = try budget.resolve(total: largest, at: pointer)
      return sizes.map { min($0, count) }
    }
    return try sizes.map { (size) throws(PruningError) -> Int in try budget.resolve(total: size, at: pointer)
    }
  }
}
