import JSON
import Testing

@testable import PruningNumerics
@testable import VisionLayouts

private func error(_ json: JSONValue, tokenCount: Int? = nil) -> PruningError? {
  do {
    _ = try TokenLayout(json, tokenCount: tokenCount)
    return nil
  } catch { return error }
}

@Suite("Token layouts")
struct TokenLayoutTests {
  @Test("a grid layout is one view over the whole image")
  func gridLayout() throws {
    let json: JSONValue = ["type": "grid", "rows": 3, "columns": 5, "image_size": [640, 480]]
    let layout = try TokenLayout(json, tokenCount: 15)
    #expect(layout.type == "grid")
    #expect(layout.tokenCount == 15)
    #expect(layout.views == [TokenView(firstToken: 0, rows: 3, columns: 5)])
    #expect(layout.imageSize == ImageSize(width: 640, height: 480))
  }

  @Test(
    "LLaVA pads, crops or stretches",
    arguments: [
      ("pad", [640, 480], Box(x0: 0, y0: -80.0 / 480, x1: 1, y1: 560.0 / 480)),
      ("pad", [480, 640], Box(x0: -80.0 / 480, y0: 0, x1: 560.0 / 480, y1: 1)),
      // 481 - 480 = 1: half a pixel is rounded down, so the spare pixel is at the bottom.
      ("pad", [481, 480], Box(x0: 0, y0: 0, x1: 1, y1: 481.0 / 480)),
      ("crop", [640, 480], Box(x0: 80.0 / 640, y0: 0, x1: 560.0 / 640, y1: 1)),
      ("crop", [480, 640], Box(x0: 0, y0: 80.0 / 640, x1: 1, y1: 560.0 / 640)),
      ("stretch", [640, 480], Box.unit),
    ] as [(String, [Int], Box)])
  func llavaViews(padding: String, size: [Int], expected: Box) throws {
    let json: JSONValue = [
      "type": "llava", "padding": .string(padding), "image_size": .array(size.map { .integer($0) }),
    ]
    let layout = try TokenLayout(json, tokenCount: 576)
    #expect(layout.views == [TokenView(firstToken: 0, rows: 24, columns: 24, box: expected)])
  }

  @Test("LLaVA's defaults are 24 x 24 tokens of a padded square")
  func llavaDefaults() throws {
    let plain = try TokenLayout(["type": "llava"], tokenCount: nil)
    #expect(plain.tokenCount == 576)
    #expect(plain.views[0].box == .unit)
    let sized = try TokenLayout(["type": "llava", "image_size": [100, 200]], tokenCount: nil)
    #expect(sized.views[0].box == Box(x0: -0.5, y0: 0, x1: 1.5, y1: 1))
  }

  @Test(
    "a layout that is wrong says where",
    arguments: [
      ([], "/layout", "not an array"),
      (["rows": 3], "/layout/type", "grid, llava"),
      (["type": 3], "/layout/type", "must be one of grid, llava"),
      (["type": "grids"], "/layout/type", "did you mean 'grid'?"),
      (["type": "hexagons"], "/layout/type", "must be one of grid, llava"),
      (["type": "grid", "columns": 3], "/layout/rows", "is missing"),
      (["type": "grid", "rows": 0, "columns": 3], "/layout/rows", "1...1048576"),
      (["type": "grid", "rows": -1, "columns": 3], "/layout/rows", "not -1"),
      (["type": "grid", "rows": 2.5, "columns": 3], "/layout/rows", "whole number"),
      (["type": "grid", "rows": 2, "columns": "3"], "/layout/columns", "whole number"),
      (["type": "grid", "rows": 1_048_576, "columns": 1_048_576], "/layout/rows", "more than 1048576"),
      (["type": "grid", "rows": 9_223_372_036_854_775_807, "columns": 2], "/layout/rows", "must lie in"),
      (["type": "grid", "rows": 2, "colums": 3], "/layout/colums", "did you mean 'columns'?"),
      (
        ["type": "grid", "rows": 2, "columns": 3, "image_size": [0, 4]], "/layout/image_size",
        "[width, height]"
      ),
      (["type": "grid", "rows": 2, "columns": 3, "image_size": 4], "/layout/image_size", "[width, height]"),
      (["type": "llava", "padding": "pads"], "/layout/padding", "did you mean 'pad'?"),
      (["type": "llava", "a/b~c": 1], "/layout/a~1b~0c", "has no member"),
    ] as [(JSONValue, String, String)])
  func wrongLayouts(json: JSONValue, pointer: String, part: String) {
    let error = error(json)
    #expect(error?.pointer == pointer)
    #expect(error?.message.contains(part) == true, "\(error?.message ?? "no error")")
  }

  @Test("a layout that disagrees with the tensors names both numbers")
  func layoutDisagrees() {
    let error = error(["type": "grid", "rows": 24, "columns": 24], tokenCount: 577)
    #expect(error?.pointer == "/layout")
    #expect(error?.message.contains("576") == true)
    #expect(error?.message.contains("577") == true)
  }

  @Test("only square token counts imply a grid")
  func inferredLayout() {
    #expect(TokenLayout.inferred(tokenCount: 576)?.views == [TokenView(firstToken: 0, rows: 24, columns: 24)])
    #expect(TokenLayout.inferred(tokenCount: 1)?.tokenCount == 1)
    for count in [-4, 0, 2, 577, Int.max] { #expect(TokenLayout.inferred(tokenCount: count) == nil) }
  }
}
