public import Parameters
public import PruningNumerics

extension TokenLayout {
  /// One row-major grid over the whole image: Qwen2-VL, Gemma 3 and every tower that resizes without padding.
  ///
  /// Members: `rows`, `columns` (tokens, after any merging of patches), `image_size` [width, height] in pixels
  /// (only needed by boxes in pixels).
  public static func grid(_ given: ParameterReading) throws(PruningError) -> TokenLayout {
    try given.refuseOthers(than: ["rows", "columns", "image_size"])
    let rows = try given.requiredInteger("rows", in: 1...maximumTokenCount)
    let columns = try given.requiredInteger("columns", in: 1...maximumTokenCount)
    let size = try given.size("image_size")
    let count = try checkedCount(rows: rows, columns: columns)
    let view = TokenView(firstToken: 0, rows: rows, columns: columns)
    return TokenLayout(type: "grid", tokenCount: count, views: [view], imageSize: size)
  }
}
