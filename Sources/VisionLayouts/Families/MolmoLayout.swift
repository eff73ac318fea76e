public import Parameters
public import PruningNumerics

extension TokenLayout {
  /// What differs between Molmo and Molmo2 by default.
  public struct MolmoFamily: Sendable {
    public let type: String
    let cropSize: Int
    let maximumCrops: Int
    /// Whether the image is padded around its centre, or stretched.
    let pads: Bool

    public static let molmo = MolmoFamily(type: "molmo", cropSize: 336, maximumCrops: 12, pads: true)
    public static let molmo2 = MolmoFamily(type: "molmo2", cropSize: 378, maximumCrops: 8, pads: false)
  }

  /// Molmo and Molmo2: the whole image, then one raster over its overlapping crops; 2 x 2 patches to a token.
  ///
  /// Members: `image_size` [width, height]; `max_crops`, `tile_size`, `patch_size` (14), `overlap` (4 patches at each side
  /// of a crop). The tokens between rows, `<im_col>`, are text and not part of the layout.
  public static func molmo(_ family: MolmoFamily, _ given: ParameterReading) throws(PruningError)
    -> TokenLayout
  {
    try given.refuseOthers(than: ["image_size", "max_crops", "tile_size", "patch_size", "overlap"])
    let size = try given.requiredSize("image_size", "the crops follow from it")
    let cropSize = try given.integer("tile_size", in: 14...4096) ?? family.cropSize
    let patch = try given.integer("patch_size", in: 1...cropSize) ?? 14
    let overlap = try given.integer("overlap", in: 0...64) ?? 4
    let maximum = try given.integer("max_crops", in: 1...64) ?? family.maximumCrops
    let window = cropSize / patch - 2 * overlap
    guard window > 0 else { throw PruningError(at: given.path("overlap"), "leaves nothing of a crop") }
    let margin = 2 * overlap * patch
    let tiles = molmoTiles(
      width: size.width - margin, height: size.height - margin, window: window * patch, upTo: maximum)
    var sequence = ViewSequence(at: given.path("image_size"))
    func append(width: Int, height: Int, _ role: TokenView.Role) throws(PruningError) {
      // Of an odd number of patches the last one has a token of its own.
      let columns = (width / patch + 1) / 2
      let rows = (height / patch + 1) / 2
      let box = molmoBox(of: size, inWidth: width, height: height, pads: family.pads)
      let cell = 2 * patch
      let (x, y) = (box.width / Double(width), box.height / Double(height))
      try sequence.append(
        rows: rows, columns: columns,
        box: Box(
          x0: box.x0, y0: box.y0, x1: box.x0 + Double(columns * cell) * x,
          y1: box.y0 + Double(rows * cell) * y),
        role: role)
    }
    try append(width: cropSize, height: cropSize, .base)
    try append(
      width: tiles.columns * window * patch + margin, height: tiles.rows * window * patch + margin, .tile)
    return sequence.layout(family.type, size)
  }

  /// The grid of crops that enlarges the image least; where it must shrink in all, the one in which it shrinks least. Of
  /// equals the one with fewer crops, then with fewer rows. In float32, as the processor computes it.
  private static func molmoTiles(width: Int, height: Int, window: Int, upTo maximum: Int) -> TileGrid {
    var grids: [(grid: TileGrid, scale: Float)] = []
    for count in 1...maximum {
      for rows in 1...count where count % rows == 0 {
        let grid = TileGrid(rows: rows, columns: count / rows)
        let scale = min(Float(rows * window) / Float(height), Float(grid.columns * window) / Float(width))
        grids.append((grid, scale))
      }
    }
    var best = grids[0]
    let mustShrink = grids.allSatisfy { $0.scale < 1 }
    func cost(_ scale: Float) -> Float { mustShrink ? -scale : scale < 1 ? 10e9 : scale }
    for candidate in grids where cost(candidate.scale) < cost(best.scale) { best = candidate }
    return best.grid
  }

  /// The canvas in shares of the image: the image itself where it is stretched to the canvas, more where it is padded. In
  /// float32, as the processor computes it.
  private static func molmoBox(of size: ImageSize, inWidth width: Int, height: Int, pads: Bool) -> Box {
    guard pads else { return .unit }
    let scale = min(Float(width) / Float(size.width), Float(height) / Float(size.height))
    let placed = (
      width: max(Int(Float(size.width) * scale), 1), height: max(Int(Float(size.height) * scale), 1)
    )
    let left = Double((width - placed.width) / 2)
    let top = Double((height - placed.height) / 2)
    return Box(
      x0: -left / Double(placed.width), y0: -top / Double(placed.height),
      x1: (Double(width) - left) / Double(placed.width), y1: (Double(height) - top) / Double(placed.height))
  }
}
