public import Parameters
public import PruningNumerics

extension TokenLayout {
  /// How LLaVA brings an image to its square input.
  public enum Padding: String, CaseIterable {
    /// The image is centred in a square of its longer side (LLaVA-1.5's `image_aspect_ratio: pad`).
    case pad
    /// The shorter side is resized to the input, the longer one is cut at both ends (CLIP's own processor).
    case crop
    /// Both sides are resized to the input.
    case stretch
  }

  /// LLaVA-1.5: one square view of 24 x 24 tokens.
  ///
  /// Members: `image_size` [width, height] in pixels, `padding` (`pad` by default, `crop`, `stretch`), `rows`
  /// and `columns` (24). Without `image_size` the image is taken to be square, where the three agree.
  public static func llava(_ given: ParameterReading) throws(PruningError) -> TokenLayout {
    try given.refuseOthers(than: ["rows", "columns", "image_size", "padding"])
    let rows = try given.integer("rows", in: 1...maximumTokenCount) ?? 24
    let columns = try given.integer("columns", in: 1...maximumTokenCount) ?? 24
    let size = try given.size("image_size")
    let padding = try given.choice("padding", Padding.self) ?? .pad
    let count = try checkedCount(rows: rows, columns: columns)
    let box = size.map { squareView(of: $0, padding) } ?? .unit
    let view = TokenView(firstToken: 0, rows: rows, columns: columns, box: box)
    return TokenLayout(type: "llava", tokenCount: count, views: [view], imageSize: size)
  }

  /// The part of the image that the square input shows; larger than the unit square where it pads.
  static func squareView(of size: ImageSize, _ padding: Padding) -> Box {
    let side: Int
    switch padding {
    case .stretch: return .unit
    case .pad: side = max(size.width, size.height)
    case .crop: side = min(size.width, size.height)
    }
    // The processors place the image at a whole pixel: half the difference, rounded down.
    let left = padding == .pad ? -((side - size.width) / 2) : (size.width - side) / 2
    let top = padding == .pad ? -((side - size.height) / 2) : (size.height - side) / 2
    let width = Double(size.width)
    let height = Double(size.height)
    return Box(
      x0: Double(left) / width, y0: Double(top) / height,
      x1: Double(left + side) / width, y1: Double(top + side) / height)
  }
}
