/// Whether a map has a region at all.
///
/// The statistic is the standardised contrast of the best rectangle: (mean inside - mean outside) x
/// sqrt(A (64 - A) / 64) divided by the standard deviation that remains within the two parts, over all 1,296
/// rectangles. On 8 x 8 maps of independent noise its 95th and 99th percentile is 4.0 and 4.4 (uniform noise on
/// 24 x 24 tokens), 4.8 and 5.5 (exponential); a planted rectangle one standard deviation of the token noise above
/// its surroundings reaches 8 in the median.
enum FlatMapTest {
  /// Below this the map is too flat to decide.
  static let defaultMinimumContrast = 5.0

  /// Values that differ by less than this share of the largest are equal: it is rounding of 16-bit scores averaged
  /// over tokens, not a region.
  static let relativeSpread = 1e-6

  /// - Parameter independentValues: how many tokens the map was made of. Fewer than 64 are repeated in
  ///   neighbouring blocks, which would look like agreement; the statistic shrinks by sqrt(n / 64).
  /// - Returns: infinity when a rectangle explains the map completely, 0 for a constant map; and the rectangle that
  ///   separates the map best, unless it is constant.
  static func standardisedContrast(
    _ map: [Double], independentValues: Int
  ) -> (contrast: Double, best: RectangleSearch.Match?) {
    var (low, high) = (map[0], map[0])
    for value in map {
      low = min(low, value)
      high = max(high, value)
    }
    let largest = max(abs(low), abs(high))
    guard largest >= BlockMass.smallestMagnitude, high / largest - low / largest > relativeSpread
    else { return (0, nil) }
    let mass = BlockMass(map)
    let count = Double(map.count)
    let mean = Double(mass.total) / count
    let variation = mass.values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    guard let best = RectangleSearch.bestSeparation(mass) else { return (0, nil) }
    let explained = best.score / mass.unit
    let remaining = max(variation - explained * explained, 0)
    let shrink = (Double(min(independentValues, map.count)) / count).squareRoot()
    // 62 degrees of freedom are left by two means. Rounding leaves about 1e-16 of the variation.
    guard remaining > 1e-12 * variation else { return (.infinity, best) }
    return (shrink * explained / (remaining / (count - 2)).squareRoot(), best)
  }
}
