import VisionLayouts

/// The crop box of ViCrop (Zhang et al., "MLLMs Know Where to Look", ICLR 2025, arXiv 2502.17422).
///
/// Windows of 1, 1.2, 1.4, 1.6, 1.8 and 2 times the tower's input slide over the map; the size whose best window
/// stands out most from its neighbours wins.
///
/// *Deviations*: a window smaller than one cell of the map (images of more than 24 x 336 pixels per side) is
/// skipped; the authors' code divides by 0 there and answers the top-left corner, as `faithful` does. Sums are in
/// Double.
enum ViCrop {
  struct Crop: Equatable {
    /// In pixels of the original image; not whole where the ratio is not.
    let box: Box
    /// (best window's sum - mean of its neighbours' sums) / window's cells; nil for the whole image, NaN for a
    /// window without cells.
    let sharpness: Double?
  }

  static let ratios = [1, 1.2, 1.4, 1.6, 1.8, 2]

  /// - Parameters:
  ///   - map: row-major, rows x columns.
  ///   - base: side of the tower's input in pixels: 336 for LLaVA-1.5, 224 for BLIP and Qwen.
  ///   - isFaithful: whether a window without a whole cell wins over all others, at the top left.
  /// - Returns: nil when no window of any size has a whole cell.
  /// - Complexity: O(ratios x cells x (window's width + height)).
  static func crop(
    _ map: [Double], rows: Int, columns: Int, image: ImageSize, base: Double, isFaithful: Bool = false
  ) -> Crop? {
    let cellWidth = Double(image.width) / Double(columns)
    let cellHeight = Double(image.height) / Double(rows)
    var best: (window: Window, size: Double, sharpness: Double)?
    for ratio in ratios {
      let size = base * ratio
      let width = Int(min((size / cellWidth).rounded(.down), Double(columns)))
      let height = Int(min((size / cellHeight).rounded(.down), Double(rows)))
      if width == columns, height == rows {
        if ratio == 1 {
          let whole = Box(x0: 0, y0: 0, x1: Double(image.width), y1: Double(image.height))
          return Crop(box: whole, sharpness: nil)
        }
        continue
      }
      guard width > 0, height > 0 else {
        guard isFaithful else { continue }
        // Its sum and its neighbours' are 0, and 0 / 0 is the largest to argmax.
        best = (Window(row: 0, column: 0, width: width, height: height, sum: 0), size, .nan)
        break
      }
      let sums = WindowSums(map, rows: rows, columns: columns, width: width, height: height)
      let window = sums.firstMaximum()
      let sharpness = (window.sum - sums.meanOfNeighbours(of: window)) / Double(width * height)
      if sharpness > best?.sharpness ?? -.infinity { best = (window, size, sharpness) }
    }
    guard let best else { return nil }
    let x = span(best.window.column, best.window.width, cellWidth, side: image.width, size: best.size)
    let y = span(best.window.row, best.window.height, cellHeight, side: image.height, size: best.size)
    return Crop(box: Box(x0: x.low, y0: y.low, x1: x.high, y1: y.high), sharpness: best.sharpness)
  }

  /// A square's side around the window's centre, moved inside the image along one axis.
  private static func span(
    _ first: Int, _ count: Int, _ cell: Double, side: Int, size: Double
  ) -> (low: Double, high: Double) {
    let half = (size / 2).rounded(.down)
    let limit = Double(side)
    var centre = (Double(first) * cell + cell * Double(count) / 2).rounded(.down)
    centre = max(centre, half)
    centre = min(centre, limit - half)
    return (max(0, centre - half), min(limit, centre + half))
  }
}

/// A window of cells and the sum of the map inside it.
private struct Window {
  let row: Int
  let column: Int
  let width: Int
  let height: Int
  let sum: Double
}

/// The sum under every position of one window.
///
/// Summed along rows, then along columns, every position in the same order: equal cells give equal sums, which
/// differences of an integral image in floating point would not.
private struct WindowSums {
  let rows: Int
  let columns: Int
  let width: Int
  let height: Int
  private let sums: [Double]

  init(_ map: [Double], rows: Int, columns: Int, width: Int, height: Int) {
    self.rows = rows - height + 1
    self.columns = columns - width + 1
    self.width = width
    self.height = height
    var rowSums = [Double](repeating: 0, count: rows * self.columns)
    for row in 0..<rows {
      for column in 0..<self.columns {
        for offset in 0..<width {
          rowSums[row * self.columns + column] += map[row * columns + column + offset]
        }
      }
    }
    var sums = [Double](repeating: 0, count: self.rows * self.columns)
    for row in 0..<self.rows {
      for column in 0..<self.columns {
        for offset in 0..<height {
          sums[row * self.columns + column] += rowSums[(row + offset) * self.columns + column]
        }
      }
    }
    self.sums = sums
  }

  private func sum(_ row: Int, _ column: Int) -> Double { sums[row * columns + column] }

  /// Column by column from the left, each from the top.
  func firstMaximum() -> Window {
    var best = (row: 0, column: 0)
    for column in 0..<columns {
      for row in 0..<rows where sum(row, column) > sum(best.row, best.column) { best = (row, column) }
    }
    return Window(
      row: best.row, column: best.column, width: width, height: height, sum: sum(best.row, best.column))
  }

  func meanOfNeighbours(of window: Window) -> Double {
    // There is one, for a window that fills both axes is not slid.
    let positions = [(0, -1), (0, 1), (-1, 0), (1, 0)].map { (window.row + $0.0, window.column + $0.1) }
    let existing = positions.filter { (0..<rows).contains($0.0) && (0..<columns).contains($0.1) }
    return existing.reduce(0) { $0 + sum($1.0, $1.1) } / Double(existing.count)
  }
}
