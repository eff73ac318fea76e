import Parameters
import PruningNumerics

extension TokenLayout {
  /// What differs between Idefics3 and SmolVLM by default.
  struct IdeficsFamily: Sendable {
    public let type: String
    let tileSize: Int
    let patchSize: Int
    let scaleFactor: Int
    let longestEdge: Int

    public static let idefics3 = IdeficsFamily(
      type: "idefics3", tileSize: 364, patchSize: 14, scaleFactor: 2, longestEdge: 1456)
    static let smolVLM = IdeficsFamily(
      type: "smolvlm", tileSize: 512, patchSize: 16, scaleFactor: 4, longestEdge: 2048)
  }

  /// Idefics3 and SmolVLM: tiles row by row, then the whole image; `scale_factor`^2 patches to a token.
  ///
  /// Members: `image_size` [width, height] with `longest_edge`, from which the tiles follow, or `tiles` [rows,
  /// columns]; `tile_size`, `patch_size`, `scale_factor`, `split` (true; false: the whole image only). Text
  /// stands between the tiles in the prompt; it is not part of the layout.
  static func idefics(_ family: IdeficsFamily, _ given: ParameterReading) throws(PruningError) -> TokenLayout
  {
    try given.refuseOthers(
      than: ["image_size", "tiles", "longest_edge", "tile_size", "patch_size", "scale_factor", "split"])
    let tileSize = try given.integer("tile_size", in: 1...4096) ?? family.tileSize
    let patchSize = try given.integer("patch_size", in: 1...tileSize) ?? min(family.patchSize, tileSize)
    let patches = tileSize / patchSize
    let scale = try given.integer("scale_factor", in: 1...patches) ?? min(family.scaleFactor, patches)
    let longestEdge = try given.integer("longest_edge", in: 1...16_384) ?? family.longestEdge
    let splits = try given.boolean("split") ?? true
    if !splits { try given.refuse(["tiles", "longest_edge"], "has no meaning with split: false") }
    try given.refuse(["longest_edge"], beside: "tiles")
    let (tiles, size) =
      splits ? try given.tilesOrSize() : (TileGrid(rows: 1, columns: 1), try given.size("image_size"))
    let grid =
      if let tiles { tiles } else {
        size.map { ideficsGrid($0, tileSize: tileSize, longestEdge: longestEdge) }
      }
    guard let grid, grid.count <= TileGrid.maximumCount else {
      throw PruningError(at: given.path("longest_edge"), "makes more than \(TileGrid.maximumCount) tiles")
    }
    if let tiles, let size, tiles.rows != tiles.columns {
      // The longer side has the more tiles; a few pixels more or less are lost in rounding.
      let shape = Double(size.width) / Double(size.height)
      guard tiles.rows > tiles.columns ? shape < 1.05 : shape > 1 / 1.05 else {
        throw given.contradiction(tiles, size, cutInto: tiles.turned)
      }
    }
    let side = patches / scale
    // Of 27 patches in 384 pixels, six pixels are left that no token sees.
    let share = Double(side * scale * patchSize) / Double(tileSize)
    var sequence = ViewSequence(at: given.pointer)
    if grid.count > 1 { try sequence.appendTiles(grid, side: side, covering: share) }
    try sequence.append(
      rows: side, columns: side, box: Box(x0: 0, y0: 0, x1: share, y1: share),
      role: grid.count > 1 ? .thumbnail : .image)
    return sequence.layout(family.type, size)
  }

  /// The longer side becomes `longestEdge` and then whole tiles; the other follows, whole tiles too.
  private static func ideficsGrid(_ size: ImageSize, tileSize: Int, longestEdge: Int) -> TileGrid {
    let absoluteMaximum = 4096
    let isWide = size.width >= size.height
    let shape = Double(size.width) / Double(size.height)
    func across(_ long: Int) -> Int {
      Int(isWide ? Double(long) / shape : Double(long) * shape)
    }
    var long = longestEdge
    var short = max(across(long) + across(long) % 2, 1)
    if long > absoluteMaximum {
      // From here on the package reckons with the rounded shape.
      let rounded = isWide ? Double(long) / Double(short) : Double(short) / Double(long)
      long = absoluteMaximum
      short = max(Int(isWide ? Double(long) / rounded : Double(long) * rounded), 1)
    }
    let ratio = isWide ? Double(long) / Double(short) : Double(short) / Double(long)
    let longTiles = (long + tileSize - 1) / tileSize
    let whole = Double(longTiles * tileSize)
    let shortPixels = Int(isWide ? whole / ratio : whole * ratio)
    let shortTiles = max((shortPixels + tileSize - 1) / tileSize, 1)
    return isWide
      ? TileGrid(rows: shortTiles, columns: longTiles) : TileGrid(rows: longTiles, columns: shortTiles)
  }
}
