import PruningNumerics
import VisionLayouts

/// From a map to regions.
struct RegionSearch {
  let map: SaliencyMap
  /// One per token; ViCrop reads them at the tokens' own resolution.
  let scores: [Double]
  let layout: TokenLayout

  struct Result {
    let regions: [LocatedRegion]
    /// Why it is the whole image, or nil.
    let reason: String?

    static func wholeImage(_ reason: String) -> Result { Result(regions: [.wholeImage], reason: reason) }
  }

  /// More tokens than this are searched by ViCrop on the 8 x 8 map: its windows cost more the finer the grid.
  private static let finestCropGrid = 128 * 128

  func regions(_ options: LocalizationOptions) throws(PruningError) -> Result {
    let (contrast, best) = FlatMapTest.standardisedContrast(map.values, independentValues: independentValues)
    guard contrast > 0, contrast >= options.minimumContrast else {
      return .wholeImage(
        contrast == 0
          ? "the saliency map is constant"
          : "the saliency map is too flat to decide: its best rectangle has a standardized contrast of "
            + "\(Self.oneDecimal(contrast)), below minimum_contrast \(options.minimumContrast)")
    }
    switch options.objective {
    case .vicrop(let base, let isFaithful): return try cropRegion(base: base, isFaithful, options)
    case .rectangle(let objective): return rectangles(objective, options, separation: best)
    }
  }

  /// Repeats the search on what the regions so far leave.
  ///
  /// The blocks of a found region take the mean of all blocks not yet in one, which neither adds mass nor
  /// contrast; the search ends at `max_regions` or when the rest is flat.
  ///
  /// - Parameter separation: the best rectangle of the whole map by separation.
  private func rectangles(
    _ objective: RectangleObjective, _ options: LocalizationOptions, separation: RectangleSearch.Match?
  ) -> Result {
    var residual = map.values
    var isTaken = Array(uniform: false, count: residual.count)
    var regions: [LocatedRegion] = []
    var separation = separation
    while regions.count < options.maximumRegions {
      if !regions.isEmpty {
        let (contrast, best) = FlatMapTest.standardisedContrast(
          residual, independentValues: independentValues)
        guard contrast > 0, contrast >= options.minimumContrast else { break }
        separation = best
      }
      let found = objective == .separation ? separation : RectangleSearch.best(residual, objective)
      guard let match = found else { break }
      if match.region.isWholeImage {
        if regions.isEmpty {
          return .wholeImage("no rectangle smaller than the image satisfies the objective")
        }
        break
      }
      let blocks = match.region
      regions.append(LocatedRegion(blocks: blocks, box: blocks.box, score: match.score))
      guard regions.count < options.maximumRegions else { break }
      for index in residual.indices where blocks.contains(block: index) { isTaken[index] = true }
      let rest = residual.indices.filter { !isTaken[$0] }
      guard !rest.isEmpty else { break }
      let mean = rest.reduce(0) { $0 + map.values[$1] / Double(rest.count) }
      for index in residual.indices where isTaken[index] { residual[index] = mean }
    }
    return regions.isEmpty
      ? .wholeImage("no rectangle of the saliency map stands out") : Result(regions: regions, reason: nil)
  }

  private func cropRegion(
    base: Double, _ isFaithful: Bool, _ options: LocalizationOptions
  ) throws(PruningError) -> Result {
    guard let size = options.imageSize ?? layout.imageSize else {
      throw PruningError(
        at: "/localize/image_size",
        "is missing; objective 'vicrop' needs [width, height] in pixels here or in the layout")
    }
    let grid = cropGrid
    guard
      let crop = ViCrop.crop(
        grid.values, rows: grid.rows, columns: grid.columns, image: size, base: base, isFaithful: isFaithful)
    else { return .wholeImage("a window of base \(base) pixels is smaller than one cell of the map") }
    let width = Double(size.width)
    let height = Double(size.height)
    let box = Box(
      x0: crop.box.x0 / width, y0: crop.box.y0 / height, x1: crop.box.x1 / width, y1: crop.box.y1 / height)
    guard let sharpness = crop.sharpness, let blocks = BlockRegion(overlapping: box) else {
      return .wholeImage("the image is no larger than a crop of base \(base) pixels")
    }
    let score = sharpness.isNaN ? nil : sharpness
    return Result(regions: [LocatedRegion(blocks: blocks, box: box, score: score)], reason: nil)
  }

  /// The tokens themselves where they are one unpadded view of the whole image, else the 8 x 8 map.
  private var cropGrid: (values: [Double], rows: Int, columns: Int) {
    guard layout.views.count == 1, layout.views[0].box == .unit,
      layout.views[0].rows * layout.views[0].columns <= Self.finestCropGrid
    else { return (map.values, BlockRegion.side, BlockRegion.side) }
    let view = layout.views[0]
    var values: [Double] = []
    values.reserveCapacity(view.rows * view.columns)
    for row in 0..<view.rows {
      for column in 0..<view.columns { values.append(scores[view.token(row: row, column: column)]) }
    }
    return (values, view.rows, view.columns)
  }

  /// All spatial tokens; only layouts of fewer than 64 are affected.
  private var independentValues: Int { layout.views.reduce(0) { $0 + $1.rows * $1.columns } }

  private static func oneDecimal(_ value: Double) -> Double { (value * 10).rounded() / 10 }
}
