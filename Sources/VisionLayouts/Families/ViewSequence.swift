import JSON
public import Parameters
public import PruningNumerics

/// Views whose tokens follow each other, as most families lay them out.
struct ViewSequence {
  public private(set) var views: [TokenView] = []
  public private(set) var tokenCount = 0
  private let pointer: String

  /// - Parameter pointer: the member that decides how many views there are, for errors.
  init(at pointer: String) { self.pointer = pointer }

  /// - Throws: for more tokens or views than a layout may have.
  public mutating func append(
    rows: Int, columns: Int, box: Box = .unit, image: Int = 0, role: TokenView.Role
  ) throws(PruningError) {
    let (count, overflow) = rows.multipliedReportingOverflow(by: columns)
    guard !overflow, count <= TokenLayout.maximumTokenCount - tokenCount else {
      throw PruningError(at: pointer, "makes more than \(TokenLayout.maximumTokenCount) tokens")
    }
    guard views.count < TokenLayout.maximumViewCount else {
      throw PruningError(at: pointer, "makes more than \(TokenLayout.maximumViewCount) views")
    }
    views.append(
      TokenView(firstToken: tokenCount, rows: rows, columns: columns, box: box, image: image, role: role))
    tokenCount += count
  }

  /// The layout of these views and nothing else.
  func layout(_ type: String, _ size: ImageSize?) -> TokenLayout {
    TokenLayout(type: type, tokenCount: tokenCount, views: views, imageSize: size)
  }

  /// Tiles that part the image evenly, row by row, each with a square of tokens.
  mutating func appendTiles(
    _ tiles: TileGrid, side: Int, covering share: Double = 1
  ) throws(PruningError) {
    for row in 0..<tiles.rows {
      for column in 0..<tiles.columns {
        try append(
          rows: side, columns: side, box: tiles.box(row: row, column: column, covering: share), role: .tile)
      }
    }
  }
}

/// How many tiles an image is cut into.
public struct TileGrid: Equatable {
  public let rows: Int
  public let columns: Int

  public static let maximumCount = 256

  public var count: Int { rows * columns }

  /// The grid of an image that lies on its side.
  var turned: TileGrid { TileGrid(rows: columns, columns: rows) }

  /// The tile's part of an image resized to fill the grid.
  ///
  /// - Parameter share: how much of each side the patches cover, from the tile's top left: a side that is no
  ///   multiple of the patch has a rest that no token sees.
  public func box(row: Int, column: Int, covering share: Double = 1) -> Box {
    Box(
      x0: Double(column) / Double(columns), y0: Double(row) / Double(rows),
      x1: (Double(column) + share) / Double(columns), y1: (Double(row) + share) / Double(rows))
  }
}

extension ParameterReading {
  /// Rejects members that a layout of this type does not have.
  ///
  /// - Parameter names: of those that it has beside `type`.
  func refuseOthers(than names: [String]) throws(PruningError) {
    try refuseUnknown(besides: ["type"] + names, of: "layout '\(object["type"]?.stringValue ?? "")'")
  }

  /// The member `tiles`: [rows, columns] of tiles, together 1...256.
  public func tiles() throws(PruningError) -> TileGrid? {
    guard let value = member("tiles") else { return nil }
    guard let sides = value.arrayValue?.map(\.integerValue), sides.count == 2,
      let rows = sides[0], let columns = sides[1],
      (1...TileGrid.maximumCount).contains(rows), (1...TileGrid.maximumCount).contains(columns),
      rows * columns <= TileGrid.maximumCount
    else {
      throw PruningError(
        at: path("tiles"), "must be [rows, columns], together 1 to \(TileGrid.maximumCount) tiles")
    }
    return TileGrid(rows: rows, columns: columns)
  }

  /// What is wrong with tiles where the image is cut into others.
  func contradiction(_ tiles: TileGrid, _ size: ImageSize, cutInto own: TileGrid) -> PruningError {
    PruningError(
      at: path("tiles"),
      "are [\(tiles.rows), \(tiles.columns)] (rows, columns), but an image_size of [\(size.width), \(size.height)] (width, height) "
        + "is cut into [\(own.rows), \(own.columns)]; are the numbers of one of them swapped?")
  }

  /// Either the tiles themselves or the image they are cut from.
  func tilesOrSize() throws(PruningError) -> (tiles: TileGrid?, size: ImageSize?) {
    let tiles = try tiles()
    let size = try size("image_size")
    guard tiles != nil || size != nil else {
      throw PruningError(
        at: path("image_size"),
        "is missing: [width, height] in pixels, from which the tiles follow, or \"tiles\": [rows, columns]")
    }
    return (tiles, size)
  }

  /// The members beside `image_size` that only matter when the tiles follow from it.
  public func refuse(_ names: [String], beside other: String) throws(PruningError) {
    if member(other) != nil { try refuse(names, "has no meaning beside \(other)") }
  }
}
