import Parameters
import PruningNumerics

extension TokenLayout {
  /// LLaVA-OneVision: the whole image, then one raster over its tiles, shrunk where it is large, a newline after each row.
  ///
  /// Members: `image_size` [width, height]; `max_tiles` (9, the number in `anyres_max_9`), `grid_pinpoints` (all grids of 1
  /// to 6 by 1 to 6 tiles, [height, width]) or `tiles` [rows, columns] in their place, `tile_size` (384), `patch_size` (14),
  /// `newline` (true).
  static func llavaOneVision(_ given: ParameterReading) throws(PruningError) -> TokenLayout {
    try given.refuseOthers(
      than: ["image_size", "max_tiles", "grid_pinpoints", "tiles", "tile_size", "patch_size", "newline"])
    let size = try given.requiredSize("image_size", "the raster is cut by it")
    let tiles = try given.tiles()
    try given.refuse(["grid_pinpoints"], beside: "tiles")
    let tileSize = try given.integer("tile_size", in: 14...4096) ?? 384
    let patchSize = try given.integer("patch_size", in: 1...tileSize) ?? 14
    let maximum = try given.integer("max_tiles", in: 1...TileGrid.maximumCount) ?? 9
    let standard = (1...6).flatMap { row in (1...6).map { (row * tileSize, $0 * tileSize) } }
    let pinpoints = try given.pinpoints(tileSize: tileSize, standard: standard)
    let grid =
      if let tiles {
        try AnyresCanvas.checked(tiles, of: size, among: [tiles.turned], tileSize, given)
      } else {
        try AnyresCanvas.tiles(for: size, pinpoints, tileSize, given)
      }
    let canvas = AnyresCanvas(tiles: grid, tileSize: tileSize, patchSize: patchSize, image: size)
    let newline = try given.boolean("newline") ?? true
    let layout = try canvas.shrunkLayout(toTiles: maximum, newline: newline, at: given.pointer)
    return TokenLayout(
      type: "llava_onevision", tokenCount: layout.tokenCount, views: layout.views,
      separators: layout.separators,
      imageSizes: [size])
  }
}

extension AnyresCanvas {
  /// As ``layout(_:newline:at:)`` of `spatial_unpad`, but the raster resized where it has more than 1.21 times the tokens
  /// of `maximum` tiles.
  fileprivate func shrunkLayout(
    toTiles maximum: Int, newline: Bool, at pointer: String
  ) throws(PruningError) -> TokenLayout {
    let raster = visibleCells
    let (rows, columns) = (Double(raster.rows.count), Double(raster.columns.count))
    let ratio = (rows * columns / Double(maximum * side * side)).squareRoot()
    guard ratio > 1.1 else { return try layout(.spatialUnpad, newline: newline, at: pointer) }
    var sequence = ViewSequence(at: pointer)
    try sequence.append(rows: side, columns: side, box: baseBox, role: .base)
    let (height, width) = (Int((rows / ratio).rounded(.down)), Int((columns / ratio).rounded(.down)))
    guard height > 0, width > 0 else {
      throw PruningError(at: pointer, "makes a raster without rows or columns")
    }
    let stride = width + (newline ? 1 : 0)
    let first = sequence.tokenCount
    let view = TokenView(
      firstToken: first, rows: height, columns: width, rowStride: stride,
      box: box(rows: raster.rows, columns: raster.columns), role: .tile)
    return TokenLayout(
      type: "llava_onevision", tokenCount: first + height * stride, views: sequence.views + [view],
      separators: newline ? (1...height).map { first + $0 * stride - 1 } : [])
  }
}
