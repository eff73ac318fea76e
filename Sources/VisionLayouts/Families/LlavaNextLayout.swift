import JSON
import Parameters
import PruningNumerics

extension TokenLayout {
  /// How LLaVA-NeXT joins the tokens of its tiles; the names of its `mm_patch_merge_type`.
  enum TileMerge: String, CaseIterable {
    /// One raster over all tiles, without the rows or columns that only show padding, a newline after each row.
    case spatialUnpad = "spatial_unpad"
    /// One raster over all tiles, padding included, no newlines.
    case spatial
    /// Tile after tile, no newlines.
    case flat
  }

  /// Anyres resolutions of LLaVA-NeXT, [height, width].
  static let standardPinpoints = [(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)]

  /// LLaVA-NeXT: the whole image first, then its tiles, usually as one raster with newlines.
  ///
  /// Members: `image_size` [width, height], `merge_type`, `grid_pinpoints` (a list of [height, width]), or
  /// `tiles` [rows, columns] in their place, `tile_size` (336), `patch_size` (14), `newline` (with
  /// `spatial_unpad`, true). `spatial_unpad` needs `image_size`; the others need it for boxes only, and take
  /// the image to fill the tiles without it.
  static func llavaNext(_ given: ParameterReading) throws(PruningError) -> TokenLayout {
    try given.refuseOthers(
      than: ["image_size", "merge_type", "grid_pinpoints", "tiles", "tile_size", "patch_size", "newline"])
    let (tiles, size) = try given.tilesOrSize()
    try given.refuse(["grid_pinpoints"], beside: "tiles")
    let merge = try given.choice("merge_type", TileMerge.self) ?? .spatialUnpad
    let tileSize = try given.integer("tile_size", in: 14...4096) ?? 336
    let patchSize = try given.integer("patch_size", in: 1...tileSize) ?? 14
    let newline = try given.boolean("newline")
    if newline != nil, merge != .spatialUnpad {
      throw PruningError(at: given.path("newline"), "only applies to merge_type 'spatial_unpad'")
    }
    let canvas: AnyresCanvas
    if let size {
      // Those of other towers have the same shapes in tiles.
      let standard = standardPinpoints.map { ($0.0 / 336 * tileSize, $0.1 / 336 * tileSize) }
      let pinpoints = try given.pinpoints(tileSize: tileSize, standard: standard)
      let grid =
        if let tiles {
          try AnyresCanvas.checked(tiles, of: size, among: [tiles.turned], tileSize, given)
        } else {
          try AnyresCanvas.tiles(for: size, pinpoints, tileSize, given)
        }
      canvas = AnyresCanvas(tiles: grid, tileSize: tileSize, patchSize: patchSize, image: size)
    } else if let tiles, merge != .spatialUnpad {
      canvas = AnyresCanvas(tiles: tiles, tileSize: tileSize, patchSize: patchSize, image: nil)
    } else {
      throw PruningError(
        at: given.path("image_size"), "is missing; merge_type 'spatial_unpad' cuts padding away by it")
    }
    return try canvas.layout(merge, newline: newline ?? true, at: given.pointer)
  }
}

extension ParameterReading {
  /// The member `grid_pinpoints`, [height, width] in pixels.
  func pinpoints(
    tileSize: Int, standard: [(Int, Int)]
  ) throws(PruningError) -> [(height: Int, width: Int)] {
    guard let value = member("grid_pinpoints") else { return standard.map { (height: $0.0, width: $0.1) } }
    let pairs = value.arrayValue?.map { $0.arrayValue?.compactMap(\.integerValue) ?? [] } ?? []
    let limit = tileSize * TileGrid.maximumCount
    let isValid = pairs.allSatisfy { pair in
      pair.count == 2 && pair.allSatisfy { (tileSize...limit).contains($0) }
        && (pair[0] / tileSize) * (pair[1] / tileSize) <= TileGrid.maximumCount
    }
    guard (1...1024).contains(pairs.count), isValid else {
      throw PruningError(
        at: path("grid_pinpoints"),
        "must be a list of [height, width] in pixels, each at least one tile of \(tileSize) and at most "
          + "\(TileGrid.maximumCount) tiles together")
    }
    return pairs.map { ($0[0], $0[1]) }
  }
}

