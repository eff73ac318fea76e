/// Rows in blocks of four, so that a search compares four candidates in one go.
///
/// Every block is full: the last one repeats its last row, and whoever reads values of the padding has marked it.
public struct RowBlocks: Sendable {
  public let count: Int
  private let padded: [Int]
  /// The rows without padding.
  public let rows: [Int]

  public init(_ rows: [Int]) {
    self.rows = rows
    count = (rows.count + 3) / 4
    padded = rows + Array(repeating: rows.last ?? 0, count: 4 * count - rows.count)
  }

  public var rowCount: Int { rows.count }

  /// The four rows of a block.
  public subscript(block: Int) -> SIMD4<Int> {
    SIMD4(padded[4 * block], padded[4 * block + 1], padded[4 * block + 2], padded[4 * block + 3])
  }

  /// The row in a slot, slots counted through all blocks.
  public func row(at slot: Int) -> Int { rows[slot] }

  /// The lanes of a block that are no padding.
  public func lanes(of block: Int) -> Range<Int> { 0..<min(4, rowCount - 4 * block) }
}

extension SIMD4<Float> {
  /// The largest lane.
  @inline(__always)
  public var largest: Float {
    let two = lowHalf.replacing(with: highHalf, where: highHalf .> lowHalf)
    return two[1] > two[0] ? two[1] : two[0]
  }

  /// Each lane becomes the larger of itself and the other's.
  @inline(__always)
  public mutating func raise(to other: SIMD4<Float>) { replace(with: other, where: other .> self) }
}
