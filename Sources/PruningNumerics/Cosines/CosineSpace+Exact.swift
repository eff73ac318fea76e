import Kernels

// Similarities in float64. Every one has the same bits, whichever of these functions computes it.

extension CosineSpace {
  /// The exact similarities of four rows to another.
  public func exactSimilarities(of rows: SIMD4<Int>, to other: Int) -> SIMD4<Double> {
    let four = features.withFloats(of: SIMD4(repeating: other)) { pointer, _, _, _ in
      exactSimilarities(of: rows, to: pointer, norm: norm(of: other))
    }
    return four ?? .zero
  }

  /// The exact similarities of many rows to one that need not be of this space.
  ///
  /// - Precondition: `other` has as many columns.
  /// - Complexity: O(rows x columns).
  public func exactSimilarities(of rows: [Int], to other: ArraySlice<Float>, norm: Double) -> [Double] {
    precondition(other.count == columns)
    return other.withUnsafeBufferPointer { buffer in
      guard let pointer = buffer.baseAddress else { return rows.map { _ in 0 } }
      var similarities = [Double](repeating: 0, count: rows.count)
      let blocks = RowBlocks(rows)
      for block in 0..<blocks.count {
        let four = exactSimilarities(of: blocks[block], to: pointer, norm: norm)
        for lane in blocks.lanes(of: block) { similarities[4 * block + lane] = four[lane] }
      }
      return similarities
    }
  }

  private func exactSimilarities(
    of rows: SIMD4<Int>, to other: UnsafePointer<Float>, norm: Double
  ) -> SIMD4<Double> {
    let four = features.withFloats(of: rows) { a0, a1, a2, a3 in
      withUnsafeTemporaryAllocation(of: Double.self, capacity: 4) { sums in
        guard let into = sums.baseAddress else { return SIMD4<Double>.zero }
        kernels.tiles.preciseColumn(a0, a1, a2, a3, other, columns, into)
        return quotients(into, rows, norm)
      }
    }
    return four ?? .zero
  }

  /// The exact similarities of each of `rows` to each of `others` [rows, others].
  ///
  /// - Complexity: O(rows x others x columns).
  public func exactSimilarities(of rows: [Int], to others: [Int]) -> [Double] {
    let left = RowBlocks(rows)
    let right = RowBlocks(others)
    var similarities = [Double](repeating: 0, count: rows.count * others.count)
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 16) { sums in
      guard let into = sums.baseAddress else { return }
      for a in 0..<left.count {
        // Widened once for all others.
        _ = features.withFloats(of: left[a]) { a0, a1, a2, a3 in
          for b in 0..<right.count {
            _ = features.withFloats(of: right[b]) { b0, b1, b2, b3 in
              kernels.tiles.preciseTile(a0, a1, a2, a3, b0, b1, b2, b3, columns, into)
            }
            for column in right.lanes(of: b) {
              let four = quotients(into + 4 * column, left[a], norm(of: right[b][column]))
              for lane in left.lanes(of: a) {
                similarities[(4 * a + lane) * others.count + 4 * b + column] = four[lane]
              }
            }
          }
        }
      }
    }
    return similarities
  }

  /// The same to each row of a matrix, which need not be of this space.
  ///
  /// - Precondition: it has as many columns.
  /// - Parameter norms: the lengths of its rows.
  public func exactSimilarities(of rows: [Int], to others: Matrix, norms otherNorms: [Double]) -> [Double] {
    precondition(others.columns == columns)
    let left = RowBlocks(rows)
    var similarities = [Double](repeating: 0, count: rows.count * others.rows)
    others.values.withUnsafeBufferPointer { values in
      withUnsafeTemporaryAllocation(of: Double.self, capacity: 16) { sums in
        guard let base = values.baseAddress, let into = sums.baseAddress else { return }
        for a in 0..<left.count {
          _ = features.withFloats(of: left[a]) { a0, a1, a2, a3 in
            for first in stride(from: 0, to: others.rows, by: 4) {
              func other(_ lane: Int) -> KernelSet.Row { base + min(first + lane, others.rows - 1) * columns }
              kernels.tiles.preciseTile(a0, a1, a2, a3, other(0), other(1), other(2), other(3), columns, into)
              for column in first..<min(first + 4, others.rows) {
                let four = quotients(into + 4 * (column - first), left[a], otherNorms[column])
                for lane in left.lanes(of: a) {
                  similarities[(4 * a + lane) * others.rows + column] = four[lane]
                }
              }
            }
          }
        }
      }
    }
    return similarities
  }

  private func quotients(
    _ products: UnsafeMutablePointer<Double>, _ rows: SIMD4<Int>, _ norm: Double
  ) -> SIMD4<Double> {
    var four = SIMD4<Double>.zero
    for lane in 0..<4 {
      four[lane] = Cosine.value(product: products[lane], self.norm(of: rows[lane]), norm)
    }
    return four
  }
}