/// The resized and padded picture that LLaVA-NeXT cuts into tiles.
struct AnyresCanvas {
  public let tiles: TileGrid
  let tileSize: Int
  let patchSize: Int
  /// The original; nil when it fills the canvas.
  public let image: ImageSize?

  /// Tokens along one side of a tile.
  public var side: Int { tileSize / patchSize }

  /// The tiles of the resolution that keeps the most of the image's pixels and wastes the fewest of its own.
  ///
  /// - Throws: for an image so thin that it vanishes in every resolution.
  public static func tiles(
    for size: ImageSize, _ pinpoints: [(height: Int, width: Int)], _ tileSize: Int, _ given: ParameterReading
  ) throws(PruningError) -> TileGrid {
    var best: (tiles: TileGrid, kept: Int, wasted: Int)?
    for (height, width) in pinpoints {
      let scale = min(Double(width) / Double(size.width), Double(height) / Double(size.height))
      let scaled = Int(Double(size.width) * scale) * Int(Double(size.height) * scale)
      let kept = min(scaled, size.width * size.height)
      let wasted = width * height - kept
      if kept > best?.kept ?? 0 || (kept == best?.kept && wasted < best?.wasted ?? .max) {
        best = (TileGrid(rows: height / tileSize, columns: width / tileSize), kept, wasted)
      }
    }
    guard let best else {
      throw PruningError(
        at: given.path("image_size"), "\(size.width) x \(size.height) pixels are too thin for any resolution")
    }
    return best.tiles
  }

  /// Tiles that were given beside the image.
  ///
  /// - Parameter others: what the processor could have cut it into as well.
  /// - Throws: where one of these keeps more of the image, or as much and wastes less.
  static func checked(
    _ tiles: TileGrid, of size: ImageSize, among others: [TileGrid], _ tileSize: Int,
    _ given: ParameterReading
  ) throws(PruningError) -> TileGrid {
    let resolutions = ([tiles] + others).map { (height: $0.rows * tileSize, width: $0.columns * tileSize) }
    guard let own = try? Self.tiles(for: size, resolutions, tileSize, given), own != tiles else {
      return tiles
    }
    throw given.contradiction(tiles, size, cutInto: own)
  }

  public func layout(
    _ merge: TokenLayout.TileMerge, newline: Bool, at pointer: String
  ) throws(PruningError) -> TokenLayout {
    var sequence = ViewSequence(at: pointer)
    try sequence.append(rows: side, columns: side, box: baseBox, role: .base)
    let sizes = image.map { [$0] } ?? []
    if merge == .flat {
      for row in 0..<tiles.rows {
        for column in 0..<tiles.columns {
          let box = box(rows: cells(ofTile: row), columns: cells(ofTile: column))
          try sequence.append(rows: side, columns: side, box: box, role: .tile)
        }
      }
      return TokenLayout(
        type: "llava_next", tokenCount: sequence.tokenCount, views: sequence.views, imageSizes: sizes)
    }
    let isCut = merge == .spatialUnpad
    let raster = isCut ? visibleCells : (rows: 0..<tiles.rows * side, columns: 0..<tiles.columns * side)
    let stride = raster.columns.count + (isCut && newline ? 1 : 0)
    let (count, overflow) = raster.rows.count.multipliedReportingOverflow(by: stride)
    guard !overflow, count <= TokenLayout.maximumTokenCount - sequence.tokenCount else {
      throw PruningError(at: pointer, "makes more than \(TokenLayout.maximumTokenCount) tokens")
    }
    let first = sequence.tokenCount
    return TokenLayout(
      type: "llava_next", tokenCount: first + count,
      views: sequence.views + views(of: raster, from: first, stride: stride),
      separators: isCut && newline
        ? raster.rows.indices.map { first + ($0 - raster.rows.lowerBound + 1) * stride - 1 } : [],
      imageSizes: sizes)
  }

