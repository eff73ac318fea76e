import VisionLayouts

/// Grids that are drawn on one image: all tiles together, every other view by itself.
struct Sheet {
  var grids: [TokenView]
  let image: Int
  /// Units of the image that are drawn: the image, and what grids cover beyond it.
  var area: Box
  /// Width over height of the image.
  var aspectRatio: Double
  var label: String

  static func all(of picture: TokenPicture) -> [Sheet] {
    var sheets: [Sheet] = []
    for grid in picture.grids where grid.rows > 0 && grid.columns > 0 {
      if grid.role == .tile, let last = sheets.last, last.grids[0].role == .tile, last.image == grid.image {
        sheets[sheets.count - 1].grids.append(grid)
        sheets[sheets.count - 1].area = last.area.union(grid.box)
      } else {
        sheets.append(Sheet(grid, picture))
      }
    }
    return labeled(sheets)
  }

  private init(_ grid: TokenView, _ picture: TokenPicture) {
    grids = [grid]
    image = grid.image
    area = Box.unit.union(grid.box)
    // Cells are squares unless the image's shape is known.
    let cells = Double(grid.columns) * grid.box.height / (Double(grid.rows) * max(grid.box.width, 1e-6))
    let known = picture.aspectRatios.indices.contains(grid.image) ? picture.aspectRatios[grid.image] : cells
    aspectRatio = min(max(known.isFinite ? known : 1, 1.0 / 16), 16)
    label = grid.role.rawValue
  }

  private static func labeled(_ sheets: [Sheet]) -> [Sheet] {
    guard sheets.count > 1 else { return sheets }
    let hasImages = sheets.contains { $0.image > 0 }
    var counts: [String: Int] = [:]
    return sheets.map { sheet in
      var sheet = sheet
      if sheet.label == "tile", sheet.grids.count > 1 { sheet.label = "tiles" }
      let key = "\(sheet.image) \(sheet.label)"
      let index = counts[key, default: 0]
      counts[key] = index + 1
      if sheet.label == "frame" || sheet.label == "crop" { sheet.label += " \(index)" }
      if hasImages {
        sheet.label = sheet.label == "image" ? "image \(sheet.image)" : "image \(sheet.image), \(sheet.label)"
      }
      return sheet
    }
  }

  /// How large it is drawn with its longer side this long.
  func size(longerSide: Double) -> (width: Double, height: Double) {
    let width = area.width * aspectRatio
    let height = area.height
    let scale = longerSide / max(width, height)
    return (max(width * scale, 1), max(height * scale, 1))
  }
}

extension Box {
  fileprivate func union(_ other: Box) -> Box {
    Box(x0: min(x0, other.x0), y0: min(y0, other.y0), x1: max(x1, other.x1), y1: max(y1, other.y1))
  }
}
