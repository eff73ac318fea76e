import JSON
import Testing

@testable import Localization
@testable import PruningNumerics
@testable import VisionLayouts

private let layout = TokenLayout(
  type: "grid", tokenCount: 50, views: [TokenView(firstToken: 0, rows: 5, columns: 10)],
  imageSize: ImageSize(width: 640, height: 480))

private func error(_ json: JSONValue, _ layout: TokenLayout? = layout) -> PruningError? {
  do {
    _ = try RegionSpecification(RegionMember(json), layout: layout)
    return nil
  } catch { return error }
}

@Suite("Regions given by the caller")
struct RegionSpecificationTests {
  @Test(
    "every box format means the same quarter of the image",
    arguments: [
      ([0.25, 0.5, 0.75, 1.0], "normalized"),
      ([0.5, 0.75, 0.5, 0.5], "cxcywh"),
      ([160, 240, 480, 480], "pixels"),
      ([160, 240, 320, 240], "pixels_xywh"),
      ([250, 500, 750, 1000], "qwen2_vl"),
      // 5 x 10 tokens of 28 pixels: 280 x 140.
      ([70, 70, 210, 140], "qwen2_5_vl"),
      ([250, 500, 750, 1000], "qwen3_vl"),
      ([512, 256, 1024, 768], "paligemma"),
      ([249.5, 499.5, 749.5, 999.5], "florence2"),
      ([250, 500, 750, 1000], "internvl"),
      ([500, 250, 1000, 750], "gemini"),
      ([249.75, 499.5, 749.25, 999], "deepseek_vl2"),
      ([250, 500, 750, 1000], "glm4v"),
      ([250, 500, 750, 1000], "cogvlm"),
      ([250, 500, 750, 1000], "minicpm_v"),
      ([2, 4, 5, 7], "blocks"),
    ] as [([Double], String)])
  func boxFormats(numbers: [Double], format: String) throws {
    let json: JSONValue = ["box": .array(numbers.map { .number($0) }), "box_format": .string(format)]
    let given = try RegionSpecification(RegionMember(json), layout: layout)
    #expect(given.boxes == [Box(x0: 0.25, y0: 0.5, x1: 0.75, y1: 1)])
    #expect(given.source == .boxes)
  }

