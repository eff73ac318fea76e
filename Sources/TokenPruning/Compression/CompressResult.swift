/// Fewer tokens that stand for all of them.
public struct CompressResult: Sendable, Equatable {
  public let tokenCount: Int
  /// [K, D]: row r is the mean of the tokens assigned to it.
  public let features: Matrix
  /// The anchor of each row, ascending.
  public let keptIndices: [Int]
  /// The row each token went into [N].
  public let assignments: [Int]
  /// How many tokens each row stands for [K]; callers may add log(size) to key logits (ToMe, section 3).
  public let sizes: [Int]
  /// Where each row's anchor lies [K]; nil outside every view, or without a layout.
  public let rowPositions: [TokenPosition?]
  /// How many rows stand for the region; nil when there is none.
  public let regionRowCount: Int?
  /// Fallbacks, said out loud.
  public let notes: [String]

  public var budget: BudgetEcho { BudgetEcho(kept: keptIndices.count, total: tokenCount) }
}
