import PruningNumerics

/// A grid of tokens cut into as many cells as a budget says: what pooling, resizing and even sampling share.
///
/// The grid is cut into bands of equal height, and each band into cells of equal width: a square number into a square of
/// cells; any other into bands of equal numbers where some divide it well, else bands whose numbers differ by one.
public struct GridCells: Sendable {
  public struct Cell: Sendable {
    public let view: TokenView
    /// In rows and columns of the grid.
    public let top: Double, bottom: Double, left: Double, right: Double
    /// The token whose cell of the grid has the centre in it.
    public let centre: Int

    /// The rows and columns whose middles lie in the cell, of which there are some.
    public var rows: Range<Int> { Self.middles(top, bottom, view.rows) }
    public var columns: Range<Int> { Self.middles(left, right, view.columns) }

    private static func middles(_ low: Double, _ high: Double, _ count: Int) -> Range<Int> {
      let first = max(0, Int((low - 0.5).rounded(.up)))
      let end = min(count, Int((high - 0.5).rounded(.up)))
      return first..<max(first, end)
    }
  }

  public let cells: [Cell]
  /// Whether one view is cut into a square of cells.
  public let isSquare: Bool

  /// - Precondition: 0 <= count <= the tokens of the views.
  public init(_ count: Int, of views: [TokenView]) {
    let sizes = views.map(\.tokenCount)
    let shares = apportion(count, by: sizes, limits: sizes)
    cells = zip(views, shares).flatMap { Self.cells($1, of: $0) }
    isSquare = views.count == 1 && Self.square(count, views[0]) != nil
  }

  private static func square(_ count: Int, _ view: TokenView) -> Int? {
    let side = Int(Double(count).squareRoot().rounded())
    return side * side == count && side <= min(view.rows, view.columns) ? side : nil
  }

  /// How many bands, so that cells are about as high as they are wide.
  private static func bandCount(_ count: Int, _ view: TokenView) -> Int {
    if let side = square(count, view) { return side }
    let ideal = (Double(count) * Double(view.rows) / Double(view.columns)).squareRoot()
    let least = (count + view.columns - 1) / view.columns
    let possible = least...max(least, min(view.rows, count))
    func distortion(_ bands: Int) -> Double { max(Double(bands) / ideal, ideal / Double(bands)) }
    let dividing = possible.filter { count % $0 == 0 }.min { distortion($0) < distortion($1) }
    if let dividing, distortion(dividing) <= 1.5 { return dividing }
    return possible.min { distortion($0) < distortion($1) } ?? least
  }

  private static func cells(_ count: Int, of view: TokenView) -> [Cell] {
    guard count > 0 else { return [] }
    let bands = bandCount(count, view)
    let height = Double(view.rows) / Double(bands)
    var cells: [Cell] = []
    for band in 0..<bands {
      let own = (band + 1) * count / bands - band * count / bands
      let width = Double(view.columns) / Double(own)
      for place in 0..<own {
        cells.append(
          Cell(
            view: view, top: Double(band) * height, bottom: Double(band + 1) * height,
            left: Double(place) * width, right: Double(place + 1) * width,
            centre: view.token(
              row: (2 * band + 1) * view.rows / (2 * bands),
              column: (2 * place + 1) * view.columns / (2 * own))))
      }
    }
    return cells
  }

  /// Which cell each token lies in [N], nil for tokens of no view.
  public func assignments(tokenCount: Int) -> [Int?] {
    var assignments = [Int?](repeating: nil, count: tokenCount)
    for (row, cell) in cells.enumerated() {
      for y in cell.rows {
        for x in cell.columns { assignments[cell.view.token(row: y, column: x)] = row }
      }
    }
    return assignments
  }
}
