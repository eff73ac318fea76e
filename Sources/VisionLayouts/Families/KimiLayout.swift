import Parameters
import PruningNumerics

extension TokenLayout {
  /// Kimi-VL: one grid of merged patches; the image keeps its shape and is padded at the right and at the bottom.
  ///
  /// Members: `image_size` [width, height]; `max_patches` (4096; Kimi K2.5: 16384), `max_side` in patches (512),
  /// `patch_size` (14), `merge_size` (2).
  static func kimiVL(_ given: ParameterReading) throws(PruningError) -> TokenLayout {
    try given.refuseOthers(than: ["image_size", "max_patches", "max_side", "patch_size", "merge_size"])
    let size = try given.requiredSize("image_size", "the grid follows from it")
    let patch = try given.integer("patch_size", in: 1...1024) ?? 14
    let cell = patch * (try given.integer("merge_size", in: 1...16) ?? 2)
    let maximum = try given.integer("max_patches", in: 1...maximumTokenCount) ?? 4096
    let side = try given.integer("max_side", in: 1...65_536) ?? 512
    let patches = Double(max(size.height / patch, 1)) * Double(max(size.width / patch, 1))
    let scale = min(
      1, (Double(maximum) / patches).squareRoot(), Double(side * patch) / Double(size.height),
      Double(side * patch) / Double(size.width))
    func resized(_ extent: Int) -> Int { min(max(Int(Double(extent) * scale), 1), side * patch) }
    let (height, width) = (resized(size.height), resized(size.width))
    let rows = (height + cell - 1) / cell
    let columns = (width + cell - 1) / cell
    let view = TokenView(
      firstToken: 0, rows: rows, columns: columns,
      box: Box(
        x0: 0, y0: 0, x1: Double(columns * cell) / Double(width), y1: Double(rows * cell) / Double(height)))
    return TokenLayout(
      type: "kimi_vl", tokenCount: try checkedCount(rows: rows, columns: columns), views: [view],
      imageSizes: [size])
  }
}
