import Kernels
import PruningNumerics

/// What flows between two layers: rows of float32 numbers, [rows, columns].
///
/// Sums of products round each product and sum once and have one order (`NetworkKernelSet`), everything else is computed by
/// single rounded operations: a network gives the same bits on every machine.
struct FloatRows: Sendable, Equatable {
  let rows: Int
  let columns: Int
  var values: [Float]

  /// How many rows share one pass over weights: a multiple of the rows of a tile at every level, which together fit the
  /// second-level cache.
  static let groupSize = 96

  /// The largest number of elements of one set of rows, 32 MiB: a request must not fill the memory.
  static let maximumCount = 1 << 23

  /// - Precondition: `values` holds rows x columns numbers.
  init(rows: Int, columns: Int, values: [Float]) {
    precondition(values.count == rows * columns)
    self.rows = rows
    self.columns = columns
    self.values = values
  }

  /// Rows that `fill` writes, all of them.
  init(rows: Int, columns: Int, filledBy fill: (UnsafeMutablePointer<Float>) -> Void) {
    self.init(
      rows: rows, columns: columns,
      values: [Float](unsafeUninitializedCapacity: rows * columns) { room, count in
        count = rows * columns
        LargeMemory.prepare(room)
        if let base = room.baseAddress { fill(base) }
      })
  }

  static func += (sum: inout FloatRows, term: FloatRows) {
    precondition(sum.rows == term.rows && sum.columns == term.columns)
    sum.values.withUnsafeMutableBufferPointer { sum in
      term.values.withUnsafeBufferPointer { term in
        for index in sum.indices { sum[index] += term[index] }
      }
    }
  }

  /// The same with `row` added to every row.
  static func += (sum: inout FloatRows, row: [Float]) {
    precondition(row.count == sum.columns)
    let (rows, columns) = (sum.rows, sum.columns)
    sum.values.withUnsafeMutableBufferPointer { values in
      guard let base = values.baseAddress else { return }
      for index in 0..<rows { addRow(row, to: base + index * columns) }
    }
  }

  /// Adds `row` to as many numbers at `target`.
  @inline(__always)
  static func addRow(_ row: [Float], to target: UnsafeMutablePointer<Float>) {
    row.withUnsafeBufferPointer { row in
      for index in row.indices { target[index] += row[index] }
    }
  }

  /// - Throws: where a sum went beyond float32.
  func refuseOverflow() throws(PruningError) { if hasOverflowed { throw Self.overflow } }

  /// Layers normalise what they read, so this takes weights far from those of a trained network.
  static let overflow = PruningError(
    at: "image_features", "makes numbers beyond 32-bit floats in this model; its weights are too large")

  /// Whether a number is infinite or NaN: a sum went beyond float32.
  var hasOverflowed: Bool { !values.allSatisfy(\.isFinite) }
}

/// The right side of products in float32, packed for the kernels in use: [columns, depth].
struct FloatPanels: Sendable, Equatable {
  /// Results per row of the left side.
  let columns: Int
  /// Products per result.
  let depth: Int
  private let values: [Float]

  init(_ rows: FloatRows) {
    let (kernels, count, depth) = (KernelSet.active, rows.rows, rows.columns)
    self.init(columns: count, depth: depth) { target in
      rows.values.withUnsafeBufferPointer { source in
        guard let from = source.baseAddress else { return }
        kernels.pack(from, count, depth, 0..<kernels.panelCount(rows: count), target)
      }
    }
  }

  /// Each result is a sum of the same column of `rows`, weighted by a row of the left side.
  ///
  /// - Parameter stride: from one row to the next.
  init(columnsOf rows: UnsafePointer<Float>, count: Int, columns: Int, stride: Int) {
    let width = KernelSet.active.panelWidth
    self.init(columns: columns, depth: count) { target in
      for first in Swift.stride(from: 0, to: columns, by: width) {
        let part = min(width, columns - first)
        var into = target + first * count
        for row in 0..<count {
          into.update(from: rows + (row * stride + first), count: part)
          if part < width { (into + part).update(repeating: 0, count: width - part) }
          into += width
        }
      }
    }
  }

  private init(columns: Int, depth: Int, filledBy fill: (UnsafeMutablePointer<Float>) -> Void) {
    self.columns = columns
    self.depth = depth
    let size = KernelSet.active.packedCount(rows: columns, columns: depth)
    values = [Float](unsafeUninitializedCapacity: size) { room, count in
      count = size
      LargeMemory.prepare(room)
      if let base = room.baseAddress { fill(base) }
    }
  }

  /// target[i * stride + j] = row i of `left` [rows, depth] times column j.
  func multiply(
    _ left: UnsafePointer<Float>, rows: Int, into target: UnsafeMutablePointer<Float>, stride: Int
  ) {
    values.withUnsafeBufferPointer { panels in
      guard let panels = panels.baseAddress else { return }
      KernelSet.active.networks.multiply(left, rows, depth, panels, columns, target, stride)
    }
  }

  func callAsFunction(_ left: FloatRows) -> FloatRows {
    precondition(left.columns == depth)
    return FloatRows(rows: left.rows, columns: columns) { target in
      left.values.withUnsafeBufferPointer { left in
        guard let from = left.baseAddress else { return }
        multiply(from, rows: left.count / max(depth, 1), into: target, stride: columns)
      }
    }
  }

  /// One element, as it was given.
  func element(column: Int, depth index: Int) -> Float {
    let width = KernelSet.active.panelWidth
    return values[column / width * width * depth + index * width + column % width]
  }

  /// How many steps multiplying one row takes: blocked products are some times as fast as single comparisons.
  var cost: Int { columns * (4 + depth / 32) }
}
