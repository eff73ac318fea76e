import KernelsBaseline

/// What greedy searches do to all candidates at once; arrays hold a multiple of ``block`` elements.
public struct SearchKernelSet: Sendable {
  public typealias Row = UnsafePointer<Float>

  /// Arrays are padded to a multiple of this many elements.
  public static let block = KernelsBaseline.SearchKernels.block

  /// target[j] = the sum over k < depth of weights[k] * rows[k * stride + j], for all j < count.
  public let combine:
    @Sendable (
      _ weights: Row, _ depth: Int, _ rows: Row, _ stride: Int, _ target: UnsafeMutablePointer<Float>,
      _ count: Int
    ) -> Void
  /// Writes the indices j < count with bounds[j] >= limits[j] - margin, ascending, and returns how many there are.
  public let above:
    @Sendable (
      _ bounds: Row, _ limits: Row, _ margin: Float, _ indices: UnsafeMutablePointer<Int32>, _ count: Int
    ) -> Int
  /// The index of the lowest value, of the highest one, the first of equals.
  public let lowest, highest: @Sendable (_ values: Row, _ count: Int) -> Int
  /// target[j] = max(target[j], values[j] * factors[j] * factor), for all j < count, which need not fill blocks.
  public let raise:
    @Sendable (
      _ values: Row, _ factors: Row, _ factor: Float, _ target: UnsafeMutablePointer<Float>, _ count: Int
    ) -> Void
}

extension SearchKernelSet {
  /// The obvious loops.
  static let reference = SearchKernelSet(
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
