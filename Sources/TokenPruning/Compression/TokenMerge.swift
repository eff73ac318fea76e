import Kernels
import PruningNumerics

/// Which row every token goes into, given the anchors of each part.
struct TokenMerge {
  /// Of all parts, ascending; the rows of the result.
  let anchors: [Int]
  let assignments: [Int]
  let sizes: [Int]

  /// - Precondition: the parts cover every row of `space` once; `anchors[p]` lies in `parts[p]` and is not
  ///   empty unless the part is.
  /// - Throws: when it is more work than the limit allows.
  /// - Complexity: O(N K D).
  init(
    space: CosineSpace, parts: [[Int]], anchors anchorsOfParts: [[Int]], sharing: WorkSharing = .none,
    stepLimit: StepLimit = .unlimited
  ) throws(PruningError) {
    let anchors = anchorsOfParts.flatMap { $0 }.sorted()
    var rowOfAnchor = [Int?](repeating: nil, count: space.rows)
    for (row, anchor) in anchors.enumerated() { rowOfAnchor[anchor] = row }
    var assignments = [Int](repeating: 0, count: space.rows)
    var steps = StepCounter(limit: stepLimit)
    for (part, own) in zip(parts, anchorsOfParts) {
      let own = own.sorted()
      for anchor in own { assignments[anchor] = rowOfAnchor[anchor] ?? 0 }
      let others = part.filter { rowOfAnchor[$0] == nil }
      if others.isEmpty { continue }
      let nearest = try space.mostSimilar(to: others, among: own, sharing: sharing, &steps)
      for (token, position) in zip(others, nearest) { assignments[token] = assignments[own[position]] }
    }
    var sizes = [Int](repeating: 0, count: anchors.count)
    for row in assignments { sizes[row] += 1 }
    self.anchors = anchors
    self.assignments = assignments
    self.sizes = sizes
  }

  /// The mean of the tokens of each row [K, D], summed in float64 in token order.
  func means(of features: Matrix) -> Matrix {
    let columns = features.columns
    var sums = [Double](repeating: 0, count: anchors.count * columns)
    sums.withUnsafeMutableBufferPointer { target in
      features.values.withUnsafeBufferPointer { source in
        guard let into = target.baseAddress, let from = source.baseAddress else { return }
        for (token, row) in assignments.enumerated() {
          KernelSet.active.accumulate(from + token * columns, into + row * columns, columns)
        }
      }
    }
    var values: [Float] = []
    values.reserveCapacity(sums.count)
    for (row, size) in sizes.enumerated() {
      let divisor = Double(size)
      for column in 0..<columns { values.append(Float(sums[row * columns + column] / divisor)) }
    }
    return Matrix(rows: anchors.count, columns: columns, values: values)
  }
}
