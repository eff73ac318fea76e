public import Numerics
public import VisionLayouts

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
  /// How many rows each image of a layout with several has; nil where there is one image.
  public private(set) var imageRows: [Int]?
  /// The method that merged and why that one, where the request left the choice (`auto`).
  public internal(set) var choice: MethodChoice?
  /// Fallbacks, said out loud.
  public let notes: [String]

  /// Kept tokens, not rows. Some authors' code keeps a token twice; the count never exceeds N.
  public var budget: BudgetEcho { BudgetEcho(kept: min(keptIndices.count, tokenCount), total: tokenCount) }
}

/// The method that decided where the request left the choice.
public struct MethodChoice: Sendable, Equatable {
  public let method: String
  /// One sentence.
  public let reason: String
}

extension CompressResult: CompressedRows {
  func replacing(_ rows: RowSet, rowPositions: [TokenPosition?], notes: [String]) -> CompressResult {
    CompressResult(
      tokenCount: rows.tokenCount, features: rows.features, keptIndices: rows.keptIndices,
      assignments: rows.assignments, sizes: rows.sizes, rowPositions: rowPositions,
      regionRowCount: regionRowCount, choice: choice, notes: notes)
  }

  static func joining(
    _ results: [CompressResult], _ rows: RowSet, rowPositions: [TokenPosition?], notes: [String]
  ) -> CompressResult {
    let regionRows = results.compactMap(\.regionRowCount)
    var joined = CompressResult(
      tokenCount: rows.tokenCount, features: rows.features, keptIndices: rows.keptIndices,
      assignments: rows.assignments, sizes: rows.sizes, rowPositions: rowPositions,
      regionRowCount: regionRows.isEmpty ? nil : regionRows.reduce(0, +), notes: notes)
    joined.choice = results[0].choice
    joined.imageRows = results.map(\.features.rows)
    return joined
  }
}
