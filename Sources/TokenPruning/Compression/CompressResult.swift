public import PruningNumerics
public import VisionLayouts

/// Fewer tokens that stand for all of them.
public struct CompressResult: Sendable, Equatable {
  public internal(set) var tokenCount: Int
  /// [R, D]: rows in the method's order.
  ///
  /// CROP's are the means of the tokens assigned to them. A method may add rows that stand for pruned tokens
  /// only, behind those of kept tokens: R is then more than K. A resampler's are the anchors' own features, then the
  /// region's learned rows, then the background's.
  public internal(set) var features: Matrix
  /// The kept token (anchor) of each of the first K rows; ascending for `crop`.
  public internal(set) var keptIndices: [Int]
  /// The row each token went into [N]; -1 where it is dropped. Of a resampler an anchor's own row, of any other token
  /// the learned row of its part that attends to it most.
  public internal(set) var assignments: [Int]
  /// How many tokens each row stands for [R]; callers may add log(size) to key logits (ToMe, section 3). 0 for a learned
  /// row that is no token's strongest.
  public internal(set) var sizes: [Int]
  /// Where each row's anchor lies [R]; nil outside every view, or without an anchor or layout.
  public internal(set) var rowPositions: [TokenPosition?]
  /// How many rows stand for the region; nil when there is none.
  public internal(set) var regionRowCount: Int?
  /// How many rows each image of a layout with several has; nil where there is one image.
  public internal(set) var imageRows: [Int]?
  /// The method that merged and why that one, where the request left the choice (`auto`).
  public internal(set) var choice: MethodChoice?
  /// What a resampler made; nil where tokens were merged.
  public internal(set) var learned: LearnedRows?
  /// Fallbacks, said out loud.
  public internal(set) var notes: [String]

  /// Of a merge the kept tokens, not rows: some authors' code keeps a token twice, and the count never exceeds N.
  public var budget: BudgetEcho {
    BudgetEcho(kept: learned == nil ? min(keptIndices.count, tokenCount) : features.rows, total: tokenCount)
  }
}

/// The method that decided where the request left the choice.
public struct MethodChoice: Sendable, Equatable {
  public let method: String
  /// One sentence.
  public let reason: String
}

/// Which of the rows a network made.
public struct LearnedRows: Sendable, Equatable {
  public let model: String
  /// Of the region; without one, of the whole image.
  public internal(set) var region: Int
  public internal(set) var background: Int
}
