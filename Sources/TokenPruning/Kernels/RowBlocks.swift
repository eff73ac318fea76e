/// Rows in blocks of four, so that a search compares four candidates in one go.
///
/// Every block is full: the last one repeats its last row, and whoever reads values of the padding has marked it.
struct RowBlocks: Sendable {
  let count: Int
  private let rows: [Int]
  /// How many rows there are without padding.
  let rowCount: Int

  init(_ rows: [Int]) {
    rowCount = rows.count
    count = (rows.count + 3) / 4
    self.rows = rows + Array(repeating: rows.last ?? 0, count: 4 * count - rows.count)
  }

  /// The four rows of a block.
  subscript(block: Int) -> SIMD4<Int> {
    SIMD4(rows[4 * block], rows[4 * block + 1], rows[4 * block + 2], rows[4 * block + 3])
  }

  /// The row in a place, places counted through all blocks.
  func row(at place: Int) -> Int { rows[place] }

  /// The lanes of a block that are no padding.
  func lanes(of block: Int) -> Range<Int> { 0..<min(4, rowCount - 4 * block) }
}

extension SIMD4<Float> {
  /// Each lane becomes the larger of itself and the other's.
  @inline(__always)
  mutating func raise(to other: SIMD4<Float>) { replace(with: other, where: other .> self) }
}
