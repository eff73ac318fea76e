import PruningNumerics

// Regions in the original image -> tokens of a layout and blocks of the 8 x 8 grid.

/// Two edges closer than this share of a cell are the same edge.
///
/// 2/8 of an image and 6/24 of it are computed by different divisions; without the tolerance a rounding error
/// of one part in 10^16 would add a row of tokens that the region only touches.
private let edgeTolerance = 1e-9

extension TokenLayout {
  /// The tokens whose cell overlaps one of the boxes, in every view, ascending and unique.
  ///
  /// Boxes are clipped to the image first, so padding never belongs to a region.
  /// - Parameters:
  ///   - minimumOverlap: a cell counts when more than this share of its area lies in the box, 0..<1.
  ///   - images: for each box the image it is in; all are in the first where it is nil.
  /// - Returns: for each box that covers some of the image at least one token: where no cell overlaps enough,
  ///   the cell nearest to the box's centre (ties to the lower index).
  /// - Complexity: O(N + boxes x overlapped cells).
  public func tokens(in boxes: [Box], minimumOverlap: Double = 0, images: [Int]? = nil) -> [Int] {
    // A bit for each token.
    var inside = Array(uniform: UInt64(0), count: (tokenCount + 63) / 64)
    func add(_ token: Int) { inside[token >> 6] |= 1 << UInt64(token & 63) }
    for (index, box) in boxes.enumerated() {
      guard let box = box.clippedToImage else { continue }
      let image = images?[index] ?? 0
      var found = false
      for view in views where view.image == image && view.rows > 0 && view.columns > 0 {
        let rows = AxisCells(start: view.box.y0, end: view.box.y1, count: view.rows)
          .shares(of: box.y0, to: box.y1)
        let columns = AxisCells(start: view.box.x0, end: view.box.x1, count: view.columns)
          .shares(of: box.x0, to: box.x1)
        for (row, height) in rows {
          for (column, width) in columns where height * width > minimumOverlap {
            add(view.token(row: row, column: column))
            found = true
          }
        }
      }
      if !found, let nearest = nearestToken(to: box, image: image) { add(nearest) }
    }
    return Ranking.indices(ofBits: inside)
  }

  private func nearestToken(to box: Box, image: Int) -> Int? {
    let x = (box.x0 + box.x1) / 2
    let y = (box.y0 + box.y1) / 2
    var best: (token: Int, distance: Double)?
    for view in views where view.image == image && view.rows > 0 && view.columns > 0 {
      let vertical = AxisCells(start: view.box.y0, end: view.box.y1, count: view.rows)
      let horizontal = AxisCells(start: view.box.x0, end: view.box.x1, count: view.columns)
      guard let row = vertical.nearestInImage(to: y), let column = horizontal.nearestInImage(to: x) else {
        continue
      }
      let dx = horizontal.distance(from: x, toCell: column)
      let dy = vertical.distance(from: y, toCell: row)
      let token = view.token(row: row, column: column)
      let distance = dx * dx + dy * dy
      if let found = best, (found.distance, found.token) <= (distance, token) { continue }
      best = (token, distance)
    }
    return best?.token
  }
}

extension BlockRegion {
  /// All blocks that the box overlaps, or nil when it covers nothing of the image.
  ///
  /// A box thinner than the tolerance of one part in 10^9 of a block still has the block its centre lies in.
  public init?(overlapping box: Box) {
    guard let box = box.clippedToImage else { return nil }
    let axis = AxisCells(start: 0, end: 1, count: Self.side)
    self.init(
      columns: axis.range(overlapping: box.x0, to: box.x1), rows: axis.range(overlapping: box.y0, to: box.y1))
  }
}

extension Box {
  /// The part inside the unit square, or nil when it is empty or not a number.
  public var clippedToImage: Box? {
    let clipped = Box(x0: max(x0, 0), y0: max(y0, 0), x1: min(x1, 1), y1: min(y1, 1))
    return clipped.x0 < clipped.x1 && clipped.y0 < clipped.y1 ? clipped : nil
  }
}

/// Equal cells along one axis of the image.
struct AxisCells {
  public let start: Double
  public let end: Double
  public let count: Int

  private var width: Double { (end - start) / Double(count) }

  /// The cells that [low, high] overlaps, each with the share of its width that is covered.
  ///
  /// - Complexity: O(overlapped cells).
  public func shares(of low: Double, to high: Double) -> [(cell: Int, share: Double)] {
    var result: [(cell: Int, share: Double)] = []
    result.reserveCapacity(count)
    forEachShare(of: low, to: high) { result.append(($0, $1)) }
    return result
  }

  /// The same, one after the other.
  @inline(__always)
  func forEachShare(of low: Double, to high: Double, _ body: (_ cell: Int, _ share: Double) -> Void) {
    guard width > 0 else { return }
    let first = bounded(((low - start) / width).rounded(.down))
    let last = bounded(((high - start) / width).rounded(.down))
    for cell in first...last {
      let left = start + (end - start) * (Double(cell) / Double(count))
      let right = start + (end - start) * (Double(cell + 1) / Double(count))
      let share = (min(right, high) - max(left, low)) / width
      if share > edgeTolerance { body(cell, min(share, 1)) }
    }
  }

  /// The half-open range of cells that [low, high] overlaps; never empty.
  public func range(overlapping low: Double, to high: Double) -> Range<Int> {
    let cells = shares(of: low, to: high)
    if let first = cells.first?.cell, let last = cells.last?.cell { return first..<(last + 1) }
    let centre = bounded((((low + high) / 2 - start) / width).rounded(.down))
    return centre..<(centre + 1)
  }

  /// The cell that holds `point`, or the nearest one; among those that show some of the image (0...1).
  func nearestInImage(to point: Double) -> Int? {
    guard width > 0 else { return nil }
    let first = ((max(start, 0) - start) / width + edgeTolerance).rounded(.down)
    let last = ((min(end, 1) - start) / width - edgeTolerance).rounded(.up) - 1
    guard first <= last else { return nil }
    let cell = ((point - start) / width).rounded(.down)
    return bounded(min(max(cell, first), last))
  }

  /// From `point` to the nearest edge of the cell; 0 inside.
  public func distance(from point: Double, toCell cell: Int) -> Double {
    let left = start + (end - start) * (Double(cell) / Double(count))
    let right = start + (end - start) * (Double(cell + 1) / Double(count))
    return max(left - point, point - right, 0)
  }

  /// A position in cells as an index in 0..<count, whatever the position is.
  private func bounded(_ position: Double) -> Int {
    position >= 0 ? Int(min(position, Double(count - 1))) : 0
  }
}
