import Numerics
import VisionLayouts

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
    case .separation: return bestSeparation(BlockMass(map))
    case .contrast(let power):
      let weights = (0...64).map { area in
        area == 0 ? 0 : exponential(power * naturalLogarithm(Double(area)))
      }
      return bestByContrast(BlockMass(map), ContrastWeights(weights))
    case .coverage(let share, let baseline): return smallestCovering(map, share: share, baseline)
    }
  }

  /// The rectangle that separates a map best, of a mass that is already known.
  static func bestSeparation(_ mass: BlockMass) -> Match? { bestByContrast(mass, separationWeights) }

  /// What the contrast of a rectangle of A blocks is multiplied by, A = 0...64.
  private struct ContrastWeights {
    let weights: [Double]
    /// The same over A (64 - A), the denominator of a contrast; 0 for the whole image.
    let factors: [Double]

    init(_ weights: [Double]) {
      self.weights = weights
      factors = weights.enumerated().map { area, weight in
        area % 64 == 0 ? 0.0 : weight / Double(area * (64 - area))
      }
    }

    /// The highest weighted contrast of all rectangles between two rows, as far as products tell; 0 at least.
    ///
    /// Few pairs of rows hold a rectangle better than the best so far, so most of the 1,296 are passed over without a branch.
    @inline(__always)
    func highest(of edges: InlineArray<9, Double>, height: Int) -> Double {
      let edges = edges.span
      let factors = factors.span
      var highest = 0.0
      for width in 1...BlockRegion.side {
        let factor = factors[unchecked: height &* width]
        for left in 0...(BlockRegion.side &- width) {
          let product = (edges[unchecked: left &+ width] - edges[unchecked: left]) * factor
          highest = product > highest ? product : highest
        }
      }
      return highest
    }
  }

  /// sqrt(A (64 - A) / 64).
  private static let separationWeights = ContrastWeights(
    (0...64).map { (Double($0 * (64 - $0)) / 64).squareRoot() })

  /// Rounding of the products that screen rectangles, with room to spare.
  private static let screeningSlack = 1 - 1e-14

  /// The rectangle of the highest weighted contrast, ties as in ``BlockRegion/all``.
  ///
  /// 64 S - A T of a rectangle between two rows is a difference of two numbers of its columns. Its product with a factor
  /// screens: first the best product of all pairs of rows, without a branch, then rectangle by rectangle only the few pairs
  /// that come close to the best of these. What comes close itself is divided and compared.
  private static func bestByContrast(_ mass: BlockMass, _ table: ContrastWeights) -> Match? {
    let side = BlockRegion.side
    let corners = Corners(mass)
    var highest = InlineArray<36, Double>(repeating: 0)
    var threshold = 0.0
    var pair = 0
    for top in 0..<side {
      for bottom in (top + 1)...side {
        highest[pair] = table.highest(of: corners.edges(top, bottom), height: bottom - top)
        threshold = max(threshold, highest[pair] * screeningSlack)
        pair += 1
      }
    }
    var best: Match?
    pair = 0
    for top in 0..<side {
      for bottom in (top + 1)...side {
        pair += 1
        guard highest[pair - 1] > threshold else { continue }
        let edges = corners.edges(top, bottom)
        for left in 0..<side {
          for right in (left + 1)...side
          where (edges[right] - edges[left]) * table.factors[(bottom - top) * (right - left)] > threshold {
            let region = BlockRegion(columns: left..<right, rows: top..<bottom)
            let score = mass.contrast(of: region) * table.weights[region.blockCount]
            if let best, (score, best.region.searchOrder) <= (best.score, region.searchOrder) { continue }
            best = Match(region: region, score: score)
          }
        }
      }
    }
    return best.map { Match(region: $0.region, score: $0.score * mass.unit) }
  }

  /// 64 S - A T of all blocks above and left of each corner of the grid, 9 x 9.
  private struct Corners {
    private var values = InlineArray<81, Double>(repeating: 0)

    init(_ mass: BlockMass) {
      let side = BlockRegion.side
      for row in 0...side {
        for column in 0...side {
          values[row * 9 + column] = Double(
            64 * mass.sum(rows: 0..<row, left: column) - column * row * mass.total)
        }
      }
    }

    /// The same of the blocks between two rows, for each edge of a column.
    @inline(__always)
    func edges(_ top: Int, _ bottom: Int) -> InlineArray<9, Double> {
      let values = values.span
      return InlineArray { values[unchecked: bottom &* 9 &+ $0] - values[unchecked: top &* 9 &+ $0] }
    }
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
