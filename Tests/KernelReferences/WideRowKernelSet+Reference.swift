@testable public import Kernels

extension WideRowKernelSet {
  /// The obvious loops.
  public static let reference = WideRowKernelSet(
    squaredDistance: { a, point, count in
      (0..<count).reduce(0.0) { $0 + (Double(a[$1]) - point[$1]) * (Double(a[$1]) - point[$1]) }
    },
    addSquaredDifferences: { a, point, sums, count in
      for index in 0..<count {
        let difference = Double(a[index]) - point[index]
        sums[index] += difference * difference
      }
    },
    productsOfFour: { a, b0, b1, b2, b3, count in
      (0..<count).reduce(SIMD4<Double>.zero) { $0 + SIMD4(b0[$1], b1[$1], b2[$1], b3[$1]) * a[$1] }
    },
    multiplyAdding: { row, v, factor, sums, count in
      for index in 0..<count { sums[index] += row[index] * factor }
      return (0..<count).reduce(0.0) { $0 + row[$1] * v[$1] }
    },
    subtractMultiples: { row, a, w, b, v, count in
      for index in 0..<count { row[index] = (row[index] - a * w[index]) - b * v[index] }
    })
}
