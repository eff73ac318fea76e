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

  /// Calls `body` with each element in float64, row by row.
  public func forEachValue(_ body: (_ row: Int, _ column: Int, _ value: Double) -> Void) {
    values.withUnsafeBufferPointer { values in
      for row in 0..<rows {
        for column in 0..<columns { body(row, column, Double(values[row * columns + column])) }
      }
    }
  }

  public func squaredDistance(_ a: Int, _ b: Int) -> Double {
    values.withUnsafeBufferPointer { values in
      var sum = 0.0
      for column in 0..<columns {
        let difference = Double(values[a * columns + column]) - Double(values[b * columns + column])
        sum += difference * difference
      }
      return sum
    }
  }

  /// The inner product of two rows, in float64.
  public func preciseProduct(_ a: Int, _ b: Int) -> Double {
    values.withUnsafeBufferPointer { values in
      guard let base = values.baseAddress else { return 0 }
      return KernelSet.active.preciseDot(base + a * columns, base + b * columns, columns)
    }
  }

  /// How far a row lies from a weighted sum of others.
  public func distance(of row: Int, to others: [Int], _ weights: [Double]) -> Double {
    var sums = [Double](repeating: 0, count: columns)
    for (other, weight) in zip(others, weights) { add(other, times: weight, to: &sums) }
    return values.withUnsafeBufferPointer { values in
      var sum = 0.0
      for column in 0..<columns {
        let difference = Double(values[row * columns + column]) - sums[column]
        sum += difference * difference
      }
      return sum.squareRoot()
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
