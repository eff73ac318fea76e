import PruningNumerics
import VisionLayouts

/// Exact sums over rectangles of the 8 x 8 map.
///
/// Values are rounded once to whole numbers (2^40 for the largest magnitude), so that every sum is exact whatever
/// its order: two rectangles tie exactly when their blocks say so, and an integral image equals a plain sum.
struct BlockMass: Sendable {
  /// 64 whole numbers, row-major.
  let values: [Int]
  /// What 1 in ``values`` stands for.
  let unit: Double
  /// 9 x 9: the sum of all blocks above and left of a grid corner.
  private let corners: [Int]

  /// A map of smaller magnitude counts as zero: its unit would no longer be a normal number.
  static let smallestMagnitude = 1e-290

  private static let resolution = Double(1 << 40)

  /// - Precondition: 64 finite numbers.
  init(_ map: [Double]) {
    let side = BlockRegion.side
    precondition(map.count == side * side)
    let largest = map.reduce(0) { max($0, abs($1)) }
    unit = largest / Self.resolution
    values = map.map {
      largest >= Self.smallestMagnitude ? Self.nearestInteger($0 / largest * Self.resolution) : 0
    }
    var corners = Array(uniform: 0, count: (side + 1) * (side + 1))
    for row in 0..<side {
      var rowSum = 0
      for column in 0..<side {
        rowSum += values[row * side + column]
        corners[(row + 1) * (side + 1) + column + 1] = corners[row * (side + 1) + column + 1] + rowSum
      }
    }
    self.corners = corners
  }

  /// The nearest whole number, ties to even, of one below 2^51 in magnitude.
  ///
  /// The sum with 3 x 2^51 has no bits below the point, so the addition rounds; without SSE 4.1 `rounded` is a call.
  static func nearestInteger(_ value: Double) -> Int {
    let shift = 0x1.8p52
    return Int(bitPattern: UInt((value + shift).bitPattern)) &- Int(bitPattern: UInt(shift.bitPattern))
  }

  var total: Int { corners[corners.count - 1] }

  /// The sum of the blocks above the edge `row` and left of the edge `column`, each 0...8.
  func sum(above row: Int, left column: Int) -> Int { corners[row * (BlockRegion.side + 1) + column] }

  func sum(_ region: BlockRegion) -> Int {
    let width = BlockRegion.side + 1
    let top = region.rows.lowerBound * width
    let bottom = region.rows.upperBound * width
    return corners[bottom + region.columns.upperBound] - corners[top + region.columns.upperBound]
      - corners[bottom + region.columns.lowerBound] + corners[top + region.columns.lowerBound]
  }
}

extension BlockRegion {
  /// All 1,296 rectangles: by area, then top edge, then left edge, then height.
  ///
  /// A search that keeps the first strict maximum therefore breaks ties to the smaller area, then top-left.
  static let all: [BlockRegion] = {
    var regions: [BlockRegion] = []
    for top in 0..<side {
      for bottom in (top + 1)...side {
        for left in 0..<side {
          for right in (left + 1)...side {
            regions.append(BlockRegion(columns: left..<right, rows: top..<bottom))
          }
        }
      }
    }
    return regions.sorted { $0.searchOrder < $1.searchOrder }
  }()

  /// Where the rectangle stands in ``all``: area, top edge, left edge, height, each below 65.
  var searchOrder: Int {
    ((blockCount * 65 + rows.lowerBound) * 65 + columns.lowerBound) * 65 + rows.count
  }

  func contains(block index: Int) -> Bool {
    rows.contains(index / Self.side) && columns.contains(index % Self.side)
  }
}
