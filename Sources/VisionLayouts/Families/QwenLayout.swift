import JSON
import Parameters
import PruningNumerics

extension TokenLayout {
  /// What differs between the generations of Qwen-VL.
  struct QwenFamily: Sendable {
    public let type: String
    let patchSize: Int
    let minimumPixels: Int
    let maximumPixels: Int
    /// Qwen2.5-VL spaces the frames of a video by time.
    var hasTimedFrames = false
    /// Qwen3-VL writes a time stamp before each frame.
    public var hasTextBetweenFrames = false
    /// How many frames the limits of pixels count an image as; GLM-4V repeats it to two.
    var countedFrames = 1

    static let qwen2 = QwenFamily(
      type: "qwen2_vl", patchSize: 14, minimumPixels: 56 * 56, maximumPixels: 28 * 28 * 1280)
    static let qwen25 = QwenFamily(
      type: "qwen2_5_vl", patchSize: 14, minimumPixels: 56 * 56, maximumPixels: 28 * 28 * 1280,
      hasTimedFrames: true)
    static let qwen3 = QwenFamily(
      type: "qwen3_vl", patchSize: 16, minimumPixels: 256 * 256, maximumPixels: 4096 * 4096,
      hasTextBetweenFrames: true)
    public static let glm4V = QwenFamily(
      type: "glm4v", patchSize: 14, minimumPixels: 112 * 112, maximumPixels: 28 * 28 * 15_000,
      hasTextBetweenFrames: true, countedFrames: 2)
  }

  /// Qwen2-VL, Qwen2.5-VL, Qwen3-VL, GLM-4V: images and videos as t frames of (h / 2) x (w / 2) merged tokens.
  ///
  /// Members: `grid_thw`, [t, h, w] in patches or a list of them, one per image; or `image_size` alone, from
  /// which the grid follows with `min_pixels` and `max_pixels`. `image_size` is [width, height], or a list of
  /// them. `merge_size` is 2. Qwen2.5-VL also reads `second_per_grid` (1) and `tokens_per_second` (2), for the
  /// position ids of a video.
  static func qwen(_ family: QwenFamily, _ given: ParameterReading) throws(PruningError) -> TokenLayout {
    let timing = family.hasTimedFrames ? ["second_per_grid", "tokens_per_second"] : []
    try given.refuseOthers(
      than: ["grid_thw", "image_size", "merge_size", "min_pixels", "max_pixels"] + timing)
    let merge = try given.integer("merge_size", in: 1...16) ?? 2
    let sizes = try given.imageSizes()
    let grids: [PatchGrid]
    if let listed = try given.patchGrids() {
      try given.refuse(["min_pixels", "max_pixels"], beside: "grid_thw")
      guard sizes.isEmpty || sizes.count == listed.count else {
        throw PruningError(at: given.path("image_size"), "has \(sizes.count) sizes for \(listed.count) grids")
      }
      grids = listed
    } else {
      guard !sizes.isEmpty else {
        throw PruningError(
          at: given.path("grid_thw"),
          "is missing: [t, h, w] in patches, as the processor gives it, or a list of them; or image_size")
      }
      let limits = try given.pixelLimits(family)
      grids = try sizes.map { (size) throws(PruningError) -> PatchGrid in
        try PatchGrid(size, family, merge: merge, limits, at: given.path("image_size"))
      }
    }
    var sequence = ViewSequence(at: given.path("grid_thw"))
    for (image, grid) in grids.enumerated() {
      guard grid.rows % merge == 0, grid.columns % merge == 0 else {
        throw PruningError(
          at: given.path("grid_thw"),
          "h and w must be multiples of merge_size \(merge), not \(grid.rows) and \(grid.columns)")
      }
      if image < sizes.count, !grid.fits(sizes[image], merge: merge) {
        let size = sizes[image]
        throw PruningError(
          at: given.path("image_size"),
          "[\(size.width), \(size.height)] (width, height) is not the shape of the [\(grid.rows), \(grid.columns)] patches (h, "
            + "w) in grid_thw, which the processor makes as the image is; are the numbers of one of them swapped?"
        )
      }
      for _ in 0..<grid.frames {
        try sequence.append(
          rows: grid.rows / merge, columns: grid.columns / merge, image: image,
          role: grid.frames > 1 ? .frame : .image)
      }
    }
    let step =
      family.hasTimedFrames && grids.contains { $0.frames > 1 }
      ? (try given.number("second_per_grid", in: 0...3600) ?? 1)
        * (try given.number("tokens_per_second", in: 0...1000) ?? 2) : 1
    return TokenLayout(
      type: family.type, tokenCount: sequence.tokenCount, views: sequence.views, imageSizes: sizes,
      rotaryGrid: RotaryGrid(temporalStep: step, hasTextBetweenFrames: family.hasTextBetweenFrames))
  }
}

