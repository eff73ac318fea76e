import VisionLayouts

extension PruningInput {
  /// The views of the layout, else one grid as nearly square as the number of tokens allows.
  var views: [TokenView] {
    if let views = layout?.views, !views.isEmpty { return views }
    var rows = max(Int(Double(tokenCount).squareRoot()), 1)
    while tokenCount % rows != 0 { rows -= 1 }
    return [TokenView(firstToken: 0, rows: rows, columns: tokenCount / rows)]
  }
}
