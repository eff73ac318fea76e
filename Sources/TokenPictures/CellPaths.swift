import VisionLayouts

/// Path data over the cells of a grid, a cell being one unit wide and high.
///
/// Cells beside each other are one rectangle, so that a picture of thousands of tokens is a few kilobytes.
struct CellPaths {
  let grid: TokenView

  /// The cells for which `includes` their token, as rectangles a row high.
  func cells(where includes: (Int) -> Bool) -> String {
    var path = ""
    for row in 0..<grid.rows {
      let first = grid.token(row: row, column: 0)
      var column = 0
      while column < grid.columns {
        guard includes(first + column) else {
          column += 1
          continue
        }
        let start = column
        while column < grid.columns, includes(first + column) { column += 1 }
        path += "M\(start) \(row)h\(column - start)v1h-\(column - start)z"
      }
    }
    return path
  }

  /// The lines between cells.
  func lines() -> String {
    var path = ""
    for row in 1..<max(grid.rows, 1) { path += "M0 \(row)h\(grid.columns)" }
    for column in 1..<max(grid.columns, 1) { path += "M\(column) 0v\(grid.rows)" }
    return path
  }

  /// The lines between neighbours of different `value`s.
  func borders(between value: (Int) -> Int) -> String {
    var path = ""
    for row in 0..<grid.rows {
      for column in 0..<grid.columns {
        let own = value(grid.token(row: row, column: column))
        if column + 1 < grid.columns, value(grid.token(row: row, column: column + 1)) != own {
          path += "M\(column + 1) \(row)v1"
        }
        if row + 1 < grid.rows, value(grid.token(row: row + 1, column: column)) != own {
          path += "M\(column) \(row + 1)h1"
        }
      }
    }
    return path
  }

  /// A small square in the middle of each cell of `tokens`.
  func dots(where includes: (Int) -> Bool) -> String {
    var path = ""
    for row in 0..<grid.rows {
      for column in 0..<grid.columns where includes(grid.token(row: row, column: column)) {
        path += "M\(column).3 \(row).3h.4v.4h-.4z"
      }
    }
    return path
  }
}
