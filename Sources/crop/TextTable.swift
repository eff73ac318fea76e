/// Columns of text, each as wide as its widest cell, two spaces apart.
struct TextTable: Sendable {
  let header: [String]
  /// Each as long as the header.
  let rows: [[String]]

  var text: String {
    let lines = (header.isEmpty ? [] : [header]) + rows
    let columnCount = lines.map(\.count).max() ?? 0
    let widths = (0..<columnCount).map { column in
      lines.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    return lines.map { cells in
      let padded = cells.enumerated().map { column, cell in
        column == cells.count - 1
          ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
      }
      return padded.joined(separator: "  ") + "\n"
    }.joined()
  }
}
