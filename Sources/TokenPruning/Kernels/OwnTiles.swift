import Kernels

/// What a first look at rows in blocks of four tells: how long each is, but for a small error, and the products of a
/// block's rows with each other.
///
/// A search that starts with neighbours wants both, and forms them in one pass where exact lengths alone would take
/// longer: these are wanted for near ties only.
struct OwnTiles: Sendable {
  /// The error of a length that is one over the root of such a sum of squares is a share of 2^-21; that of a
  /// similarity made of two such is twice that.
  static let similarityError: Float = 0x1p-20

  /// Squares of lengths that are ordinary: nothing overflowed in binary32, and what vanished is far below the error.
  private static let ordinary = 0x1p-60...0x1p60

  /// One over the length of each row.
  let factors: [Float]
  private let count: Int
  /// Of each block a tile of products.
  private let products: [Float]

  /// Nil where a row is zero, has an element that is not finite, or has a length that is not ordinary.
  ///
  /// - Complexity: O(rows x columns).
  init?(_ rows: FeatureRows) {
    let blocks = (rows.count + 3) / 4
    var factors = [Float](repeating: 0, count: 4 * blocks)
    var products = [Float](repeating: 0, count: 16 * blocks)
    let isOrdinary = rows.withBase { base in
      factors.withUnsafeMutableBufferPointer { factors in
        products.withUnsafeMutableBufferPointer { products in
          guard let into = products.baseAddress else { return false }
          return Self.look(at: rows, base, factors, into)
        }
      }
    }
    guard isOrdinary == true else { return nil }
    self.factors = factors
    self.products = products
    count = rows.count
  }

  private static func look(
    at rows: FeatureRows, _ base: UnsafeRawPointer, _ factors: UnsafeMutableBufferPointer<Float>,
    _ products: UnsafeMutablePointer<Float>
  ) -> Bool {
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 4) { squares in
      guard let into = squares.baseAddress else { return false }
      let last = base + (rows.count - 1) * rows.stride
      for row in stride(from: 0, to: rows.count, by: 4) {
        let first = base + row * rows.stride
        rows.format.ownTile(
          first, min(first + rows.stride, last), min(first + 2 * rows.stride, last),
          min(first + 3 * rows.stride, last), rows.columns, products + 4 * row, into)
        for lane in 0..<4 {
          guard ordinary.contains(squares[lane]) else { return false }
          factors[row + lane] = Float(1 / squares[lane].squareRoot())
        }
      }
      return true
    }
  }

  /// The products of four rows with each other, for each to the four; nil where they are no block. The last block is
  /// filled up with its last row.
  func products(of rows: SIMD4<Int>) -> SimilarityTile? {
    let first = rows[0]
    guard first.isMultiple(of: 4) else { return nil }
    for lane in 1..<4 where rows[lane] != min(first + lane, count - 1) { return nil }
    return products.withUnsafeBytes { bytes in
      func column(_ index: Int) -> SIMD4<Float> {
        bytes.loadUnaligned(fromByteOffset: 16 * (first + index), as: SIMD4<Float>.self)
      }
      return SimilarityTile(columns: (column(0), column(1), column(2), column(3)))
    }
  }
}
