@testable public import Kernels

extension CoverageKernelSet {
  /// The obvious loops in float64.
  public static let reference = CoverageKernelSet(
    gain: { weights, covered, shares, count, absolute, relative in
      var sums = SIMD2<Double>.zero
      for row in 0..<count {
        let (weight, best, share) = (Double(weights[row]), Double(covered[row]), Double(shares[row]))
        let margin = Double(absolute) + Double(relative) * (weight + best)
        sums += SIMD2(share * max(weight - best, 0), weight - best < -margin ? 0 : share * margin)
      }
      return SIMD2(Float(sums[0]), Float(sums[1]))
    },
    cover: { covered, weights, count in
      for row in 0..<count { covered[row] = max(covered[row], weights[row]) }
    },
    scale: { values, factors, factor, count in
      for index in 0..<count { values[index] *= factors[index] * factor }
    },
    powers: { products, factors, factor, inverse, target, count in
      var sum = 0.0
      for index in 0..<count {
        let similarity = Double(products[index]) * Double(factors[index]) * Double(factor)
        let power = ReferenceKernels.exponential((similarity - 1) * Double(inverse))
        target[index] = Float(power)
        sum += power
      }
      return sum
    },
    widePowers: { values, count, top, temperature in
      for index in 0..<count {
        values[index] = ReferenceKernels.exponential((values[index] - top) / temperature)
      }
    })
}
