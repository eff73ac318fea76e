import Parameters
import PruningNumerics

extension TokenLayout {
  /// InternVL: tiles of 448 pixels row by row, then the whole image as a thumbnail if there are several.
  ///
  /// Members: `image_size` [width, height] with `min_tiles` (1) and `max_tiles` (12), from which the tiles
  /// follow, or `tiles` [rows, columns]; `tile_size` (448), `tokens_per_side` (16: 32 x 32 patches, four to a
  /// token), `thumbnail` (true).
  static func internVL(_ given: ParameterReading) throws(PruningError) -> TokenLayout {
    try given.refuseOthers(
      than: ["image_size", "tiles", "min_tiles", "max_tiles", "tile_size", "tokens_per_side", "thumbnail"])
    let (tiles, size) = try given.tilesOrSize()
    try given.refuse(["min_tiles", "max_tiles", "tile_size"], beside: "tiles")
    let side = try given.integer("tokens_per_side", in: 1...1024) ?? 16
    let tileSize = try given.integer("tile_size", in: 1...4096) ?? 448
    let minimum = try given.integer("min_tiles", in: 1...TileGrid.maximumCount) ?? 1
    let maximum =
      try given.integer("max_tiles", in: minimum...TileGrid.maximumCount) ?? max(12, minimum)
    let hasThumbnail = try given.boolean("thumbnail") ?? true
    let grid: TileGrid
    if let tiles {
      if let size {
        // Whatever the limits were, of as many tiles the nearest shape is taken.
        let own = closestGrid(to: size, tileSize: tileSize, tiles.count...tiles.count)
        guard shapeDistance(size, tiles) <= shapeDistance(size, own) else {
          throw given.contradiction(tiles, size, cutInto: own)
        }
      }
      grid = tiles
    } else if let size {
      grid = closestGrid(to: size, tileSize: tileSize, minimum...maximum)
    } else {
      preconditionFailure("tilesOrSize gives one of them")
    }
    var sequence = ViewSequence(at: given.pointer)
    if grid.count == 1 {
      try sequence.append(rows: side, columns: side, role: .image)
    } else {
      try sequence.appendTiles(grid, side: side)
      if hasThumbnail { try sequence.append(rows: side, columns: side, role: .thumbnail) }
    }
    return sequence.layout("internvl", size)
  }

  /// The grid of `counts` tiles whose shape is nearest to the image's.
  ///
  /// Of grids of the same shape a larger one is taken while the image has more than half its pixels. The order
  /// of trial, by tiles and then by columns, decides between shapes equally far away, as in the package.
  static func closestGrid(to size: ImageSize, tileSize: Int, _ counts: ClosedRange<Int>) -> TileGrid {
    let area = Double(size.width) * Double(size.height)
    var best = (grid: TileGrid(rows: 1, columns: 1), distance: Double.infinity)
    for count in counts {
      for columns in 1...count where count % columns == 0 {
        let grid = TileGrid(rows: count / columns, columns: columns)
        let distance = shapeDistance(size, grid)
        if distance < best.distance
          || (distance == best.distance && area > 0.5 * Double(tileSize * tileSize * count))
        {
          best = (grid, distance)
        }
      }
    }
    return best.grid
  }

  private static func shapeDistance(_ size: ImageSize, _ grid: TileGrid) -> Double {
    abs(Double(size.width) / Double(size.height) - Double(grid.columns) / Double(grid.rows))
  }
}
