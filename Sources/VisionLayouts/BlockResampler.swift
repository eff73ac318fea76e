import PruningNumerics

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

  /// Which cells of an axis overlap which blocks, and by how many block widths.
  ///
  /// Both ascend, so the cells of a block follow on one another.
  private struct Overlaps: Sendable {
    struct Entry {
      let cell: Int
      let block: Int
      let width: Double
    }

    /// Those of cell i are `all[cells[i]..<cells[i + 1]]`, those of block i `all[blocks[i]..<blocks[i + 1]]`.
    private var all: [Entry] = []
    private var cells = [0]
    private var blocks: [Int] = []

    init(of count: Int, from start: Double, to end: Double) {
      let axis = AxisCells(start: 0, end: 1, count: BlockRegion.side)
      // Few cells lie in more than two blocks.
      all.reserveCapacity(count + BlockRegion.side)
      cells.reserveCapacity(count + 1)
      for cell in 0..<count {
        let low = max(start + (end - start) * (Double(cell) / Double(count)), 0)
        let high = min(start + (end - start) * (Double(cell + 1) / Double(count)), 1)
        if low < high {
          axis.forEachShare(of: low, to: high) { block, share in
            all.append(Entry(cell: cell, block: block, width: share))
          }
        }
        cells.append(all.count)
      }
      blocks = (0...BlockRegion.side).map { block in all.firstIndex { $0.block >= block } ?? all.count }
      precondition(zip(all, all.dropFirst()).allSatisfy { $0.block <= $1.block })
    }

    /// The blocks that a cell overlaps, one after the other.
    @inline(__always)
    func forEach(of cell: Int, _ body: (_ block: Int, _ width: Double) -> Void) {
      for slot in cells[cell]..<cells[cell + 1] { body(all[slot].block, all[slot].width) }
    }

    /// For each block what the cells of four rows share with it: those of the first row at `sums`, of the second behind
    /// its blocks.
    ///
    /// Sums stay in registers until their block ends; the cells of a row are added in their order.
    @inline(__always)
    func sum(
      _ firstTokens: SIMD4<Int>, _ value: (_ token: Int) -> Double,
      to sums: UnsafeMutableBufferPointer<Double>
    ) {
      all.withUnsafeBufferPointer { all in
        blocks.withUnsafeBufferPointer { blocks in
          var slot = 0
          for block in 0..<BlockRegion.side {
            var sum = SIMD4<Double>.zero
            let end = blocks[block &+ 1]
            while slot < end {
              let cell = all[slot].cell
              sum +=
                all[slot].width
                * SIMD4(
                  value(firstTokens[0] &+ cell), value(firstTokens[1] &+ cell),
                  value(firstTokens[2] &+ cell), value(firstTokens[3] &+ cell))
              slot &+= 1
            }
            for lane in 0..<4 { sums[lane &* BlockRegion.side &+ block] = sum[lane] }
          }
        }
      }
    }
  }

  public init(_ layout: TokenLayout) {
    tokenCount = layout.tokenCount
    views = layout.views.compactMap { view in
      guard view.rows > 0, view.columns > 0,
        view.box.width * view.box.height / Double(view.rows * view.columns) > 0
      else { return nil }
      let columns = Overlaps(of: view.columns, from: view.box.x0, to: view.box.x1)
      let isSquare = view.rows == view.columns && view.box.y0 == view.box.x0 && view.box.y1 == view.box.x1
      return View(
        view: view, columns: columns,
        rows: isSquare ? columns : Overlaps(of: view.rows, from: view.box.y0, to: view.box.y1))
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
    sums.withUnsafeMutableBufferPointer { sums in
      weights.withUnsafeBufferPointer { weights in
        for block in sums.indices {
          let mean = sums[block] / weights[block]
          sums[block] = weights[block] > 0 && mean.isFinite ? mean : 0
        }
      }
    }
    return sums
  }

  /// Of each block the sum of what the cells say, times the area they share with it.
  ///
  /// - Parameter value: of a token.
  @inline(__always)
  private static func sums(over views: [View], value: (_ token: Int) -> Double) -> [Double] {
    let side = BlockRegion.side
    var sums = Array(uniform: 0.0, count: side * side)
    sums.withUnsafeMutableBufferPointer { sums in
      withUnsafeTemporaryAllocation(of: Double.self, capacity: 4 * side) { rowSums in
        rowSums.initialize(repeating: 0)
        for index in views.indices {
          let view = views[index].view
          for first in Swift.stride(from: 0, to: view.rows, by: 4) {
            // Behind the last row it is read again, and not counted.
            func token(_ lane: Int) -> Int { view.token(row: min(first + lane, view.rows - 1), column: 0) }
            views[index].columns.sum(SIMD4(token(0), token(1), token(2), token(3)), value, to: rowSums)
            for row in first..<min(first + 4, view.rows) {
              let start = (row - first) * side
              views[index].rows.forEach(of: row) { block, height in
                for column in 0..<side {
                  sums[block &* side &+ column] += rowSums[start &+ column] * height
                }
              }
            }
          }
        }
      }
    }
    return sums
  }
}
