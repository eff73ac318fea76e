import Kernels

// What methods do with whole rows.
extension Matrix {
  /// The given rows, in that order.
  public func gathered(_ indices: [Int]) -> Matrix {
    let gathered = [Float](unsafeUninitializedCapacity: indices.count * columns) { target, count in
      count = indices.count * columns
      LargeMemory.prepare(target)
      values.withUnsafeBufferPointer { values in
        guard let from = values.baseAddress, let into = target.baseAddress else { return }
        for (slot, index) in indices.enumerated() {
          precondition((0..<rows).contains(index), "the row is one of the matrix")
          (into + slot * columns).initialize(from: from + index * columns, count: columns)
        }
      }
    }
    return Matrix(rows: indices.count, columns: columns, values: gathered)
  }

  /// The sum of the given rows times their weights [D], in float64 and in that order.
  public func weightedSum(_ indices: [Int], by weight: (Int) -> Double) -> [Double] {
    var sums = [Double](repeating: 0, count: columns)
    for index in indices { add(index, times: weight(index), to: &sums) }
    return sums
  }

  /// The sums of all rows, each times its weight, in float64: one for each rows of weights [sums, rows].
  public func weightedSums(by weights: [Double]) -> [[Double]] {
    let count = rows > 0 ? weights.count / rows : 0
    var sums = [Double](repeating: 0, count: count * columns)
    sums.withUnsafeMutableBufferPointer { sums in
      values.withUnsafeBufferPointer { values in
        weights.withUnsafeBufferPointer { weights in
          guard let from = values.baseAddress, let left = weights.baseAddress, let into = sums.baseAddress
          else { return }
          KernelSet.active.addWideProducts(left, rows, count, from, columns, rows, into, columns, columns)
        }
      }
    }
    return (0..<count).map { Array(sums[($0 * columns)..<(($0 + 1) * columns)]) }
  }

