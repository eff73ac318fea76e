/// The paper's contextual region: blocks of the 8 x 8 grid laid over the original image.
///
/// On the wire it is `[x_min, y_min, x_max, y_max]`, inclusive and 0-based; inside, ranges are half-open.
public struct BlockRegion: Sendable, Hashable {
  /// Blocks per side (CROP section 3: "8 x 8").
  public static let side = 8

  public let columns: Range<Int>
  public let rows: Range<Int>

  /// - Precondition: both ranges are non-empty and lie in 0..<8.
  public init(columns: Range<Int>, rows: Range<Int>) {
    precondition(!columns.isEmpty && columns.lowerBound >= 0 && columns.upperBound <= Self.side)
    precondition(!rows.isEmpty && rows.lowerBound >= 0 && rows.upperBound <= Self.side)
    self.columns = columns
    self.rows = rows
  }

  /// From inclusive coordinates, or nil when they are not 0 <= min <= max <= 7.
  public init?(inclusive blocks: [Int]) {
    guard blocks.count == 4, blocks[0] >= 0, blocks[1] >= 0, blocks[0] <= blocks[2], blocks[1] <= blocks[3],
      blocks[2] < Self.side, blocks[3] < Self.side
    else { return nil }
    self.init(columns: blocks[0]..<(blocks[2] + 1), rows: blocks[1]..<(blocks[3] + 1))
  }

  public var inclusive: [Int] {
    [columns.lowerBound, rows.lowerBound, columns.upperBound - 1, rows.upperBound - 1]
  }

  public var blockCount: Int { columns.count * rows.count }

  public var isWholeImage: Bool { blockCount == Self.side * Self.side }

  public var box: Box {
    let side = Double(Self.side)
    return Box(
      x0: Double(columns.lowerBound) / side, y0: Double(rows.lowerBound) / side,
      x1: Double(columns.upperBound) / side, y1: Double(rows.upperBound) / side)
  }
}
