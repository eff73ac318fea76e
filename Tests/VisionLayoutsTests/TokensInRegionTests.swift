import JSON
import Testing

@testable import Localization
@testable import VisionLayouts

private func grid(_ rows: Int, _ columns: Int) -> TokenLayout {
  let view = TokenView(firstToken: 0, rows: rows, columns: columns)
  return TokenLayout(type: "grid", tokenCount: rows * columns, views: [view])
}

@Suite("Tokens and blocks of a region")
struct TokensInRegionTests {
  @Test("each of the 1,296 block regions selects exactly its 3 x 3-token blocks on 24 x 24 tokens")
  func exactBlocks() {
    let layout = grid(24, 24)
    for region in BlockRegion.all {
      let expected = (0..<576).filter {
        region.rows.contains($0 / 24 / 3) && region.columns.contains($0 % 24 / 3)
      }
      #expect(layout.tokens(in: [region.box]) == expected, "\(region.inclusive)")
      #expect(BlockRegion(overlapping: region.box) == region)
    }
  }

  @Test("a block region selects every token it overlaps where blocks and cells do not align")
  func unalignedBlocks() {
    // 8 blocks over 5 cells: block 2 is 0.25...0.375, which overlaps cell 1 (0.2...0.4) only.
    let one = BlockRegion(columns: 2..<3, rows: 0..<1)
    #expect(grid(1, 5).tokens(in: [one.box]) == [1])
    let two = BlockRegion(columns: 1..<3, rows: 0..<1)
    #expect(grid(1, 5).tokens(in: [two.box]) == [0, 1])
  }

  @Test("the minimum overlap is a share of the cell's area")
  func minimumOverlap() {
    let box = Box(x0: 0, y0: 0, x1: 0.75, y1: 0.75)
    #expect(grid(2, 2).tokens(in: [box]) == [0, 1, 2, 3])
    #expect(grid(2, 2).tokens(in: [box], minimumOverlap: 0.3) == [0, 1, 2])
    #expect(grid(2, 2).tokens(in: [box], minimumOverlap: 0.5) == [0])
  }

  @Test("a box too small for the minimum overlap has its nearest token")
  func nearestToken() {
    let box = Box(x0: 0.9, y0: 0.1, x1: 0.91, y1: 0.11)
    #expect(grid(4, 4).tokens(in: [box], minimumOverlap: 0.5) == [3])
    // The centre crop of a wide image does not show its left edge.
    let view = TokenView(firstToken: 0, rows: 4, columns: 4, box: Box(x0: 0.25, y0: 0, x1: 0.75, y1: 1))
    let cropped = TokenLayout(type: "llava", tokenCount: 16, views: [view])
    #expect(cropped.tokens(in: [Box(x0: 0, y0: 0.5, x1: 0.1, y1: 0.74)]) == [8])
  }

  @Test("boxes outside the image or without area select nothing")
  func noTokens() {
    let nowhere = [
      Box(x0: 1, y0: 0, x1: 2, y1: 1), Box(x0: 0.5, y0: 0, x1: 0.5, y1: 1),
      Box(x0: 0.6, y0: 0, x1: 0.4, y1: 1),
      Box(x0: .nan, y0: 0, x1: 1, y1: 1),
    ]
    #expect(grid(4, 4).tokens(in: nowhere).isEmpty)
    for box in nowhere { #expect(BlockRegion(overlapping: box) == nil) }
  }

  @Test("tokens are ascending and unique over overlapping boxes and all views")
  func severalViews() {
    let views = [
      TokenView(firstToken: 0, rows: 2, columns: 2),
      // Two tiles side by side as one raster with a newline token after each row.
      TokenView(firstToken: 4, rows: 2, columns: 4, rowStride: 5),
    ]
    let layout = TokenLayout(type: "tiles", tokenCount: 14, views: views)
    let left = Box(x0: 0, y0: 0, x1: 0.5, y1: 0.5)
    #expect(layout.tokens(in: [left, left]) == [0, 4, 5])
    #expect(layout.tokens(in: [.unit]) == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12])
  }

  @Test("tokens wholly in the padding of a wide or tall image belong to no region")
  func paddingIsOutside() throws {
    let wide = try TokenLayout(["type": "llava", "image_size": [800, 400]], tokenCount: nil)
    // The image fills rows 6..<18 of 24.
    #expect(wide.tokens(in: [.unit]) == Array((6 * 24)..<(18 * 24)))
    let tall = try TokenLayout(["type": "llava", "image_size": [400, 800]], tokenCount: nil)
    #expect(tall.tokens(in: [.unit]) == (0..<576).filter { (6..<18).contains($0 % 24) })
    let topLeft = BlockRegion(columns: 0..<2, rows: 0..<2)
    #expect(wide.tokens(in: [topLeft.box]) == [6, 7, 8].flatMap { row in (0..<6).map { row * 24 + $0 } })
  }

  @Test("a box takes all blocks it overlaps")
  func boxToBlocks() {
    let box = Box(x0: 0.24, y0: 0.5, x1: 0.26, y1: 0.51)
    #expect(BlockRegion(overlapping: box)?.inclusive == [1, 4, 2, 4])
    let beyond = Box(x0: -1, y0: 0.9, x1: 0.1, y1: 3)
    #expect(BlockRegion(overlapping: beyond)?.inclusive == [0, 7, 0, 7])
    let tiny = Box(x0: 0.3, y0: 0.3, x1: 0.3 + 1e-15, y1: 0.3 + 1e-15)
    #expect(BlockRegion(overlapping: tiny)?.inclusive == [2, 2, 2, 2])
  }
}
