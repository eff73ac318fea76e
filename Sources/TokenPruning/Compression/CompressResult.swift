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
  /// Fallbacks, said out loud.
  public let notes: [String]

  /// Kept tokens, not rows. Some authors' code keeps a token twice; the count never exceeds N.
  public var budget: BudgetEcho { BudgetEcho(kept: min(keptIndices.count, tokenCount), total: tokenCount) }
}

extension CompressResult: CompressedRows {
  func replacing(_ rows: RowSet, rowPositions: [TokenPosition?], notes: [String]) -> CompressResult {
    CompressResult(
      tokenCount: rows.tokenCount, features: rows.features, keptIndices: rows.keptIndices,
      assignments: rows.assignments, sizes: rows.sizes, rowPositions: rowPositions,
      regionRowCount: regionRowCount, notes: notes)
  }

  static func joining(
    _ results: [CompressResult], _ rows: RowSet, rowPositions: [TokenPosition?], notes: [String]
  ) -> CompressResult {
    let regionRows = results.compactMap(\.regionRowCount)
    var joined = CompressResult(
      tokenCount: rows.tokenCount, features: rows.features, keptIndices: rows.keptIndices,
      assignments: rows.assignments, sizes: rows.sizes, rowPositions: rowPositions,
      regionRowCount: regionRows.isEmpty ? nil : regionRows.reduce(0, +), notes: notes)
    joined.imageRows = results.map(\.features.rows)
    return joined
  }
}
