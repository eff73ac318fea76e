import JSON
import Parameters
public import PruningNumerics

extension PublishedSchedule {
  /// The stages for one image, with whole counts.
  ///
  /// - Throws: at `/stages` when the counts are published for another number of tokens.
  func stages(of total: Int, attentions: Set<String>) throws(PruningError) -> [PruningStage] {
    if let tokenCount, tokenCount != total {
      throw PruningError(
        at: "/stages",
        "schedule '\(name)' is published for \(tokenCount) tokens, and there are \(total); send a "
          + "list of stages with counts of your own")
    }
    return stages.map { stage in
      let attention = Self.attentionName(layer: stage.layer)
      return PruningStage(
        layer: stage.layer, budget: .keepTokens(Self.count(stage.budget, of: total)),
        attention: attentions.contains(attention) ? attention : "attention")
    }
  }

  private static func count(_ budget: TokenBudget, of total: Int) -> Int {
    switch budget {
    case .keepTokens(let count): count
    case .keepRatio(let ratio): Int((ratio * Double(total)).rounded(.down))
    case .pruneRatio(let ratio): Int(((1 - ratio) * Double(total)).rounded(.down))
    }
  }
}

extension PruneRequest {
  /// The same with the stages that its schedule stands for.
  ///
  /// - Throws: as ``expandingSchedule(tokenCount:tensors:)``.
  public func expandingSchedule(
    for input: PruningInput
  ) throws(PruningError) -> PruneRequest {
    try expandingSchedule(
      tokenCount: input.tokenCount, tensors: schedule == nil ? [] : Set(input.tensors.keys))
  }

  /// The same with the stages that its schedule stands for.
  ///
  /// - Parameter tensors: the names of the tensors that stages may read.
  /// - Throws: at `/stages` when the method publishes none of that name, or not for this number of tokens, or when
  ///   the budget is not that of an image; for an unknown method.
  public func expandingSchedule(
    tokenCount: Int, tensors: Set<String> = []
  ) throws(PruningError) -> PruneRequest {
    guard let schedule else { return self }
    guard scope == .image else {
      throw PruningError(
        at: "/stages", "a published schedule is for one image; send a list of stages with this budget_scope")
    }
    let descriptor = try MethodRegistry.standard.type(named: method).descriptor
    guard let published = descriptor.schedules.first(where: { $0.name == schedule }) else {
      let names = descriptor.schedules.map { "'\($0.name)'" }.joined(separator: ", ")
      throw PruningError(
        at: "/stages",
        names.isEmpty
          ? "must be a list of stages: \(method) has no published schedules to name"
          : "'\(schedule.excerpt)' is no published schedule of \(method); there are \(names)"
      )
    }
    var request = self
    request.schedule = nil
    request.stages = try published.stages(of: tokenCount, attentions: tensors)
    return request
  }
}
