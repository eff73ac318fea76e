extension FloatRows {
  init(zeros rows: Int, _ columns: Int) {
    self.init(rows: rows, columns: columns, values: Array(repeating: 0, count: rows * columns))
  }

  /// Some rows that lie behind each other.
  func group(_ start: Int, _ count: Int) -> FloatRows {
    FloatRows(
      rows: count, columns: columns, values: Array(values[(start * columns)..<((start + count) * columns)]))
  }

  /// Some columns, [rows, count].
  func columns(_ first: Int, _ count: Int) -> FloatRows {
    FloatRows(rows: rows, columns: count) { target in
      values.withUnsafeBufferPointer { source in
        guard let from = source.baseAddress else { return }
        for row in 0..<rows {
          (target + row * count).initialize(from: from + (row * columns + first), count: count)
        }
      }
    }
  }

  /// Some columns, for sums of them weighted by rows as long as there are rows here.
  func columnPanels(_ first: Int, _ count: Int) -> FloatPanels {
    values.withUnsafeBufferPointer { source in
      guard let from = source.baseAddress else { preconditionFailure("there are no rows") }
      return FloatPanels(columnsOf: from + first, count: rows, columns: count, stride: columns)
    }
  }

  /// For each head all rows, with zeros outside the head's columns: [heads x rows, columns].
  func expanded(heads: Int) -> FloatRows {
    var result = FloatRows(zeros: heads * rows, columns)
    let width = columns / heads
    for head in 0..<heads {
      for row in 0..<rows {
        let start = row * columns + head * width
        let target = (head * rows + row) * columns + head * width
        for offset in 0..<width { result.values[target + offset] = values[start + offset] }
      }
    }
    return result
  }

  /// Each row's product with `other`, added up in float64 and rounded once.
  func products(with other: [Float]) -> [Float] {
    precondition(other.count == columns)
    return (0..<rows).map { row in
      var sum = 0.0
      for column in 0..<columns { sum += Double(values[row * columns + column]) * Double(other[column]) }
      return Float(sum)
    }
  }

  func withRows(_ body: (_ row: Int, _ values: UnsafePointer<Float>) -> Void) {
    values.withUnsafeBufferPointer { values in
      guard let base = values.baseAddress else { return }
      for row in 0..<rows { body(row, base + row * columns) }
    }
  }
}

extension FloatPanels {
  /// Writes the results for `left` to some columns of `target`, from a row on.
  func multiply(_ left: FloatRows, into target: inout FloatRows, row: Int, column: Int) {
    precondition(
      left.columns == depth && row + left.rows <= target.rows && column + columns <= target.columns)
    let stride = target.columns
    target.values.withUnsafeMutableBufferPointer { values in
      left.values.withUnsafeBufferPointer { left in
        guard let into = values.baseAddress, let from = left.baseAddress else { return }
        multiply(from, rows: left.count / max(depth, 1), into: into + (row * stride + column), stride: stride)
      }
    }
  }
}
