@testable public import Kernels

extension FactorKernelSet {
  /// The obvious loops; products add up in the order that all levels share.
  public static let reference = FactorKernelSet(
    panelProducts: products,
    panelPairs: { x, other, panel, columns, sums in
      products(x, panel, columns, sums)
      products(other, panel, columns, sums + panelRows)
    },
    advance: { factor, block, start, first, end, kernel, inversePivots, residual in
      var left = residual
      for lane in first..<max(first, end) {
        let explained = (0..<(start + lane)).reduce(0.0) { $0 + factor[$1] * block[8 * $1 + lane] }
        factor[start + lane] = (kernel[lane] - explained) * inversePivots[lane]
        left -= factor[start + lane] * factor[start + lane]
      }
      return left
    },
    condition: { x, panel, columns, stride, factor, step, weights, scales, scale, inversePivot, gains in
      for j in 0..<stride {
        let row = (0..<columns).map { Float(x[$0]) }
        let other = (0..<columns).map { panel[$0 * stride + j] }
        let product = row.withUnsafeBufferPointer { a in
          other.withUnsafeBufferPointer { b in
            guard let a = a.baseAddress, let b = b.baseAddress else { return 0.0 }
            return TileKernelSet.inTurns(a, b, columns)
          }
        }
        let explained = (0..<step).reduce(0.0) { $0 + weights[$1] * factor[$1 * stride + j] }
        let entry = (product * scales[j] * scale - explained) * inversePivot
        factor[step * stride + j] = entry
        gains[j] -= entry * entry
      }
    },
    highest: { values, count in (1..<max(count, 1)).reduce(0) { values[$1] > values[$0] ? $1 : $0 } })
  @Sendable
  private static func products(
    _ x: Row, _ panel: Row, _ columns: Int, _ sums: UnsafeMutablePointer<Double>
  ) {
    for row in 0..<panelRows {
      let other = (0..<columns).map { panel[slot(row: row, column: $0, columns: columns)] }
      other.withUnsafeBufferPointer { other in
        sums[row] = other.baseAddress.map { TileKernelSet.inTurns(x, $0, columns) } ?? 0
      }
    }
  }
}
