import Parameters
import PruningNumerics

extension TokenLayout {
  /// MiniCPM-V 4.6: the whole image, then its slices row by row.
  ///
  /// Members: `image_size` [width, height]; `max_slices` (9; 1: the whole image only), `slice_size` (448), `patch_size`
  /// (14), `merge_size` (4 patches along each side of a token; 2 with `downsample_mode` 4x). Earlier generations have
  /// learned queries, whose tokens lie nowhere in particular: `raw`.
  static func miniCPMV(_ given: ParameterReading) throws(PruningError) -> TokenLayout {
    try given.refuseOthers(than: ["image_size", "max_slices", "slice_size", "patch_size", "merge_size"])
    let size = try given.requiredSize("image_size", "the slices follow from it")
    let patch = try given.integer("patch_size", in: 1...1024) ?? 14
    let merge = try given.integer("merge_size", in: 1...16) ?? 4
    let side = try given.integer("slice_size", in: 1...4096) ?? 448
    let slicing = Slicing(
      side: side, cell: patch * merge,
      maximum: try given.integer("max_slices", in: 1...TileGrid.maximumCount) ?? 9)
    let tiles = slicing.tiles(of: size)
    var sequence = ViewSequence(at: given.path("image_size"))
    let whole = slicing.cells(Double(size.width), Double(size.height), mayGrow: tiles == nil)
    try sequence.append(rows: whole.rows, columns: whole.columns, role: tiles == nil ? .image : .base)
    if let tiles {
      let width = Double(Slicing.nearest(size.width, multipleOf: tiles.columns)) / Double(tiles.columns)
      let height = Double(Slicing.nearest(size.height, multipleOf: tiles.rows)) / Double(tiles.rows)
      let slice = slicing.cells(width, height, mayGrow: true)
      for row in 0..<tiles.rows {
        for column in 0..<tiles.columns {
          try sequence.append(
            rows: slice.rows, columns: slice.columns, box: tiles.box(row: row, column: column), role: .tile)
        }
      }
    }
    return sequence.layout("minicpm_v", size)
  }

  /// How MiniCPM-V cuts an image: slices of about `side`^2 pixels, whole tokens of `cell` pixels each.
  private struct Slicing {
    public let side: Int
    public let cell: Int
    public let maximum: Int

    /// The grid of slices whose shape is nearest to the image's by the logarithm of width to height; nil for an image of
    /// no more pixels than one slice.
    public func tiles(of size: ImageSize) -> TileGrid? {
      let area = Double(size.width) * Double(size.height) / Double(side * side)
      let wanted = min(Int(area.rounded(.up)), maximum)
      guard wanted > 1 else { return nil }
      let shape = Double(size.width) / Double(size.height)
      var best = (grid: TileGrid(rows: 1, columns: 1), error: Double.infinity)
      for count in (wanted - 1)...(wanted + 1) where count > 1 && count <= maximum {
        for rows in 1...count where count % rows == 0 {
          let grid = TileGrid(rows: rows, columns: count / rows)
          let error = Self.distance(shape, Double(grid.columns) / Double(grid.rows))
          if error < best.error || error == best.error && rows > best.grid.rows { best = (grid, error) }
        }
      }
      return best.grid
    }

    /// exp |log a - log b|, which orders as |log a - log b| does.
    private static func distance(_ a: Double, _ b: Double) -> Double { max(a / b, b / a) }

    /// The tokens of a picture resized to about `side`^2 pixels where it has more, or may grow.
    public func cells(_ width: Double, _ height: Double, mayGrow: Bool) -> (rows: Int, columns: Int) {
      var (width, height) = (width, height)
      if mayGrow || width * height > Double(side * side) {
        let shape = width / height
        height = (Double(side) / shape.squareRoot()).rounded(.down)
        width = (height * shape).rounded(.down)
      }
      func count(_ extent: Double) -> Int { max(Int((extent / Double(cell)).rounded(.toNearestOrEven)), 1) }
      return (count(height), count(width))
    }

    /// Python's `max(round(extent / divisor) * divisor, divisor)`.
    public static func nearest(_ extent: Int, multipleOf divisor: Int) -> Int {
      max(Int((Double(extent) / Double(divisor)).rounded(.toNearestOrEven)) * divisor, divisor)
    }
  }
}
