import Kernels
import PruningNumerics
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
  }

  /// sqrt(A (64 - A) / 64).
  private static let separationWeights = ContrastWeights(
    (0...64).map { (Double($0 * (64 - $0)) / 64).squareRoot() })

  /// Rounding of the products that screen rectangles, with room to spare.
  private static let screeningSlack = 1 - 1e-14

  /// The rectangle of the highest weighted contrast, ties as in ``BlockRegion/all``.
  ///
  /// 64 S - A T of a rectangle between two rows is a difference of two numbers of its columns. Its product with a factor
  /// screens: first the best product between any two rows, without a branch, then rectangle by rectangle only between the
  /// few pairs of rows that come close to the best of these. What comes close itself is divided and compared.
  private static func bestByContrast(_ mass: BlockMass, _ table: ContrastWeights) -> Match? {
    let side = BlockRegion.side
    let corners = Corners(mass)
    return withUnsafeTemporaryAllocation(of: SIMD2<Double>.self, capacity: Corners.topCount) { highest in
      corners.screen(table.factors, into: highest)
      var threshold = 0.0
      for two in highest { threshold = max(threshold, two.max() * screeningSlack) }
      var best: Match?
      var slot = 0
      for height in 1...side {
        for first in Corners.tops(height) {
          for lane in 0..<2 where highest[slot][lane] > threshold {
            let (top, bottom) = (first + lane, first + lane + height)
            for left in 0..<side {
              for right in (left + 1)...side {
                let difference = corners.difference(top, bottom, left, right)
                guard difference * table.factors[height * (right - left)] > threshold else { continue }
                let region = BlockRegion(columns: left..<right, rows: top..<bottom)
                let score = mass.contrast(of: region) * table.weights[region.blockCount]
                if let best, (score, best.region.searchOrder) <= (best.score, region.searchOrder) { continue }
                best = Match(region: region, score: score)
              }
            }
          }
          slot += 1
        }
      }
      return best.map { Match(region: $0.region, score: $0.score * mass.unit) }
    }
  }

  /// 64 S - A T of all blocks above and left of each corner of the grid, column after column of 9.
  private struct Corners {
    private static let edges = BlockRegion.side + 1
    /// As many as ``tops(_:)`` gives for all heights.
    static let topCount = 20

    /// One more than there are corners, so that two can be read at the last.
    private let values: [Double]

    init(_ mass: BlockMass) {
      let total = mass.total
      values = [Double](room: 82) { values, count in
        for column in 0..<Self.edges {
          for row in 0..<Self.edges {
            values.initializeElement(
              at: column &* Self.edges &+ row,
              to: Double(64 * mass.sum(above: row, left: column) - column * row * total))
          }
        }
        values.initializeElement(at: 81, to: 0)
        count = 82
      }
    }

    /// The same of the blocks between two rows and two columns.
    @inline(__always)
    func difference(_ top: Int, _ bottom: Int, _ left: Int, _ right: Int) -> Double {
      (values[right * Self.edges + bottom] - values[right * Self.edges + top])
        - (values[left * Self.edges + bottom] - values[left * Self.edges + top])
    }

    /// Top rows of rectangles of some height, by twos: each stands for itself and the next. The last two of an odd number
    /// overlap with those before; of the one of full height the second is none.
    static func tops(_ height: Int) -> [Int] { allTops[height - 1] }

    private static let allTops: [[Int]] = (1...BlockRegion.side).map { height in
      let last = BlockRegion.side - height
      return stride(from: 0, through: last, by: 2).map { max(min($0, last - 1), 0) }
    }

    /// The highest weighted contrast of all rectangles between two rows, as far as products tell; 0 at least. Two tops at
    /// a time, in the order of ``tops(_:)``.
    ///
    /// Few pairs of rows hold a rectangle better than the best so far, so most of the 1,296 are passed over without a branch.
    func screen(_ factors: [Double], into products: UnsafeMutableBufferPointer<SIMD2<Double>>) {
      var edges = InlineArray<9, SIMD2<Double>>(repeating: .zero)
      let values = values.span
      let factors = factors.span
      var slot = 0
      for height in 1...BlockRegion.side {
        for top in Self.tops(height) {
          for column in 0..<Self.edges {
            let upper = column &* Self.edges &+ top
            let lower = upper &+ height
            edges[unchecked: column] =
              SIMD2(values[unchecked: lower], values[unchecked: lower &+ 1])
              - SIMD2(values[unchecked: upper], values[unchecked: upper &+ 1])
          }
          var highest = SIMD2<Double>.zero
          for width in 1...BlockRegion.side {
            var widest = edges[unchecked: width] - edges[unchecked: 0]
            for right in (width &+ 1)..<max(Self.edges, width &+ 1) {
              widest = Self.larger(widest, edges[unchecked: right] - edges[unchecked: right &- width])
            }
            highest = Self.larger(highest, widest * factors[unchecked: height &* width])
          }
          if height == BlockRegion.side { highest[1] = 0 }
          products.initializeElement(at: slot, to: highest)
          slot += 1
        }
      }
    }

    @inline(__always)
    private static func larger(_ a: SIMD2<Double>, _ b: SIMD2<Double>) -> SIMD2<Double> {
      b.replacing(with: a, where: a .> b)
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
