import PruningNumerics
import VisionLayouts

/// How the four numbers of a box are meant: their order, their unit and what they are relative to.
///
/// | name | order | unit |
/// |---|---|---|
/// | `normalized` | x0 y0 x1 y1 | 0...1 of the original image |
/// | `cxcywh` | centre x, centre y, width, height | 0...1 (DETR, Grounding DINO, OWLv2) |
/// | `pixels` | x0 y0 x1 y1 | pixels of the original image; needs the layout's `image_size` |
/// | `pixels_xywh` | x y width height | the same (COCO) |
/// | `qwen2_vl` | x0 y0 x1 y1 | 0...1000 (arXiv 2409.12191) |
/// | `qwen2_5_vl` | x0 y0 x1 y1 | pixels of the *resized* image (arXiv 2502.13923) |
/// | `qwen3_vl` | x0 y0 x1 y1 | 0...1000 |
/// | `paligemma` | y0 x0 y1 x1 | location tokens 0...1023, divided by 1024 (arXiv 2407.07726) |
/// | `florence2` | x0 y0 x1 y1 | location bins 0...999, read at their centre (arXiv 2311.06242) |
/// | `internvl` | x0 y0 x1 y1 | 0...1000 (arXiv 2312.14238) |
/// | `gemini` | y0 x0 y1 x1 | 0...1000 (Gemini's `box_2d`) |
/// | `deepseek_vl2` | x0 y0 x1 y1 | 0...999, divided by 999 (arXiv 2412.10302) |
/// | `glm4v` | x0 y0 x1 y1 | 0...1000 (arXiv 2507.01006) |
/// | `cogvlm` | x0 y0 x1 y1 | 000...999, divided by 1000 (arXiv 2311.03079) |
/// | `minicpm_v` | x0 y0 x1 y1 | 0...1000 |
/// | `blocks` | x0 y0 x1 y1 | inclusive blocks 0...7 of the 8 x 8 grid (CROP section 3) |
enum BoxFormat: String, Sendable, Hashable, CaseIterable {
  case normalized
  case cxcywh
  case pixels
  case pixelsXYWH = "pixels_xywh"
  case qwen2VL = "qwen2_vl"
  case qwen25VL = "qwen2_5_vl"
  case qwen3VL = "qwen3_vl"
  case paligemma
  case florence2
  case internvl
  case gemini
  case deepseekVL2 = "deepseek_vl2"
  case glm4V = "glm4v"
  case cogVLM = "cogvlm"
  case minicpmV = "minicpm_v"
  case blocks

  /// Whether numbers count something smaller than the image: thousandths, location tokens or pixels.
  var isCounting: Bool {
    switch self {
    case .normalized, .cxcywh, .blocks: false
    default: true
    }
  }

  static let names = allCases.map(\.rawValue).joined(separator: ", ")
}

/// The sizes that formats in pixels are relative to.
struct BoxFrame: Sendable {
  /// The original image, in pixels.
  var imageSize: ImageSize?
  /// What the vision tower saw, in pixels.
  var resizedSize: ImageSize?
}

extension Box {
  /// A box may reach this share of the image beyond its edge before it is an error rather than a rounding.
  static let tolerableOvershoot = 0.05

  /// The box that four numbers mean, clamped to the image.
  ///
  /// - Parameter pointer: where the numbers stand in the request, for errors.
  /// - Throws: for a number that is not finite, a size that the format needs and nobody gave, a reversed or
  ///   empty box, or one that reaches more than 5 % of the image beyond its edge.
  init(
    _ numbers: [Double], _ format: BoxFormat, in frame: BoxFrame, at pointer: String
  ) throws(PruningError) {
    guard numbers.count == 4 else {
      throw PruningError(at: pointer, "must have 4 numbers, not \(numbers.count)")
    }
    guard numbers.allSatisfy(\.isFinite) else {
      throw PruningError(at: pointer, "must have finite numbers, not \(Self.text(numbers))")
    }
    if format == .blocks {
      self = try Self.blocks(numbers, at: pointer)
      return
    }
    let written = "\(Self.text(numbers)) as '\(format.rawValue)'"
    guard !format.isCounting || !Self.areShares(numbers) else {
      throw PruningError(
        at: pointer,
        "the box \(written) does not fit that format, whose numbers count thousandths, tokens or pixels: these are "
          + "fractions of the image; did you mean box_format 'normalized'?")
    }
    let box = try Self.corners(numbers, format, in: frame, at: pointer)
    guard box.x0 < box.x1, box.y0 < box.y1 else {
      throw PruningError(
        at: pointer,
        "the box \(written) is reversed or empty: it runs from x \(rounded(box.x0)) to \(rounded(box.x1)) and y "
          + "\(rounded(box.y0)) to \(rounded(box.y1)) of the image" + Self.swapHint(numbers, box, format))
    }
    let allowed = -Self.tolerableOvershoot...(1 + Self.tolerableOvershoot)
    guard [box.x0, box.y0, box.x1, box.y1].allSatisfy(allowed.contains), let inside = box.clippedToImage
    else {
      throw PruningError(
        at: pointer,
        "the box \(written) reaches outside the image: x \(rounded(box.x0))...\(rounded(box.x1)), y "
          + "\(rounded(box.y0))...\(rounded(box.y1)) where the image is 0...1; is box_format right? "
          + "known: \(BoxFormat.names)")
    }
    self = inside
  }

