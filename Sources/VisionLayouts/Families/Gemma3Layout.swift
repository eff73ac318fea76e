public import Parameters
public import PruningNumerics

extension TokenLayout {
  /// Gemma 3: the whole image as 16 x 16 tokens, then, with pan and scan, crops of a long image.
  ///
  /// Members: `image_size` [width, height] (needed with pan and scan), `pan_and_scan` (false), `min_crop_size`
  /// (256), `max_crops` (4), `min_ratio` (1.2), `tokens_per_side` (16).
  public static func gemma3(_ given: ParameterReading) throws(PruningError) -> TokenLayout {
    let scanning = ["min_crop_size", "max_crops", "min_ratio"]
    try given.refuseOthers(than: ["image_size", "pan_and_scan", "tokens_per_side"] + scanning)
    let size = try given.size("image_size")
    let side = try given.integer("tokens_per_side", in: 1...1024) ?? 16
    let scans = try given.boolean("pan_and_scan") ?? false
    if !scans { try given.refuse(scanning, "only applies with pan_and_scan: true") }
    var sequence = ViewSequence(at: given.pointer)
    guard scans else {
      try sequence.append(rows: side, columns: side, role: .image)
      return sequence.layout("gemma3", size)
    }
    guard let size else {
      throw PruningError(at: given.path("image_size"), "is missing; pan and scan chooses its crops by it")
    }
    let crops = panAndScan(
      size, minimumSize: try given.integer("min_crop_size", in: 1...(1 << 20)) ?? 256,
      maximumCount: try given.integer("max_crops", in: 2...TileGrid.maximumCount) ?? 4,
      minimumRatio: try given.number("min_ratio", in: 1...1e6) ?? 1.2)
    try sequence.append(rows: side, columns: side, role: crops.isEmpty ? .image : .base)
    for box in crops { try sequence.append(rows: side, columns: side, box: box, role: .crop) }
    return sequence.layout("gemma3", size)
  }

  /// Crops along the longer side, about square; none of an image that is nearly so or too small.
  private static func panAndScan(
    _ size: ImageSize, minimumSize: Int, maximumCount: Int, minimumRatio: Double
  ) -> [Box] {
    let isWide = size.width >= size.height
    let long = isWide ? size.width : size.height
    let short = isWide ? size.height : size.width
    let ratio = Double(long) / Double(short)
    guard ratio >= minimumRatio else { return [] }
    let wanted = min(long / minimumSize, Int((ratio + 0.5).rounded(.down)))
    let count = min(maximumCount, max(2, wanted))
    let extent = (long + count - 1) / count
    guard min(extent, short) >= minimumSize else { return [] }
    return (0..<count).map { index in
      // Rounding up leaves the last crop smaller; the picture ends there.
      let start = Double(extent * index) / Double(long)
      let end = min(Double(extent * (index + 1)) / Double(long), 1)
      return isWide ? Box(x0: start, y0: 0, x1: end, y1: 1) : Box(x0: 0, y0: start, x1: 1, y1: end)
    }
  }
}
