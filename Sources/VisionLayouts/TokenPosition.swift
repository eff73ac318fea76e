/// A cell of one view of a layout.
public struct TokenPosition: Sendable, Hashable {
  public let view: Int
  public let row: Int
  public let column: Int

  public init(view: Int, row: Int, column: Int) {
    self.view = view
    self.row = row
    self.column = column
  }
}

extension TokenLayout {
  /// The cell of a token, or nil when it lies outside every view.
  ///
  /// - Complexity: O(log views), and the views that share rows of one raster.
  public func position(of token: Int) -> TokenPosition? {
    var low = 0
    var high = views.count
    while low < high {
      let middle = (low + high) / 2
      if views[middle].firstToken <= token { low = middle + 1 } else { high = middle }
    }
    // Only tiles of a raster interleave; elsewhere the last view that starts before the token has it.
    for index in stride(from: low - 1, through: 0, by: -1) {
      let view = views[index]
      if token < view.endToken, view.rowStride > 0 {
        let (row, column) = (token - view.firstToken).quotientAndRemainder(dividingBy: view.rowStride)
        if column < view.columns { return TokenPosition(view: index, row: row, column: column) }
      }
      if view.role != .tile { return nil }
    }
    return nil
  }

  /// The view each token belongs to [N]; a separator to that of the token before it. nil without views.
  ///
  /// - Complexity: O(N).
  public func viewOfEachToken() -> [Int]? {
    guard !views.isEmpty else { return nil }
    var owners = [Int](repeating: -1, count: tokenCount)
    for (index, view) in views.enumerated() {
      for row in 0..<view.rows {
        let start = view.token(row: row, column: 0)
        for token in start..<(start + view.columns) { owners[token] = index }
      }
    }
    var last = 0
    for token in owners.indices {
      if owners[token] < 0 { owners[token] = last } else { last = owners[token] }
    }
    return owners
  }
}
