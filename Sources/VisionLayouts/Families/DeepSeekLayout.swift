import Parameters
import PruningNumerics

extension TokenLayout {
  /// DeepSeek-VL2: the whole image, a separator, then one raster over the tiles; a newline after each row.
  ///
  /// Members: `image_size` [width, height], from which the tiles follow, or `tiles` [rows, columns]; `max_tiles` (9),
  /// `tile_size` (384), `patch_size` (14), `merge_size` (2); `crop` (true; false: one tile that holds the whole image, as
  /// with three images and more in one prompt). Both pictures are padded around the centre, not stretched.
  static func deepSeekVL2(_ given: ParameterReading) throws(PruningError) -> TokenLayout {
    try given.refuseOthers(
      than: ["image_size", "tiles", "max_tiles", "tile_size", "patch_size", "merge_size", "crop"])
    let (listed, size) = try given.tilesOrSize()
    try given.refuse(["max_tiles", "crop"], beside: "tiles")
    let tileSize = try given.integer("tile_size", in: 14...4096) ?? 384
    let patch = try given.integer("patch_size", in: 1...tileSize) ?? 14
    let merge = try given.integer("merge_size", in: 1...16) ?? 2
    let maximum = try given.integer("max_tiles", in: 1...64) ?? 9
    let crops = try given.boolean("crop") ?? true
    let tiles: TileGrid
    if let listed {
      tiles =
        if let size {
          try AnyresCanvas.checked(listed, of: size, among: grids(upTo: listed.count), tileSize, given)
        } else {
          listed
        }
    } else if let size, crops {
      let resolutions = grids(upTo: maximum).map {
        (height: $0.rows * tileSize, width: $0.columns * tileSize)
      }
      tiles = try AnyresCanvas.tiles(for: size, resolutions, tileSize, given)
    } else {
      tiles = TileGrid(rows: 1, columns: 1)
    }
    let cells = (tileSize / patch + merge - 1) / merge
    let canvas = PaddedTiles(tileSize: tileSize, cell: patch * merge, side: cells, image: size)
    let stride = tiles.columns * cells + 1
    let first = cells * (cells + 1) + 1
    let (raster, overflow) = (tiles.rows * cells).multipliedReportingOverflow(by: stride)
    guard !overflow, raster <= maximumTokenCount - first else {
      throw PruningError(at: given.pointer, "makes more than \(maximumTokenCount) tokens")
    }
    let whole = TileGrid(rows: 1, columns: 1)
    var views = [
      TokenView(
        firstToken: 0, rows: cells, columns: cells, rowStride: cells + 1, box: canvas.box(0, 0, of: whole),
        role: .base)
    ]
    for row in 0..<tiles.rows {
      for column in 0..<tiles.columns {
        views.append(
          TokenView(
            firstToken: first + row * cells * stride + column * cells, rows: cells, columns: cells,
            rowStride: stride, box: canvas.box(row, column, of: tiles), role: .tile))
      }
    }
    let newlines = (1...cells).map { $0 * (cells + 1) - 1 } + [first - 1]
    return TokenLayout(
      type: "deepseek_vl2", tokenCount: first + raster, views: views,
      separators: newlines + (1...(tiles.rows * cells)).map { first + $0 * stride - 1 },
      imageSizes: size.map { [$0] } ?? [])
  }

  /// The published resolutions in tiles: all grids of at most `count`.
  private static func grids(upTo count: Int) -> [TileGrid] {
    var grids: [TileGrid] = []
    for tiles in 1...count {
      for rows in 1...tiles where tiles % rows == 0 {
        grids.append(TileGrid(rows: rows, columns: tiles / rows))
      }
    }
    return grids
  }
}

/// A picture that is resized to fit a canvas of tiles and padded around its centre.
struct PaddedTiles {
  let tileSize: Int
  /// Pixels along a token.
  public let cell: Int
  /// Tokens along a tile.
  public let side: Int
  /// nil when it fills the canvas.
  public let image: ImageSize?

  /// What a tile's tokens cover of the image; the last ones may reach beyond their tile, which ends before they do.
  public func box(_ row: Int, _ column: Int, of tiles: TileGrid) -> Box {
    let (width, height) = (Double(tiles.columns * tileSize), Double(tiles.rows * tileSize))
    var placed = (left: 0.0, top: 0.0, width: width, height: height)
    if let image {
      let shape = Double(image.width) / Double(image.height)
      if shape > width / height {
        placed.height = (Double(image.height) / Double(image.width) * width).rounded(.toNearestOrEven)
      } else if shape < width / height {
        placed.width = (shape * height).rounded(.toNearestOrEven)
      }
      placed.width = max(placed.width, 1)
      placed.height = max(placed.height, 1)
      placed.left = ((width - placed.width) / 2).rounded(.toNearestOrEven)
      placed.top = ((height - placed.height) / 2).rounded(.toNearestOrEven)
    }
    let (x, y) = (Double(column * tileSize) - placed.left, Double(row * tileSize) - placed.top)
    let extent = Double(side * cell)
    return Box(
      x0: x / placed.width, y0: y / placed.height, x1: (x + extent) / placed.width,
      y1: (y + extent) / placed.height)
  }
}
