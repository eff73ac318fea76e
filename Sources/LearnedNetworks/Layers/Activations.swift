import Kernels
import PruningNumerics

/// What flows between two layers: rows of float64 numbers, [rows, columns].
///
/// Weights are float32, everything computed is float64, and sums have one order at every processor level: a
/// network gives the same bits on every machine, and the rounding of half a million products stays far below that
/// of the weights.
struct Activations: Sendable, Equatable {
  let rows: Int
  let columns: Int
  var values: [Double]

  /// - Precondition: `values` holds rows x columns numbers.
  init(rows: Int, columns: Int, values: [Double]) {
    precondition(values.count == rows * columns)
    self.rows = rows
    self.columns = columns
    self.values = values
  }

  init(zeros rows: Int, _ columns: Int) {
    self.init(rows: rows, columns: columns, values: Array(repeating: 0, count: rows * columns))
  }

  init(_ matrix: Matrix) {
    self.init(rows: matrix.rows, columns: matrix.columns, values: matrix.values.map { Double($0) })
  }

  subscript(row: Int, column: Int) -> Double { values[row * columns + column] }

  static func += (sum: inout Activations, term: Activations) {
    precondition(sum.rows == term.rows && sum.columns == term.columns)
    for index in sum.values.indices { sum.values[index] += term.values[index] }
  }

  /// The largest number of elements of one set of activations, 64 MiB: a request must not fill the memory.
  static let maximumCount = 1 << 23
}

/// Loops over rows of float64 numbers.
enum WideRows {
  /// The inner product, in four sums per lane of four, added up in a fixed order.
  @inline(__always)
  static func dot(_ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, _ count: Int) -> Double {
    var sums = SIMD8<Double>.zero
    var index = 0
    let left = UnsafeRawPointer(a)
    let right = UnsafeRawPointer(b)
    while index &+ 8 <= count {
      sums +=
        left.loadUnaligned(fromByteOffset: index &* 8, as: SIMD8<Double>.self)
        * right.loadUnaligned(fromByteOffset: index &* 8, as: SIMD8<Double>.self)
      index &+= 8
    }
    var sum = sums.sum()
    while index < count {
      sum += a[index] * b[index]
      index &+= 1
    }
    return sum
  }

  /// The sum of a row, in eight sums added up in a fixed order.
  static func sum(_ row: UnsafePointer<Double>, _ count: Int) -> Double {
    var sums = SIMD8<Double>.zero
    var index = 0
    while index &+ 8 <= count {
      sums += UnsafeRawPointer(row + index).loadUnaligned(as: SIMD8<Double>.self)
      index &+= 8
    }
    var sum = sums.sum()
    while index < count {
      sum += row[index]
      index &+= 1
    }
    return sum
  }

  /// The sum of squared differences from `mean`, likewise.
  static func squares(_ row: UnsafePointer<Double>, _ count: Int, around mean: Double) -> Double {
    var sums = SIMD8<Double>.zero
    var index = 0
    while index &+ 8 <= count {
      let differences = UnsafeRawPointer(row + index).loadUnaligned(as: SIMD8<Double>.self) - mean
      sums += differences * differences
      index &+= 8
    }
    var sum = sums.sum()
    while index < count {
      sum += (row[index] - mean) * (row[index] - mean)
      index &+= 1
    }
    return sum
  }

  /// sum[i] += factor * row[i].
  @inline(__always)
  static func add(
    _ row: UnsafePointer<Double>, times factor: Double, to sum: UnsafeMutablePointer<Double>, _ count: Int
  ) {
    for index in 0..<count { sum[index] += factor * row[index] }
  }
}
