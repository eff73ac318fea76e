import Kernels

/// What forms the fast similarities of a ``CosineSpace`` while its rows stay where they are.
///
/// A tile is worth a tenth of a microsecond, and a search wants thousands: nothing is looked up or retained for one.
public struct CosineReader {
  private typealias Row = UnsafeRawPointer

  private let base: Row
  private let stride: Int
  private let columns: Int
  private let factors: UnsafePointer<Float>
  private let format: FormatKernels
  /// Room for the products of a tile.
  private let products: UnsafeMutablePointer<Float>

  fileprivate init(
    _ space: CosineSpace, _ base: UnsafeRawPointer, _ factors: UnsafePointer<Float>,
    _ products: UnsafeMutablePointer<Float>
  ) {
    self.base = base
    self.factors = factors
    self.products = products
    stride = space.fast.stride
    columns = space.columns
    format = space.fast.format
  }

  /// The fast similarities of one row to four.
  public func similarities(of row: Int, to others: SIMD4<Int>) -> SIMD4<Float> {
    let b = others &* stride
    format.column(base + row &* stride, base + b[0], base + b[1], base + b[2], base + b[3], columns, products)
    return four(0) * factorsOf(others) * factors[row]
  }

  /// The fast similarities of four rows to four others: for each of the others, to the four.
  public func similarities(of rows: SIMD4<Int>, to others: SIMD4<Int>) -> SimilarityTile {
    let (a, b) = (rows &* stride, others &* stride)
    format.tile(
      base + a[0], base + a[1], base + a[2], base + a[3], base + b[0], base + b[1], base + b[2], base + b[3],
      columns, products)
    return tile(SimilarityTile(columns: (four(0), four(1), four(2), four(3))), rows, others)
  }

  /// The fast similarity of two rows.
  public func similarity(of row: Int, to other: Int) -> Float {
    format.product(base + row &* stride, base + other &* stride, columns) * factors[row] * factors[other]
  }

  /// The fast similarities of four rows to each other; what they are to themselves is anything.
  public func similarities(of rows: SIMD4<Int>) -> SimilarityTile { similarities(of: rows, to: rows) }

  /// Raises what belongs to some rows to their fast similarities to another.
  ///
  /// - Parameter slots: of `rows`.
  public func raise(
    _ nearest: UnsafeMutablePointer<Float>, bySimilaritiesTo row: Int, of rows: [Int],
    at slots: ArraySlice<Int32>
  ) {
    let last = slots.endIndex - 1
    for first in Swift.stride(from: slots.startIndex, through: last, by: 4) {
      let four = SIMD4(
        slots[first], slots[min(first + 1, last)], slots[min(first + 2, last)], slots[min(first + 3, last)])
      let similarities = similarities(
        of: row, to: SIMD4(rows[Int(four[0])], rows[Int(four[1])], rows[Int(four[2])], rows[Int(four[3])]))
      for lane in 0..<4 {
        let slot = Int(four[lane])
        if similarities[lane] > nearest[slot] { nearest[slot] = similarities[lane] }
      }
    }
  }

  @inline(__always)
  private func tile(_ products: SimilarityTile, _ rows: SIMD4<Int>, _ others: SIMD4<Int>) -> SimilarityTile {
    let (own, columns) = (factorsOf(rows), products.columns)
    return SimilarityTile(
      columns: (
        columns.0 * own * factors[others[0]], columns.1 * own * factors[others[1]],
        columns.2 * own * factors[others[2]], columns.3 * own * factors[others[3]]
      ))
  }

  @inline(__always)
  private func four(_ column: Int) -> SIMD4<Float> {
    UnsafeRawPointer(products + 4 &* column).loadUnaligned(as: SIMD4<Float>.self)
  }

  @inline(__always)
  private func factorsOf(_ rows: SIMD4<Int>) -> SIMD4<Float> {
    SIMD4(factors[rows[0]], factors[rows[1]], factors[rows[2]], factors[rows[3]])
  }
}

extension CosineSpace {
  /// Calls `body` with what compares rows as long as it runs.
  ///
  /// - Precondition: there are rows.
  public func withReader<Value>(_ body: (CosineReader) -> Value) -> Value {
    let result = fast.withBase { base in
      factors.withUnsafeBufferPointer { factors in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 16) { products in
          guard let factors = factors.baseAddress, let products = products.baseAddress else {
            preconditionFailure("rows are compared of those that are there")
          }
          return body(CosineReader(self, base, factors, products))
        }
      }
    }
    guard let result else { preconditionFailure("rows are compared of those that are there") }
    return result
  }

  /// The same for a body that throws.
  public func withReader<Value>(
    throwing body: (CosineReader) throws(PruningError) -> Value
  ) throws(PruningError) -> Value {
    try withReader { reader in Result { () throws(PruningError) in try body(reader) } }.get()
  }
}
