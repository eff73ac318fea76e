/// `total` divided in proportion to `weights`, by largest remainder (Hamilton), ties to the lower index.
///
/// What a part cannot take beyond its limit goes to the others, in the same order; the sum is exact.
/// - Precondition: 0 <= total <= the sum of `limits`; weights and limits are not negative.
/// - Complexity: O(n log n) and O(n) for each round in which a limit is met.
public func apportion(_ total: Int, by weights: [Int], limits: [Int]) -> [Int] {
  let sum = weights.reduce(0, +)
  precondition(total >= 0 && total <= limits.reduce(0, +) && weights.count == limits.count)
  guard sum > 0 else { return limits.map { min($0, 0) } }
  let shares = weights.map { weight in
    // Counts are below 2^20 x 2^12, so the product fits.
    (total * weight).quotientAndRemainder(dividingBy: sum)
  }
  var parts = zip(shares, limits).map { min($0.quotient, $1) }
  let order = weights.indices.sorted { a, b in
    shares[a].remainder != shares[b].remainder ? shares[a].remainder > shares[b].remainder : a < b
  }
  var left = total - parts.reduce(0, +)
  while left > 0 {
    for index in order where left > 0 && parts[index] < limits[index] {
      parts[index] += 1
      left -= 1
    }
  }
  return parts
}