  @Test("the table of formats above names every format")
  func formatsAreComplete() { #expect(BoxFormat.allCases.count == 16) }

  @Test("blocks, the default format, a stated resized size and lists")
  func otherRegions() throws {
    let quarter = Box(x0: 0.25, y0: 0.5, x1: 0.75, y1: 1)
    #expect(try RegionSpecification(RegionMember(["blocks": [2, 4, 5, 7]]), layout: nil).boxes == [quarter])
    #expect(
      try RegionSpecification(RegionMember(["box": [0.25, 0.5, 0.75, 1]]), layout: nil).boxes == [quarter])
    let resized: JSONValue = [
      "box": [70, 70, 210, 140], "box_format": "qwen2_5_vl", "resized_size": [280, 140],
    ]
    #expect(try RegionSpecification(RegionMember(resized), layout: nil).boxes == [quarter])
    let list: JSONValue = [["blocks": [0, 0, 0, 0]], ["text": "[2,4,5,7] [7,7,7,7]"]]
    let given = try RegionSpecification(RegionMember(list), layout: nil)
    #expect(
      given.boxes == [
        Box(x0: 0, y0: 0, x1: 0.125, y1: 0.125), quarter, Box(x0: 0.875, y0: 0.875, x1: 1, y1: 1),
      ])
    #expect(given.source == .boxes)
    #expect(try RegionSpecification(RegionMember(["text": "[2,4,5,7]"]), layout: nil).source == .text)
  }

  @Test("a slight overshoot is clamped")
  func overshoot() throws {
    let json: JSONValue = ["box": [-3, 500, 1004, 1050], "box_format": "qwen3_vl"]
    #expect(
      try RegionSpecification(RegionMember(json), layout: nil).boxes == [Box(x0: 0, y0: 0.5, x1: 1, y1: 1)])
  }

  @Test(
    "a region that is wrong says where and what",
    arguments: [
      (3, "/region", "not 3"),
      ([], "/region", "empty list"),
      ([3], "/region/0", "must be an object"),
      ([:], "/region", "it has none"),
      (["box": [0, 0, 1, 1], "text": "x"], "/region", "box and text"),
      (["bx": [0, 0, 1, 1]], "/region/bx", "did you mean 'box'?"),
      (["blocks": [0, 0, 1, 1], "box_format": "pixels"], "/region/box_format", "blocks"),
      (["blocks": [0, 0, 1, 1], "resized_size": [28, 28]], "/region/resized_size", "blocks"),
      (["box": [0, 0, 1]], "/region/box", "4 numbers"),
      (["box": "0,0,1,1"], "/region/box", "4 numbers"),
      (["box": [0, 0, 1, "1"]], "/region/box", "a string"),
      (["box": [0, 0, 1, .number(.nan)]], "/region/box", "finite"),
      (["box": [0, 0, .number(.infinity), 1]], "/region/box", "finite"),
      (["box": [0.5, 0, 0.2, 1]], "/region/box", "reversed or empty"),
      (["box": [0.5, 0, 0.5, 1]], "/region/box", "reversed or empty"),
      (["box": [1e308, 0, 1.7e308, 1]], "/region/box", "outside the image"),
      (["box": [10, 20, 300, 200]], "/region/box", "is box_format right?"),
      (["box": [0.8, 0.2, 0.4, 0.6]], "/region/box", "send [0.4, 0.2, 0.8, 0.6]"),
      (
        ["box": [0.46, 0.51, 0.61, 0.75], "box_format": "qwen3_vl"], "/region/box",
        "did you mean box_format 'normalized'"
      ),
      (
        ["box": [0, 0, 1, 1], "box_format": "pixels"], "/region/box", "did you mean box_format 'normalized'"
      ),
      (
        ["box": [0, 0.5, 2, 2], "box_format": "florence2"], "/region/box",
        "did you mean box_format 'normalized'"
      ),
      (["box": [1010, 1010, 1040, 1040], "box_format": "internvl"], "/region/box", "outside the image"),
      (["box": [1.01, 0, 1.03, 1]], "/region/box", "outside the image"),
      (["box": [0, 0, 1, 1], "box_format": "pixel"], "/region/box_format", "did you mean 'pixels'?"),
      (["box": [0, 0, 1, 1], "box_format": 7], "/region/box_format", "not 7"),
      (["box": [0, 0, 1, 1], "resized_size": [28, 28]], "/region/resized_size", "qwen2_5_vl"),
      (["box": [0, 0, 1, 1], "resized_size": [1]], "/region/resized_size", "[width, height]"),
      (["blocks": [0, 0, 8, 1]], "/region/blocks", "0 <= min <= max <= 7"),
      (["blocks": [3, 0, 2, 1]], "/region/blocks", "0 <= min <= max <= 7"),
      (["blocks": [0, 0, 1.5, 1]], "/region/blocks", "whole numbers"),
      ([["blocks": [0, 0, 1, 1]], ["box": [0, 0, 9, 9]]], "/region/1/box", "outside the image"),
      (["text": 5], "/region/text", "must be a string"),
      (["text": "somewhere on the left"], "/region/text", "'somewhere on the left'"),
      (["text": "[10,20,300,200]"], "/region/text", "give box_format"),
      (["text": "{\"bbox_2d\": [10,20,300,200]}"], "/region/text", "qwen3_vl"),
      ([["blocks": [0, 0, 1, 1]], ["text": "none"]], "/region/1/text", "no box"),
    ] as [(JSONValue, String, String)])
  func wrongRegions(json: JSONValue, pointer: String, part: String) {
    let error = error(json)
    #expect(error?.pointer == pointer)
    #expect(error?.message.contains(part) == true, "\(error?.message ?? "no error")")
  }

  @Test("formats in pixels need a size")
  func sizesAreNeeded() {
    for format in ["pixels", "pixels_xywh", "qwen2_5_vl"] {
      let error = error(["box": [1, 1, 9, 9], "box_format": .string(format)], nil)
      #expect(error?.pointer == "/region/box")
      #expect(error?.message.contains("_size") == true)
    }
  }

  @Test("a list has at most 64 boxes")
  func tooManyBoxes() {
    let one: JSONValue = ["blocks": [0, 0, 1, 1]]
    #expect(error(.array(Array(repeating: one, count: 64))) == nil)
    #expect(error(.array(Array(repeating: one, count: 65)))?.pointer == "/region")
    let texts: JSONValue = [["text": .string(String(repeating: "[0,0,2,2]", count: 64))], one]
    #expect(error(texts)?.message.contains("65 boxes") == true)
    #expect(error(["text": .string(String(repeating: "[0,0,2,2]", count: 65))])?.pointer == "/region/text")
  }
}
