public import Parameters
public import PruningNumerics

extension TokenLayout {
  /// Pixtral and Mistral Small 3: one grid of patches that keeps the image's shape.
  ///
  /// Members: `image_size` [width, height]; `longest_edge` (1024; Mistral Small 3: 1540), `patch_size` (16; 14),
  /// `merge_size` (1; 2); `breaks` (false): whether the row ends of the prompt, `[IMG_BREAK]` and the last `[IMG_END]`,
  /// are among the tokens.
  public static func pixtral(_ given: ParameterReading) throws(PruningError) -> TokenLayout {
    try given.refuseOthers(than: ["image_size", "longest_edge", "patch_size", "merge_size", "breaks"])
    let size = try given.requiredSize("image_size", "the grid follows from it")
    let patch = try given.integer("patch_size", in: 1...1024) ?? 16
    let merge = try given.integer("merge_size", in: 1...16) ?? 1
    let cell = patch * merge
    let longest = try given.integer("longest_edge", in: 1...65_536) ?? 1024
    let hasBreaks = try given.boolean("breaks") ?? false
    let ratio = Double(max(size.width, size.height)) / Double(longest)
    func cells(_ extent: Int) -> Int {
      let resized = ratio > 1 ? Int((Double(extent) / ratio).rounded(.down)) : extent
      // A side that shrinks to nothing still has a patch.
      return max((resized + cell - 1) / cell, 1)
    }
    let (rows, columns) = (cells(size.height), cells(size.width))
    let stride = columns + (hasBreaks ? 1 : 0)
    let count = try checkedCount(rows: rows, columns: stride)
    return TokenLayout(
      type: "pixtral", tokenCount: count,
      views: [TokenView(firstToken: 0, rows: rows, columns: columns, rowStride: stride)],
      separators: hasBreaks ? (1...rows).map { $0 * stride - 1 } : [], imageSizes: [size])
  }
}

extension ParameterReading {
  func requiredSize(_ name: String, _ why: String) throws(PruningError) -> ImageSize {
    guard let size = try size(name) else {
      throw PruningError(at: path(name), "is missing: [width, height] in pixels; \(why)")
    }
    return size
  }
}