  /// Adds a row times a factor [D] to sums, in float64: the product is rounded, then the sum.
  public func add(_ row: Int, times factor: Double, to sums: inout [Double]) {
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

  /// Adds float64 numbers to a row, rounding each sum once.
  public mutating func add(_ terms: [Double], to row: Int) {
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

  public func appending(_ row: [Double]) -> Matrix {
    precondition(row.count == columns)
    var longer: [Float] = []
    longer.reserveCapacity(values.count + columns)
    longer.append(contentsOf: values)
    for value in row { longer.append(Float(value)) }
    return Matrix(rows: rows + 1, columns: columns, values: longer)
  }

  /// The mean of some rows, summed in float64.
  public func mean(of rows: [Int]) -> [Float] {
    var sums = [Double](repeating: 0, count: columns)
    for row in rows { add(row, times: 1, to: &sums) }
    return sums.map { Float($0 / Double(rows.count)) }
  }

  /// The largest number of each column among some rows.
  public func largest(of rows: [Int]) -> [Float] {
    var largest = [Float](repeating: -.infinity, count: columns)
    for row in rows {
      let own = self.row(row)
      for column in 0..<columns { largest[column] = max(largest[column], own[own.startIndex + column]) }
    }
    return largest
  }

  /// The given columns of all rows, in that order.
  public func gatheredColumns(_ chosen: [Int]) -> Matrix {
    precondition(chosen.allSatisfy { (0..<columns).contains($0) })
    let gathered = [Float](unsafeUninitializedCapacity: rows * chosen.count) { target, count in
      count = rows * chosen.count
      LargeMemory.prepare(target)
      values.withUnsafeBufferPointer { values in
        chosen.withUnsafeBufferPointer { chosen in
          for row in 0..<rows {
            let (from, into) = (row * columns, row * chosen.count)
            for slot in chosen.indices { target[into + slot] = values[from + chosen[slot]] }
          }
        }
      }
    }
    return Matrix(rows: rows, columns: chosen.count, values: gathered)
  }

  /// The sum of some rows, each times its factor [D], in float64 and in their order.
  public func sum(of range: Range<Int>, times factors: [Double]) -> [Double] {
    precondition(range.lowerBound >= 0 && range.upperBound <= min(rows, factors.count))
    // Few enough rows that the sums stay in the first cache from one group to the next.
    let height = 8
    var sums = [Double](repeating: 0, count: columns)
    sums.withUnsafeMutableBufferPointer { sums in
      values.withUnsafeBufferPointer { values in
        factors.withUnsafeBufferPointer { factors in
          guard let from = values.baseAddress, let factors = factors.baseAddress, let into = sums.baseAddress
          else { return }
          for row in stride(from: range.lowerBound, to: range.upperBound, by: height) {
            KernelSet.active.addWideProducts(
              factors + row, rows, 1, from + row * columns, columns, min(height, range.upperBound - row),
              into,
              columns, columns)
          }
        }
      }
    }
    return sums
  }

  /// The variance of each column [D], in float64: the mean of the squares of differences from the mean.
  public func columnVariances() -> [Double] {
    let count = Double(max(rows, 1))
    let means = sum(of: 0..<rows, times: Array(repeating: 1, count: rows)).map { $0 / count }
    var squares = [Double](repeating: 0, count: columns)
    squares.withUnsafeMutableBufferPointer { squares in
      means.withUnsafeBufferPointer { means in
        values.withUnsafeBufferPointer { values in
          guard let from = values.baseAddress, let means = means.baseAddress, let into = squares.baseAddress
          else { return }
          for row in 0..<rows {
            KernelSet.active.wideRows.addSquaredDifferences(from + row * columns, means, into, columns)
          }
        }
      }
    }
    return squares.map { $0 / count }
  }

  /// The square of how far a row lies from a point, in float64.
  public func squaredDistance(of row: Int, to point: [Double]) -> Double {
    precondition(point.count == columns && (0..<rows).contains(row))
    return values.withUnsafeBufferPointer { values in
      point.withUnsafeBufferPointer { point in
        guard let from = values.baseAddress, let point = point.baseAddress else { return 0 }
        return KernelSet.active.wideRows.squaredDistance(from + row * columns, point, columns)
      }
    }
  }

  /// The inner product of a row with as many float64 numbers.
  public func product(of row: Int, with other: [Double]) -> Double {
    precondition(other.count == columns && (0..<rows).contains(row))
    return values.withUnsafeBufferPointer { values in
      other.withUnsafeBufferPointer { other in
        guard let from = values.baseAddress, let other = other.baseAddress else { return 0 }
        return KernelSet.active.widenedDot(from + row * columns, other, columns)
      }
    }
  }

  /// The inner products of four rows with each of some others, in float64: [others, 4].
  public func preciseProducts(of four: SIMD4<Int>, with others: [Int]) -> [Double] {
    var products = [Double](repeating: 0, count: 4 * ((others.count + 3) / 4) * 4)
    let blocks = RowBlocks(others)
    values.withUnsafeBufferPointer { values in
      products.withUnsafeMutableBufferPointer { products in
        guard let base = values.baseAddress, let into = products.baseAddress else { return }
        func row(_ index: Int) -> KernelSet.Row { base + index * columns }
        for block in 0..<blocks.count {
          let b = blocks[block]
          KernelSet.active.tiles.preciseTile(
            row(four[0]), row(four[1]), row(four[2]), row(four[3]), row(b[0]), row(b[1]), row(b[2]),
            row(b[3]),
            columns, into + 16 * block)
        }
      }
    }
    return products
  }

  /// The inner product of two rows, in float64.
  public func preciseProduct(_ a: Int, _ b: Int) -> Double {
    values.withUnsafeBufferPointer { values in
      guard let base = values.baseAddress else { return 0 }
      return KernelSet.active.preciseDot(base + a * columns, base + b * columns, columns)
    }
  }

  /// Each of the given rows as the mean of itself and its members, in float64.
  public func meanRows(_ kept: [Int], with members: [[Int]]) -> Matrix {
    var rows = gathered(kept)
    for (row, others) in members.enumerated() where !others.isEmpty {
      let weight = 1 / Double(others.count + 1)
      var sums = [Double](repeating: 0, count: columns)
      for token in [kept[row]] + others { add(token, times: 1, to: &sums) }
      rows.replace(row: row, by: sums.map { Float($0 * weight) }[...])
    }
    return rows
  }

  public mutating func replace(row: Int, by numbers: ArraySlice<Float>) {
    precondition(numbers.count == columns)
    values.replaceSubrange((row * columns)..<((row + 1) * columns), with: numbers)
  }
}
