import PruningNumerics

/// Why each token stayed or went, as parallel arrays over the tokens.
public struct PruneExplanation: Sendable, Hashable {
  /// Every rule that some token came under.
  public private(set) var rules: [String] = []
  /// The rule of each token [N], an index into ``rules``.
  public private(set) var rule: [Int]
  /// Where each token ranks among those that share its budget, 1 the best, the bias of a region included [N];
  /// nil for a method without scores. A separator outside every budget has none.
  public internal(set) var ranks: [Int?]?
  /// 1 for each query row of `attention` that counted, 0 for the others [M], where the method chooses among them:
  /// as the tensor `text_raters` of later stages has it.
  public internal(set) var textRaters: [Int]?
  /// Whether each token lies in the region [N]; nil without one.
  public let isInside: [Bool]?

  init(tokenCount: Int, groups: BudgetGroups, isInside: [Bool]?, previous: [Int]? = nil) {
    rule = [Int](repeating: 0, count: tokenCount)
    self.isInside = isInside
    if let previous {
      let isLeft = Set(previous)
      for token in 0..<tokenCount where !isLeft.contains(token) { rule[token] = index(of: "dropped: before") }
    }
    for token in groups.keptSeparators { rule[token] = index(of: "kept: newline") }
    for token in groups.droppedSeparators { rule[token] = index(of: "dropped: newline") }
  }

  /// Those of several images, one after the other; nil without any.
  init?(joining parts: [PruneExplanation]) {
    guard let first = parts.first else { return nil }
    rule = []
    ranks = parts.allSatisfy { $0.ranks != nil } ? parts.flatMap { $0.ranks ?? [] } : nil
    // One list is all that later stages can be given.
    textRaters = parts.allSatisfy { $0.textRaters == first.textRaters } ? first.textRaters : nil
    isInside = parts.allSatisfy { $0.isInside != nil } ? parts.flatMap { $0.isInside ?? [] } : nil
    for part in parts {
      var known: [Int] = []
      for text in part.rules { known.append(index(of: text)) }
      rule += part.rule.map { known[$0] }
    }
  }

  /// Ranks by score within each group.
  static func ranks(by scores: [Double], in groups: [[Int]], of tokenCount: Int) -> [Int?] {
    var ranks = [Int?](repeating: nil, count: tokenCount)
    for group in groups {
      for (rank, token) in Ranking.highest(group.count, of: scores, among: group).enumerated() {
        ranks[token] = rank + 1
      }
    }
    return ranks
  }

  /// Gives the tokens of one step their rules; a later step overwrites those of the tokens it drops.
  mutating func record(
    _ kept: [[Int]], of survivors: [[Int]], _ step: Quotas.Step, _ selection: RegionSelection
  ) {
    let inside = selection.isInside
    for (kept, survivors) in zip(kept, survivors) {
      let stay = Set(kept)
      let isWhole = survivors.allSatisfy { !inside[$0] || stay.contains($0) }
      // Four kinds of tokens at most; texts are made once for each that occurs.
      var known = [Int?](repeating: nil, count: 4)
      for token in survivors {
        let isKept = stay.contains(token)
        let kind = (isKept ? 2 : 0) + (inside[token] ? 1 : 0)
        if known[kind] == nil {
          known[kind] = index(
            of: isKept
              ? keepingRule(inside[token], isWhole, selection) : droppingRule(inside[token], step, selection))
        }
        rule[token] = known[kind] ?? 0
      }
    }
  }

  private func keepingRule(_ isInside: Bool, _ isWhole: Bool, _ selection: RegionSelection) -> String {
    let how = ranks == nil ? "chosen by \(selection.decidedBy)" : "by score"
    switch selection.policy {
    case .none: return "kept: \(how)"
    case .only where isWhole, .first where isWhole && isInside: return "kept: in the region"
    default: return "kept: \(isInside ? "in the region" : "outside the region"), \(how)"
    }
  }

  private func droppingRule(
    _ isInside: Bool, _ step: Quotas.Step, _ selection: RegionSelection
  ) -> String {
    let dropped = step.stage.map { "dropped at stage \(step.number + 1) (layer \($0.layer))" } ?? "dropped"
    let cut = ranks == nil ? "not chosen by \(selection.decidedBy)" : "below the cut"
    switch selection.policy {
    case .none: return "\(dropped): \(cut)"
    case .only where !isInside: return "\(dropped): outside the region"
    default: return "\(dropped): \(isInside ? "in the region" : "outside the region"), \(cut)"
    }
  }

  private mutating func index(of text: String) -> Int {
    if let index = rules.firstIndex(of: text) { return index }
    rules.append(text)
    return rules.count - 1
  }
}
