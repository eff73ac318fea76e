/// How the tokens of a layout make up the 8 x 8 blocks: what follows from the layout alone, found once.
///
/// A block is the mean over all cells, of all views, weighted by the area each shares with the block. A block that no
/// token covers (cut away by a centre crop) is 0.
public struct BlockResampler: Sendable {
  private let views: [View]
  /// The area, in blocks, that cells cover of each block [64].
  private let weights: [Double]
  public let tokenCount: Int

  /// A view's cells along both axes.
  private struct View: Sendable {
    public let view: TokenView
    public let columns: Overlaps
    public let rows: Overlaps
  }

  /// For each cell of an axis the blocks it overlaps, and by how many block widths.
  private struct Overlaps: Sendable {
    struct Entry {
      let cell: Int
      let block: Int
      let width: Double
    }

    private(set) var all: [Entry] = []
    /// Cell i has the entries `starts[i]..<starts[i + 1]`.
    private var starts = [0]

    init(of count: Int, from start: Double, to end: Double) {
      let axis = AxisCells(start: 0, end: 1, count: BlockRegion.side)
      for cell in 0..<count {
        let low = max(start + (end - start) * (Double(cell) / Double(count)), 0)
        let high = min(start + (end - start) * (Double(cell + 1) / Double(count)), 1)
        if low < high {
          for (block, share) in axis.shares(of: low, to: high) {
            all.append(Entry(cell: cell, block: block, width: share))
          }
        }
        starts.append(all.count)
      }
    }

    func entries(of cell: Int) -> ArraySlice<Entry> { all[starts[cell]..<starts[cell + 1]] }

    /// Adds to each block what the cells of one row share with it.
    @inline(__always)
    func add(
      _ firstToken: Int, _ value: (_ token: Int) -> Double, to sums: UnsafeMutableBufferPointer<Double>
    ) {
      for entry in all { sums[entry.block] += value(firstToken &+ entry.cell) * entry.width }
    }
  }

  public init(_ layout: TokenLayout) {
    tokenCount = layout.tokenCount
    views = layout.views.compactMap { view in
      guard view.rows > 0, view.columns > 0,
        view.box.width * view.box.height / Double(view.rows * view.columns) > 0
      else { return nil }
      return View(
        view: view, columns: Overlaps(of: view.columns, from: view.box.x0, to: view.box.x1),
        rows: Overlaps(of: view.rows, from: view.box.y0, to: view.box.y1))
    }
    weights = Self.sums(over: views) { _ in 1 }
  }

  /// - Parameter scores: one finite number per token, [N].
  /// - Precondition: as many scores as the layout has tokens.
  /// - Returns: one finite number per block [64], row-major.
  /// - Complexity: O(N + 64).
  public func blocks(of scores: [Double]) -> [Double] {
    precondition(scores.count == tokenCount)
    var sums = scores.withUnsafeBufferPointer { scores in
      Self.sums(over: views) { scores[$0] }
    }
    for block in sums.indices {
      let mean = sums[block] / weights[block]
      sums[block] = weights[block] > 0 && mean.isFinite ? mean : 0
    }
    return sums
  }

  /// Of each block the sum of what the cells say, times the area they share with it.
  ///
  /// - Parameter value: of a token.
  @inline(__always)
  private static func sums(over views: [View], value: (_ token: Int) -> Double) -> [Double] {
    let side = BlockRegion.side
    var sums = [Double](repeating: 0, count: side * side)
    withUnsafeTemporaryAllocation(of: Double.self, capacity: side) { rowSums in
      for view in views {
        for row in 0..<view.view.rows {
          let vertical = view.rows.entries(of: row)
          guard !vertical.isEmpty else { continue }
          rowSums.initialize(repeating: 0)
          view.columns.add(view.view.token(row: row, column: 0), value, to: rowSums)
          for entry in vertical {
            let first = entry.block * side
            for column in 0..<side { sums[first + column] += rowSums[column] * entry.width }
          }
        }
      }
    }
    return sums
  }
}
