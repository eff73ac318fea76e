/// What the chosen rectangle of blocks is best at.
enum RectangleObjective: Sendable, Hashable {
  /// (mean inside - mean outside) x sqrt(A (64 - A) / 64), A the area in blocks: the default.
  ///
  /// Its square is the variance between the two classes, so the choice is the rectangle that explains most of
  /// the map (N. Otsu, IEEE Trans. SMC 9(1), 1979, with the rectangle in place of the threshold). On planted
  /// rectangles in noise it had the best overlap of the four at every strength of noise tried.
  case separation

  /// The smallest rectangle that holds at least `share` of the mass above the baseline; among equal areas the one
  /// with most mass. The score is the share it holds.
  case coverage(share: Double, Baseline)

  /// (mean inside - mean outside) x A^areaPower.
  case contrast(areaPower: Double)

  /// What is subtracted before mass is counted; negative remainders count as 0.
  enum Baseline: String, Sendable, Hashable, CaseIterable {
    /// The mean of the map: what noise around the mean adds stays small.
    case mean
    /// The smallest value of the map: nothing is lost, and a wide background weighs much.
    case minimum
  }
}

/// Exhaustive search over the 1,296 rectangles of the 8 x 8 grid.
///
/// Exact and deterministic: sums are of whole numbers (``BlockMass``), ties go to the smaller area, then to the
/// upper, then the left edge, then the lesser height. O(1,296).
enum RectangleSearch {
  struct Match: Equatable {
    let region: BlockRegion
    /// The objective's value, in units of the map.
    let score: Double
  }

  /// - Returns: nil when no rectangle beats the whole image: a map without mass above the baseline, or without
  ///   any rectangle brighter than the rest.
  static func best(_ map: [Double], _ objective: RectangleObjective) -> Match? {
    switch objective {
    case .separation: return bestByContrast(BlockMass(map), weights: separationWeights)
    case .contrast(let power):
      let weights = (0...64).map { area in
        area == 0 ? 0 : exponential(power * naturalLogarithm(Double(area)))
      }
      return bestByContrast(BlockMass(map), weights: weights)
    case .coverage(let share, let baseline): return smallestCovering(map, share: share, baseline)
    }
  }

  /// sqrt(A (64 - A) / 64) for A = 0...64.
  private static let separationWeights = (0...64).map { area in
    (Double(area * (64 - area)) / 64).squareRoot()
  }

  private static func bestByContrast(_ mass: BlockMass, weights: [Double]) -> Match? {
    var best: Match?
    for region in BlockRegion.all where !region.isWholeImage {
      let score = mass.contrast(of: region) * weights[region.blockCount]
      if score > (best?.score ?? 0) { best = Match(region: region, score: score) }
    }
    return best.map { Match(region: $0.region, score: $0.score * mass.unit) }
  }

  private static func smallestCovering(
    _ map: [Double], share: Double, _ baseline: RectangleObjective.Baseline
  ) -> Match? {
    let level = baseline.level(of: map)
    let mass = BlockMass(map.map { max($0 - level, 0) })
    guard mass.total > 0 else { return nil }
    let needed = share * Double(mass.total)
    var best: (region: BlockRegion, sum: Int)?
    for region in BlockRegion.all {
      if let found = best, region.blockCount > found.region.blockCount { break }
      let sum = mass.sum(region)
      if Double(sum) >= needed, sum > 0, sum > (best?.sum ?? 0) { best = (region, sum) }
    }
    return best.map { Match(region: $0.region, score: Double($0.sum) / Double(mass.total)) }
  }
}

extension RectangleObjective.Baseline {
  fileprivate func level(of map: [Double]) -> Double {
    switch self {
    case .minimum: map.min() ?? 0
    // Each summand divided first: the sum of huge finite values stays finite.
    case .mean: map.reduce(0) { $0 + $1 / Double(map.count) }
    }
  }
}

extension BlockMass {
  /// Mean inside minus mean outside, in ``unit``s; 0 for the whole image.
  func contrast(of region: BlockRegion) -> Double {
    guard !region.isWholeImage else { return 0 }
    let inside = region.blockCount
    let sum = sum(region)
    // (S / A - (T - S) / (64 - A)) over one denominator: one rounding, and exact zero on a flat map.
    let numerator = 64 * sum - inside * total
    return Double(numerator) / Double(inside * (64 - inside))
  }
}