  /// The parts of the tiles inside `raster`, each a view with the raster's stride.
  private func views(
    of raster: (rows: Range<Int>, columns: Range<Int>), from first: Int, stride: Int
  ) -> [TokenView] {
    var views: [TokenView] = []
    for tileRow in 0..<tiles.rows {
      let rows = cells(ofTile: tileRow).clamped(to: raster.rows)
      for tileColumn in 0..<tiles.columns {
        let columns = cells(ofTile: tileColumn).clamped(to: raster.columns)
        guard !rows.isEmpty, !columns.isEmpty else { continue }
        let offset =
          (rows.lowerBound - raster.rows.lowerBound) * stride + columns.lowerBound - raster.columns.lowerBound
        views.append(
          TokenView(
            firstToken: first + offset, rows: rows.count, columns: columns.count, rowStride: stride,
            box: box(rows: rows, columns: columns), role: .tile))
      }
    }
    return views
  }

  private func cells(ofTile index: Int) -> Range<Int> { index * side..<(index + 1) * side }

  /// The cells left when the padding is cut away, by the package's rounding: the padded side shrinks by twice
  /// the whole cells of half its padding.
  var visibleCells: (rows: Range<Int>, columns: Range<Int>) {
    let rows = tiles.rows * side
    let columns = tiles.columns * side
    guard let image else { return (0..<rows, 0..<columns) }
    let width = Double(image.width)
    let height = Double(image.height)
    if width / height > Double(columns) / Double(rows) {
      let padding = (rows - Self.truncated(height * (Double(columns) / width))) / 2
      return (padding..<rows - padding, 0..<columns)
    }
    let padding = (columns - Self.truncated(width * (Double(rows) / height))) / 2
    return (0..<rows, padding..<columns - padding)
  }

  /// Cut to a whole number after rounding to seven decimals, as `int(round(x, 7))`.
  private static func truncated(_ value: Double) -> Int {
    let nearest = value.rounded()
    return Int(abs(value - nearest) < 5e-8 ? nearest : value.rounded(.towardZero))
  }

  /// The whole image is stretched to one tile; a rest that is no whole patch is not seen.
  var baseBox: Box {
    let share = Double(side * patchSize) / Double(tileSize)
    return Box(x0: 0, y0: 0, x1: share, y1: share)
  }

  /// What cells of the raster show of the original image.
  public func box(rows: Range<Int>, columns: Range<Int>) -> Box {
    let width = tiles.columns * tileSize
    let height = tiles.rows * tileSize
    var placed = (left: 0, top: 0, width: width, height: height)
    if let image {
      let byWidth = Double(width) / Double(image.width)
      let byHeight = Double(height) / Double(image.height)
      if byWidth < byHeight {
        placed.height = min(Int((Double(image.height) * byWidth).rounded(.up)), height)
      } else {
        placed.width = min(Int((Double(image.width) * byHeight).rounded(.up)), width)
      }
      placed.left = (width - placed.width) / 2
      placed.top = (height - placed.height) / 2
    }
    /// Where an edge of cells lies: a rest at the end of a tile belongs to none of its cells.
    func share(_ edge: Int, inTileOf cell: Int, _ start: Int, _ extent: Int) -> Double {
      let tile = cell / side
      return Double(tile * tileSize + (edge - tile * side) * patchSize - start) / Double(extent)
    }
    return Box(
      x0: share(columns.lowerBound, inTileOf: columns.lowerBound, placed.left, placed.width),
      y0: share(rows.lowerBound, inTileOf: rows.lowerBound, placed.top, placed.height),
      x1: share(columns.upperBound, inTileOf: columns.upperBound - 1, placed.left, placed.width),
      y1: share(rows.upperBound, inTileOf: rows.upperBound - 1, placed.top, placed.height))
  }
}