/// Patches before merging: t frames of h x w.
private struct PatchGrid {
  let frames: Int
  let rows: Int
  let columns: Int
}

extension PatchGrid {
  /// Whether an image of this size can become this grid: resized by one factor, and each side rounded to whole tokens, which
  /// a resizing before the processor's does once more.
  func fits(_ size: ImageSize, merge: Int) -> Bool {
    let (rows, columns) = (Double(rows / merge), Double(columns / merge))
    func fits(_ width: Int, _ height: Int, within tokens: Double) -> Bool {
      let (width, height) = (Double(width), Double(height))
      return (rows - tokens) / height <= (columns + tokens) / width
        && (columns - tokens) / width <= (rows + tokens) / height
    }
    let isNear = fits(size.width, size.height, within: 1)
    let isTurned = !isNear && fits(size.height, size.width, within: 1)
    return isNear || (!isTurned && fits(size.width, size.height, within: 2))
  }

  /// Of an image resized to whole merged tokens, about its own shape, within the limits of pixels.
  ///
  /// The package's `smart_resize`, Python's rounding half to even included.
  init(
    _ size: ImageSize, _ family: TokenLayout.QwenFamily, merge: Int, _ limits: (minimum: Int, maximum: Int),
    at pointer: String
  ) throws(PruningError) {
    let factor = Double(family.patchSize * merge)
    let frames = Double(family.countedFrames)
    var width = Double(size.width)
    var height = Double(size.height)
    if family.countedFrames > 1, min(width, height) < factor {
      // GLM-4V first enlarges what is smaller than a token.
      let scale = factor / min(width, height)
      (width, height) = ((width * scale).rounded(.down), (height * scale).rounded(.down))
    }
    guard max(width, height) / min(width, height) <= 200 else {
      throw PruningError(
        at: pointer, "\(size.width) x \(size.height) is thinner than 1 : 200, which the model rejects")
    }
    var rows = (height / factor).rounded(.toNearestOrEven)
    var columns = (width / factor).rounded(.toNearestOrEven)
    let pixels = frames * rows * columns * factor * factor
    if pixels > Double(limits.maximum) {
      let scale = (frames * width * height / Double(limits.maximum)).squareRoot()
      rows = max(1, (height / scale / factor).rounded(.down))
      columns = max(1, (width / scale / factor).rounded(.down))
    } else if pixels < Double(limits.minimum) {
      let scale = (Double(limits.minimum) / (frames * width * height)).squareRoot()
      rows = (height * scale / factor).rounded(.up)
      columns = (width * scale / factor).rounded(.up)
    }
    self.init(frames: 1, rows: Int(rows) * merge, columns: Int(columns) * merge)
  }
}

extension ParameterReading {
  /// The member `grid_thw`: one [t, h, w] or a list of them.
  fileprivate func patchGrids() throws(PruningError) -> [PatchGrid]? {
    guard let value = member("grid_thw") else { return nil }
    let list = value.arrayValue ?? []
    let rows = list.first?.arrayValue == nil ? [value] : list
    var grids: [PatchGrid] = []
    for row in rows {
      let extents = row.arrayValue?.map(\.integerValue) ?? []
      guard extents.count == 3, let t = extents[0], let h = extents[1], let w = extents[2],
        [t, h, w].allSatisfy((1...TokenLayout.maximumTokenCount).contains)
      else {
        throw PruningError(
          at: path("grid_thw"), "must be [t, h, w] in patches, three whole numbers above 0, or a list of them"
        )
      }
      grids.append(PatchGrid(frames: t, rows: h, columns: w))
    }
    return grids
  }

  /// `image_size` as one size or a list of them.
  fileprivate func imageSizes() throws(PruningError) -> [ImageSize] {
    guard let list = member("image_size")?.arrayValue, list.first?.arrayValue != nil else {
      return try size("image_size").map { [$0] } ?? []
    }
    guard list.count <= TokenLayout.maximumViewCount else {
      throw PruningError(
        at: path("image_size"),
        "has \(list.count) sizes; at most \(TokenLayout.maximumViewCount) are accepted")
    }
    return try list.map { (element) throws(PruningError) -> ImageSize in
      guard let size = try ParameterReading(["image_size": element], at: pointer).size("image_size") else {
        throw PruningError(at: path("image_size"), "has null in its list")
      }
      return size
    }
  }

  fileprivate func pixelLimits(
    _ family: TokenLayout.QwenFamily
  ) throws(PruningError) -> (minimum: Int, maximum: Int) {
    let range = 1...(1 << 40)
    let minimum = try integer("min_pixels", in: range) ?? family.minimumPixels
    let maximum = try integer("max_pixels", in: range) ?? max(family.maximumPixels, minimum)
    guard minimum <= maximum else {
      throw PruningError(at: path("min_pixels"), "\(minimum) is more than max_pixels, \(maximum)")
    }
    return (minimum, maximum)
  }
}