  /// Whether numbers can only be shares of the image: none is above 1 but for an overshoot, or some have decimals and
  /// none reaches 10, which in a format that counts would be a speck in the corner.
  private static func areShares(_ numbers: [Double]) -> Bool {
    guard let largest = numbers.map(abs).max() else { return false }
    return largest <= 1 + tolerableOvershoot
      || largest < 10 && numbers.contains { $0 != $0.rounded(.toNearestOrEven) }
  }

  /// How the box reads with its corners the other way round, where it then has an extent.
  private static func swapHint(_ n: [Double], _ box: Box, _ format: BoxFormat) -> String {
    guard box.x0 != box.x1, box.y0 != box.y1, format != .cxcywh, format != .pixelsXYWH else { return "" }
    let ordered = [min(n[0], n[2]), min(n[1], n[3]), max(n[0], n[2]), max(n[1], n[3])]
    return "; if its corners are swapped, send \(Self.text(ordered))"
  }

  private static func blocks(_ numbers: [Double], at pointer: String) throws(PruningError) -> Box {
    let blocks = numbers.compactMap { Int(exactly: $0) }
    guard let region = BlockRegion(inclusive: blocks) else {
      throw PruningError(
        at: pointer,
        "must be [x_min, y_min, x_max, y_max] with whole numbers 0 <= min <= max <= 7, not \(Self.text(numbers))"
      )
    }
    return region.box
  }

  /// Normalised corners, as they stand: not yet clamped or checked.
  private static func corners(
    _ n: [Double], _ format: BoxFormat, in frame: BoxFrame, at pointer: String
  ) throws(PruningError) -> Box {
    switch format {
    case .normalized, .blocks: return Box(x0: n[0], y0: n[1], x1: n[2], y1: n[3])
    case .cxcywh:
      return Box(x0: n[0] - n[2] / 2, y0: n[1] - n[3] / 2, x1: n[0] + n[2] / 2, y1: n[1] + n[3] / 2)
    case .pixels, .pixelsXYWH:
      guard let size = frame.imageSize else {
        throw PruningError(
          at: pointer, "box_format '\(format.rawValue)' needs \"image_size\": [width, height] in the layout")
      }
      return format == .pixels
        ? scaled(n[0], n[1], n[2], n[3], by: size) : scaled(n[0], n[1], n[0] + n[2], n[1] + n[3], by: size)
    case .qwen25VL:
      guard let size = frame.resizedSize else {
        throw PruningError(
          at: pointer,
          "box_format 'qwen2_5_vl' means pixels of the resized image and needs \"resized_size\": [width, height] "
            + "beside it, or a grid layout of 28-pixel tokens")
      }
      return scaled(n[0], n[1], n[2], n[3], by: size)
    case .qwen2VL, .qwen3VL, .internvl, .glm4V, .cogVLM, .minicpmV:
      return Box(x0: n[0] / 1000, y0: n[1] / 1000, x1: n[2] / 1000, y1: n[3] / 1000)
    case .gemini: return Box(x0: n[1] / 1000, y0: n[0] / 1000, x1: n[3] / 1000, y1: n[2] / 1000)
    case .deepseekVL2: return Box(x0: n[0] / 999, y0: n[1] / 999, x1: n[2] / 999, y1: n[3] / 999)
    case .paligemma: return Box(x0: n[1] / 1024, y0: n[0] / 1024, x1: n[3] / 1024, y1: n[2] / 1024)
    case .florence2:
      return Box(
        x0: (n[0] + 0.5) / 1000, y0: (n[1] + 0.5) / 1000, x1: (n[2] + 0.5) / 1000, y1: (n[3] + 0.5) / 1000)
    }
  }

  private static func scaled(
    _ x0: Double, _ y0: Double, _ x1: Double, _ y1: Double, by size: ImageSize
  ) -> Box {
    let width = Double(size.width)
    let height = Double(size.height)
    return Box(x0: x0 / width, y0: y0 / height, x1: x1 / width, y1: y1 / height)
  }
}

extension Box {
  /// `[1, 2.5, 3, 4]`: whole numbers without their fraction.
  static func text(_ numbers: [Double]) -> String {
    "[" + numbers.map { Int(exactly: $0).map(String.init) ?? "\($0)" }.joined(separator: ", ") + "]"
  }
}

/// Three decimals are enough for a reader to see a wrong unit.
private func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }
