import Kernels

/// What a method makes of all tokens: a row for every kept one, and the rows it forms from the others.
struct MergedTokens: Sendable, Equatable {
  /// [R, D]; the first `kept.count` rows are those of kept tokens.
  let features: Matrix
  /// The kept tokens in the order of their rows.
  let kept: [Int]
  /// The row each token went into [N]; nil where it is dropped.
  let assignments: [Int?]
  /// How many tokens each row stands for [R].
  let sizes: [Int]

  /// Sizes are counted from the assignments.
  init(features: Matrix, kept: [Int], assignments: [Int?]) {
    var sizes = [Int](repeating: 0, count: features.rows)
    for case let row? in assignments { sizes[row] += 1 }
    self.init(features: features, kept: kept, assignments: assignments, sizes: sizes)
  }

  /// - Precondition: kept.count <= features.rows == sizes.count; assignments lie in 0..<features.rows.
  init(features: Matrix, kept: [Int], assignments: [Int?], sizes: [Int]) {
    precondition(kept.count <= features.rows && sizes.count == features.rows)
    self.features = features
    self.kept = kept
    self.assignments = assignments
    self.sizes = sizes
  }

  /// The kept tokens' features as they are; all other tokens are dropped.
  static func gathered(_ kept: [Int], of features: Matrix) -> MergedTokens {
    MergedTokens(
      features: features.gathered(kept), kept: kept, assignments: ownRows(kept, tokenCount: features.rows),
      sizes: Array(repeating: 1, count: kept.count))
  }

  /// Kept tokens in their own rows, all others nowhere.
  static func ownRows(_ kept: [Int], tokenCount: Int) -> [Int?] {
    var assignments = [Int?](repeating: nil, count: tokenCount)
    for (row, token) in kept.enumerated() { assignments[token] = row }
    return assignments
  }
}

extension Matrix {
  /// The given rows, in that order.
  func gathered(_ indices: [Int]) -> Matrix {
    let gathered = [Float](unsafeUninitializedCapacity: indices.count * columns) { target, count in
      count = indices.count * columns
      LargeMemory.prepare(target)
      values.withUnsafeBufferPointer { values in
        guard let from = values.baseAddress, let into = target.baseAddress else { return }
        for (place, index) in indices.enumerated() {
          precondition((0..<rows).contains(index), "the row is one of the matrix")
          (into + place * columns).initialize(from: from + index * columns, count: columns)
        }
      }
    }
    return Matrix(rows: indices.count, columns: columns, values: gathered)
  }

  /// The sum of the given rows times their weights [D], in binary64 and in that order.
  func weightedSum(_ indices: [Int], by weight: (Int) -> Double) -> [Double] {
    var sums = [Double](repeating: 0, count: columns)
    for index in indices { add(index, times: weight(index), to: &sums) }
    return sums
  }

  /// Adds a row times a factor [D] to sums, in binary64: the product is rounded, then the sum.
  func add(_ row: Int, times factor: Double, to sums: inout [Double]) {
    precondition(sums.count == columns && (0..<rows).contains(row))
    sums.withUnsafeMutableBufferPointer { sums in
      values.withUnsafeBufferPointer { values in
        withUnsafePointer(to: factor) { factor in
          guard let from = values.baseAddress, let into = sums.baseAddress else { return }
          KernelSet.active.addWideProducts(
            factor, 1, 1, from + row * columns, columns, 1, into, columns, columns)
        }
      }
    }
  }
}

extension Matrix {
  /// Adds binary64 numbers to a row, rounding each sum once.
  mutating func add(_ terms: [Double], to row: Int) {
    precondition(terms.count == columns)
    let start = row * columns
    let columns = columns
    values.withUnsafeMutableBufferPointer { values in
      terms.withUnsafeBufferPointer { terms in
        for column in 0..<columns {
          values[start + column] = Float(Double(values[start + column]) + terms[column])
        }
      }
    }
  }

  func appending(_ row: [Double]) -> Matrix {
    precondition(row.count == columns)
    var longer: [Float] = []
    longer.reserveCapacity(values.count + columns)
    longer.append(contentsOf: values)
    for value in row { longer.append(Float(value)) }
    return Matrix(rows: rows + 1, columns: columns, values: longer)
  }
}
