@testable public import Kernels

extension SearchKernelSet {
  /// The obvious loops.
  public static let reference = SearchKernelSet(
    combine: { weights, depth, rows, stride, target, count in
      for j in 0..<count {
        target[j] = Float(
          (0..<depth).reduce(0.0) { $0 + Double(weights[$1]) * Double(rows[$1 * stride + j]) })
      }
    },
    above: { bounds, limits, margin, indices, count in
      let found = (0..<count).filter { bounds[$0] >= limits[$0] - margin }
      for (slot, index) in found.enumerated() { indices[slot] = Int32(index) }
      return found.count
    },
    lowest: { values, count in (0..<count).min { values[$0] < values[$1] } ?? 0 },
    highest: { values, count in
      (1..<max(count, 1)).reduce(0) { values[$1] > values[$0] ? $1 : $0 }
    },
    raise: { values, factors, factor, target, count in
      for j in 0..<count { target[j] = max(target[j], values[j] * factors[j] * factor) }
    })
}
