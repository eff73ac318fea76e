/// Fewer tokens that stand for all of them.
public struct CompressResult: Sendable, Equatable {
  public let tokenCount: Int
  /// [R, D]: rows in the method's order.
  ///
  /// CROP's are the means of the tokens assigned to them. A method may add rows that stand for pruned tokens
  /// only, behind those of kept tokens: R is then more than K.
  public let features: Matrix
  /// The kept token (anchor) of each of the first K rows; ascending for `crop`.
  public let keptIndices: [Int]
  /// The row each token went into [N]; -1 where it is dropped.
  public let assignments: [Int]
  /// How many tokens each row stands for [R]; callers may add log(size) to key logits (ToMe, section 3).
  public let sizes: [Int]
  /// Where each row's anchor lies [R]; nil outside every view, or without an anchor or layout.
  public let rowPositions: [TokenPosition?]
  /// How many rows stand for the region; nil when there is none.
  public let regionRowCount: Int?
  /// Fallbacks, said out loud.
  public let notes: [String]

  /// Kept tokens, not rows. Some authors' code keeps a token twice; the count never exceeds N.
  public var budget: BudgetEcho { BudgetEcho(kept: min(keptIndices.count, tokenCount), total: tokenCount) }
}
