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

  private static let contradictions: [(layout: JSONValue, turned: JSONValue, pointer: String)] = [
    (
      ["type": "internvl", "tiles": [2, 1], "image_size": [1000, 500]],
      ["type": "internvl", "tiles": [1, 2], "image_size": [1000, 500]], "/layout/tiles"
    ),
    (
      ["type": "internvl", "tiles": [2, 6], "image_size": [900, 900]],
      ["type": "internvl", "tiles": [4, 3], "image_size": [900, 900]], "/layout/tiles"
    ),
    (
      ["type": "llava_next", "tiles": [2, 1], "image_size": [1000, 500]],
      ["type": "llava_next", "tiles": [2, 1], "image_size": [500, 1000]], "/layout/tiles"
    ),
    (
      ["type": "llava_onevision", "tiles": [3, 1], "image_size": [1000, 500]],
      ["type": "llava_onevision", "tiles": [1, 3], "image_size": [1000, 500]], "/layout/tiles"
    ),
    (
      ["type": "idefics3", "tiles": [2, 1], "image_size": [1000, 500]],
      ["type": "idefics3", "tiles": [2, 1], "image_size": [500, 1000]], "/layout/tiles"
    ),
    (
      ["type": "smolvlm", "tiles": [1, 3], "image_size": [500, 1000]],
      ["type": "smolvlm", "tiles": [3, 1], "image_size": [500, 1000]], "/layout/tiles"
    ),
    (
      ["type": "deepseek_vl2", "tiles": [3, 1], "image_size": [1000, 500]],
      ["type": "deepseek_vl2", "tiles": [1, 2], "image_size": [1000, 500]], "/layout/tiles"
    ),
    (
      ["type": "qwen2_vl", "grid_thw": [1, 34, 46], "image_size": [480, 640]],
      ["type": "qwen2_vl", "grid_thw": [1, 34, 46], "image_size": [640, 480]], "/layout/image_size"
    ),
    (
      [
        "type": "qwen3_vl", "grid_thw": [[1, 8, 8], [1, 20, 40]], "image_size": [[90, 90], [100, 1000]],
      ],
      [
        "type": "qwen3_vl", "grid_thw": [[1, 8, 8], [1, 20, 40]], "image_size": [[90, 90], [1000, 500]],
      ],
      "/layout/image_size"
    ),
  ]

  @Test(
    "tiles or a grid that the image's size contradicts are rejected, both named",
    arguments: contradictions.indices)
  func contradictory(_ index: Int) {
    let (layout, turned, pointer) = Self.contradictions[index]
    let problem = error(layout)
    #expect(problem?.pointer == pointer)
    #expect(problem?.message.contains("(width, height)") == true, "\(problem?.message ?? "accepted")")
    #expect(error(turned) == nil)
  }

  @Test(
    "tiles that some setting of the processor makes of the image are accepted",
    arguments: [
      // Nearer to 1 : 2 than to 2 : 1, by the difference of the quotients.
      ["type": "internvl", "tiles": [2, 1], "image_size": [550, 500]],
      ["type": "internvl", "tiles": [1, 1], "image_size": [2000, 500]],
      // Both resolutions hold all pixels of a small image.
      ["type": "llava_next", "tiles": [2, 1], "image_size": [100, 50]],
      ["type": "llava_next", "tiles": [2, 2], "image_size": [3000, 500]],
      ["type": "idefics3", "tiles": [4, 4], "image_size": [1000, 500]],
      ["type": "deepseek_vl2", "tiles": [1, 1], "image_size": [1000, 500]],
      ["type": "qwen2_vl", "grid_thw": [1, 2, 2], "image_size": [30, 80]],
      ["type": "qwen2_5_vl", "grid_thw": [3, 16, 28], "image_size": [854, 480]],
    ] as [JSONValue])
  func settings(_ layout: JSONValue) {
    #expect(error(layout)?.message == nil)
  }

  @Test(
    "every size makes a Qwen grid that is its own, whatever the limits",
    arguments: ["qwen2_vl", "qwen3_vl", "glm4v"])
  func ownGrids(_ family: String) throws {
    for (width, height) in [
      (640, 480), (333, 1000), (1500, 1499), (31, 900), (8000, 60), (57, 43), (2000, 120),
    ] {
      for limit in [16_384, 65_536, 1 << 20, 1 << 24] {
        let size: JSONValue = [.integer(width), .integer(height)]
        let made = try TokenLayout(
          [
            "type": .string(family), "image_size": size, "min_pixels": 4096, "max_pixels": .integer(limit),
          ], tokenCount: nil)
        let view = made.views[0]
        let grid: JSONValue = [1, .integer(2 * view.rows), .integer(2 * view.columns)]
        #expect(error(["type": .string(family), "grid_thw": grid, "image_size": size]) == nil)
      }
    }
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
