import VisionLayouts

/// Draws one sheet at a place of the document.
struct SheetDrawing {
  let sheet: Sheet
  let picture: TokenPicture
  let fates: TokenFates
  let x: Double
  let y: Double
  let width: Double
  let height: Double
  /// The id of the photograph to draw on, if there is one.
  let photograph: String?

  func draw(into svg: inout SVGText) {
    let image = place(of: .unit)
    if let photograph {
      svg.markup(
        "<use href=\"#\(photograph)\" transform=\"translate(\(number(image.x)) \(number(image.y))) "
          + "scale(\(scale(image.width)) \(scale(image.height)))\"/>\n")
    }
    for grid in sheet.grids { drawCells(of: grid, into: &svg) }
    drawMap(into: &svg)
    for grid in sheet.grids { drawFates(of: grid, into: &svg) }
    if sheet.grids.count > 1 || sheet.area != .unit {
      rectangle(image, "edge", into: &svg)
      for grid in sheet.grids { rectangle(place(of: grid.box), "edge", into: &svg) }
    }
    for style in ["halo", "region"] {
      for region in picture.regions where region.image == sheet.image {
        rectangle(place(of: region.area), style, into: &svg)
      }
    }
  }

  private func drawCells(of grid: TokenView, into svg: inout SVGText) {
    guard photograph == nil else { return }
    path("cell", "M0 0h\(grid.columns)v\(grid.rows)h-\(grid.columns)z", grid, into: &svg)
  }

  private func drawFates(of grid: TokenView, into svg: inout SVGText) {
    let cells = CellPaths(grid: grid)
    switch picture.marks {
    case .kept, .stages:
      if photograph != nil {
        path("dim", cells.cells { !fates.isKept($0) }, grid, into: &svg)
      } else {
        for stage in fates.partialStages.indices {
          let opacity = Double(stage + 1) / Double(fates.partialStages.count + 1)
          let text = cells.cells { fates.partialStages[stage].contains($0) }
          path("part", text, grid, "fill-opacity=\"\(number(opacity))\"", into: &svg)
        }
        path("kept", cells.cells(where: fates.isKept), grid, into: &svg)
      }
    case .inside: path("inside", cells.cells(where: fates.isKept), grid, into: &svg)
    case .merged(let rows, let anchors):
      let row = { (token: Int) in rows.indices.contains(token) ? rows[token] : -1 }
      if photograph != nil { path("dim", cells.cells { row($0) < 0 }, grid, into: &svg) }
      for (index, color) in Theme.groupColors.enumerated() {
        let text = cells.cells { row($0) >= 0 && row($0) % Theme.groupColors.count == index }
        let opacity = photograph == nil ? "" : " fill-opacity=\".5\""
        path("group", text, grid, "fill=\"\(color)\"\(opacity)", into: &svg)
      }
      path("border", cells.borders(between: row), grid, into: &svg)
      let isAnchor = TokenFates.Membership(anchors)
      path("anchor", cells.dots(where: isAnchor.contains), grid, into: &svg)
      return
    }
    path(photograph == nil ? "line" : "over", cells.lines(), grid, into: &svg)
  }

  /// Levels of the map: a path each.
  private static let levels = 8

  private func drawMap(into svg: inout SVGText) {
    guard picture.maps.indices.contains(sheet.image) else { return }
    switch picture.marks {
    // It would colour what is kept of the photograph.
    case .kept where photograph != nil, .stages where photograph != nil: return
    default: break
    }
    let values = picture.maps[sheet.image]
    let side = Int(Double(values.count).squareRoot())
    guard side > 0, side * side == values.count, let low = values.min(), let high = values.max() else {
      return
    }
    // Halves, because the difference of two finite numbers may be infinite.
    let range = high / 2 - low / 2
    guard range > 0, range.isFinite else { return }
    let blocks = TokenView(firstToken: 0, rows: side, columns: side)
    let strongest = photograph == nil ? 0.7 : 0.45
    for level in 1...Self.levels {
      let text = CellPaths(grid: blocks).cells { block in
        let share = (values[block] / 2 - low / 2) / range
        return (share * Double(Self.levels)).rounded() == Double(level)
      }
      let opacity = strongest * Double(level) / Double(Self.levels)
      path("heat", text, blocks, "fill-opacity=\"\(number(opacity))\"", into: &svg)
    }
  }

  // MARK: Places

  private typealias Place = (x: Double, y: Double, width: Double, height: Double)

  /// Where a rectangle of the image is drawn.
  private func place(of area: Box) -> Place {
    let horizontal = width / sheet.area.width
    let vertical = height / sheet.area.height
    return (
      x + (area.x0 - sheet.area.x0) * horizontal, y + (area.y0 - sheet.area.y0) * vertical,
      area.width * horizontal, area.height * vertical
    )
  }

  private func path(
    _ style: String, _ data: String, _ grid: TokenView, _ attributes: String = "",
    into svg: inout SVGText
  ) {
    guard !data.isEmpty else { return }
    let place = place(of: grid.box)
    svg.markup("<path class=\"\(style)\"\(attributes.isEmpty ? "" : " ")\(attributes) transform=\"translate(")
    svg.markup("\(number(place.x)) \(number(place.y))) scale(\(scale(place.width / Double(grid.columns))) ")
    svg.markup("\(scale(place.height / Double(grid.rows))))\" d=\"\(data)\"/>\n")
  }

  private func rectangle(_ place: Place, _ style: String, into svg: inout SVGText) {
    svg.markup(
      "<rect class=\"\(style)\" x=\"\(number(place.x))\" y=\"\(number(place.y))\" width=\"\(number(place.width))\" "
        + "height=\"\(number(place.height))\"/>\n")
  }

  private func number(_ value: Double) -> String { SVGText.number(value) }

  /// A factor, which two decimals would make too coarse for hundreds of cells: a fraction of ten thousandths.
  private func scale(_ value: Double) -> String {
    // Not a number is not more than 0.
    let bounded = value > 0 ? min(value, 1e9) : 0
    let tenThousandths = Int((bounded * 10_000).rounded())
    let (units, rest) = tenThousandths.quotientAndRemainder(dividingBy: 10_000)
    guard rest > 0 else { return "\(units)" }
    var digits = String(rest + 10_000).dropFirst()
    while digits.last == "0" { digits.removeLast() }
    return "\(units).\(digits)"
  }
}
