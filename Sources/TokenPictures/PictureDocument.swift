import VisionLayouts

/// An SVG document of one or more figures beside each other.
///
/// Pure: the same figures give the same bytes. One path for each kind of mark and grid, whatever the number of tokens.
public struct PictureDocument: Sendable {
  /// A photograph for an image of every figure, as a `data:` URL.
  public struct Photograph: Sendable {
    public var dataURL: String

    public init(dataURL: String) { self.dataURL = dataURL }
  }

  /// Read out by screen readers, and shown when the pointer rests.
  public var title: String
  /// The same in more words.
  public var description: String
  public var figures: [Figure]
  /// For each image of a figure, from the first on; frames of a video are drawn without.
  public var photographs: [Photograph]

  public init(title: String, description: String, figures: [Figure], photographs: [Photograph] = []) {
    self.title = title
    self.description = description
    self.figures = figures
    self.photographs = photographs
  }

  /// More sheets than this of a figure are left out; a note says how many.
  static let maximumSheets = 256
  private static let margin = 16.0
  private static let gap = 20.0
  private static let lineHeight = 19.0
  /// Beyond this figures continue below.
  private static let widest = 1_240.0

  /// - Complexity: O(tokens) for each figure.
  public func svg() -> [UInt8] { svg(while: { true }) ?? [] }

  /// The same, or nil once `isWanted` is not true; it is asked before each figure is drawn.
  public func svg(while isWanted: () -> Bool) -> [UInt8]? {
    var placed: [(figure: PlacedFigure, x: Double, y: Double)] = []
    var (x, y, rowHeight, width) = (Self.margin, Self.margin, 0.0, 0.0)
    for figure in figures {
      let sized = PlacedFigure(figure, alone: figures.count == 1, lineHeight: Self.lineHeight)
      if x > Self.margin, x + sized.width > Self.widest {
        (x, y, rowHeight) = (Self.margin, y + rowHeight + Self.gap, 0)
      }
      placed.append((sized, x, y))
      width = max(width, x + sized.width + Self.margin)
      rowHeight = max(rowHeight, sized.height)
      x += sized.width + Self.gap
    }
    let height = y + rowHeight + Self.margin
    var svg = SVGText()
    head(width: max(width, 320), height: height, into: &svg)
    for (figure, x, y) in placed {
      guard isWanted() else { return nil }
      figure.draw(x: x, y: y, photographs.count, into: &svg)
    }
    svg.markup("</svg>\n")
    return svg.bytes
  }

  private func head(width: Double, height: Double, into svg: inout SVGText) {
    let size = "\(SVGText.number(width)) \(SVGText.number(height))"
    let sides = size.split(separator: " ")
    svg.markup(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"crop\" role=\"img\" viewBox=\"0 0 \(size)\" width=\"\(sides[0])\" "
        + "height=\"\(sides[1])\">\n")
    svg.element("title", text: title)
    svg.element("desc", text: description)
    svg.markup(Theme.style)
    if !photographs.isEmpty {
      svg.markup("<defs>")
      for (index, photograph) in photographs.enumerated() {
        svg.markup(
          "<image id=\"photograph-\(index)\" width=\"1\" height=\"1\" preserveAspectRatio=\"none\" href=\"")
        svg.escaped(photograph.dataURL)
        svg.markup("\"/>")
      }
      svg.markup("</defs>\n")
    }
    svg.markup("<rect class=\"paper\" width=\"\(sides[0])\" height=\"\(sides[1])\"/>\n")
  }
}

/// A figure whose sheets have sizes and places.
private struct PlacedFigure {
  let figure: Figure
  let width: Double
  let height: Double
  private var sheets: [(sheet: Sheet, x: Double, y: Double, width: Double, height: Double)] = []
  private let lineHeight: Double
  private var notes: [String]

  /// - Parameter alone: whether it has the document for itself.
  init(_ figure: Figure, alone: Bool, lineHeight: Double) {
    let all = Sheet.all(of: figure.picture)
    let longer: Double =
      switch all.count {
      case 0...1: alone ? 480 : 280
      case 2...4: alone ? 300 : 180
      case 5...16: alone ? 200 : 120
      default: 96
      }
    let labelHeight = all.count > 1 ? lineHeight : 0
    let rowWidth = max(alone ? 960.0 : 400.0, longer)
    var (x, y, rowHeight, right) = (0.0, lineHeight + 8, 0.0, 0.0)
    for sheet in all.prefix(PictureDocument.maximumSheets) {
      let size = sheet.size(longerSide: longer)
      if x > 0, x + size.width > rowWidth { (x, y, rowHeight) = (0, y + rowHeight + 12, 0) }
      sheets.append((sheet, x, y + labelHeight, size.width, size.height))
      rowHeight = max(rowHeight, size.height + labelHeight)
      right = max(right, x + size.width)
      x += size.width + 12
    }
    self.figure = figure
    self.lineHeight = lineHeight
    notes = figure.notes
    if all.isEmpty { notes.append("The layout does not say where tokens lie.") }
    if all.count > PictureDocument.maximumSheets {
      notes.append("\(all.count - PictureDocument.maximumSheets) more are not drawn.")
    }
    // Letters are at most about half as wide as high; a line that is longer makes the figure wider.
    let letters = ([figure.caption] + notes).map(\.count).max() ?? 0
    width = max(right, min(Double(letters) * 7.6, 640))
    height = y + rowHeight + 8 + Double(notes.count) * lineHeight
  }

  func draw(x: Double, y: Double, _ photographCount: Int, into svg: inout SVGText) {
    svg.markup("<g transform=\"translate(\(SVGText.number(x)) \(SVGText.number(y)))\">\n")
    svg.element("text", text: figure.caption, "class=\"head\" y=\"14\"")
    let fates = TokenFates(figure.picture.marks)
    for (sheet, x, y, width, height) in sheets {
      if sheets.count > 1 {
        svg.element("text", text: sheet.label, "x=\"\(SVGText.number(x))\" y=\"\(SVGText.number(y - 5))\"")
      }
      let hasPhotograph = sheet.image < photographCount && sheet.grids[0].role != .frame
      SheetDrawing(
        sheet: sheet, picture: figure.picture, fates: fates, x: x, y: y, width: width, height: height,
        photograph: hasPhotograph ? "photograph-\(sheet.image)" : nil
      ).draw(into: &svg)
    }
    var line = height - Double(notes.count) * lineHeight + 13
    for note in notes {
      svg.element("text", text: note, "y=\"\(SVGText.number(line))\"")
      line += lineHeight
    }
    svg.markup("</g>\n")
  }
}
