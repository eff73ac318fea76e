import JSON
import Testing

@testable import Localization
@testable import PruningNumerics
@testable import VisionLayouts

private func boxes(_ text: String, _ more: JSONObject = [:]) throws(PruningError) -> [Box] {
  var object: JSONObject = more
  object["text"] = .string(text)
  return try RegionSpecification(RegionMember(.object(object)), layout: nil).boxes
}

private func isNear(_ found: [Box], _ expected: [[Double]]) -> Bool {
  found.count == expected.count
    && zip(found, expected).allSatisfy { box, numbers in
      zip([box.x0, box.y0, box.x1, box.y1], numbers).allSatisfy { abs($0 - $1) < 1e-9 }
    }
}

@Suite("Boxes as the families of models write them")
struct RegionTextFamilyTests {
  private static let half = RegionText.pointSide / 2

  @Test(
    "each family's text means the box that its model meant",
    arguments: [
      (
        "```json\n[{\"box_2d\": [118, 323, 825, 444], \"label\": \"watch\"}]\n```",
        [[0.323, 0.118, 0.444, 0.825]]
      ),
      ("[{\"box_2d\": [0, 2, 5, 4], \"label\": \"watch\"}]", [[0.002, 0, 0.004, 0.005]]),
      ("<ref>ball</ref><box>100 200 300 400</box>", [[0.1, 0.2, 0.3, 0.4]]),
      (
        "<box>100 200 300 400</box><box> 1 2 30 40 </box>",
        [[0.1, 0.2, 0.3, 0.4], [0.001, 0.002, 0.03, 0.04]]
      ),
      ("<box>100 200 300 400 500 600 700 800</box>", [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]]),
      (
        "<|ref|>a car<|/ref|><|det|>[[220, 416, 417, 720], [0, 0, 999, 999]]<|/det|>",
        [[220.0 / 999, 416.0 / 999, 417.0 / 999, 720.0 / 999], [0, 0, 1, 1]]
      ),
      ("It is <|begin_of_box|>[[110,147,193,823]]<|end_of_box|>.", [[0.11, 0.147, 0.193, 0.823]]),
      ("<|begin_of_box|>[110, 147, 193, 823]<|end_of_box|>", [[0.11, 0.147, 0.193, 0.823]]),
      (
        "<think>first [[110,147,193,823]], or <box>[[1,2,3,4]]</box></think>So <|begin_of_box|>[[299,346,427,901]]",
        [[0.299, 0.346, 0.427, 0.901]]
      ),
      ("\u{25c1}think\u{25b7}[[1,2,3,4]]\u{25c1}/think\u{25b7}[0.1, 0.2, 0.3, 0.4]", [[0.1, 0.2, 0.3, 0.4]]),
      (
        "The dogs [[097,514,283,996;300,100,500,400]] run",
        [[0.097, 0.514, 0.283, 0.996], [0.3, 0.1, 0.5, 0.4]]
      ),
      ("A man[0.123,0.456,0.789,0.901] rides.", [[0.123, 0.456, 0.789, 0.901]]),
      (
        "Two men[0.123,0.456,0.789,0.901;0.100,0.200,0.300,0.400] ride.",
        [[0.123, 0.456, 0.789, 0.901], [0.1, 0.2, 0.3, 0.4]]
      ),
      ("<box>(100,200),(300,400)</box>", [[0.1, 0.2, 0.3, 0.4]]),
      (
        "<|box_start|>(100,200),(300,400),(500,600),(700,800)<|box_end|>",
        [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]]
      ),
      (
        "<phrase> a snowman</phrase><object><patch_index_0044><patch_index_0863></object>",
        [[12.5 / 32, 1.5 / 32, 31.5 / 32, 26.5 / 32]]
      ),
      (
        "<object><patch_index_0044><patch_index_0048></delimiter_of_multi_objects/><patch_index_0005><patch_index_0005></object>",
        [[12.0 / 32, 1.0 / 32, 17.0 / 32, 2.0 / 32], [5.0 / 32, 0, 6.0 / 32, 1.0 / 32]]
      ),
      ("{\"objects\":[{\"x_min\":0.1,\"y_min\":0.2,\"x_max\":0.3,\"y_max\":0.4}]}", [[0.1, 0.2, 0.3, 0.4]]),
      (
        "[{'y_max': 0.4, 'x_max': 0.3, 'y_min': 0.2, 'x_min': 0.1}, {\"x_min\": 0.5}]",
        [[0.1, 0.2, 0.3, 0.4]]
      ),
      (
        "cat<loc_100><loc_200><loc_300><loc_400> <loc_500><loc_600><loc_700><loc_800>dog<loc_900>",
        [[0.1005, 0.2005, 0.3005, 0.4005], [0.5005, 0.6005, 0.7005, 0.8005]]
      ),
      ("(0.1, 0.2, 0.3, 0.4)", [[0.1, 0.2, 0.3, 0.4]]),
      ("476_496_698_728", [[0.476, 0.496, 0.698, 0.728]]),
      ("The cup is in [2,1,5,4].", [[0.25, 0.125, 0.75, 0.625]]),
    ] as [(String, [[Double]])])
  func families(text: String, expected: [[Double]]) throws {
    let found = try boxes(text)
    #expect(isNear(found, expected), "\(found)")
  }

  @Test("a point is a box of one 24th of the image around it, inside the image")
  func points() throws {
    let half = Self.half
    let molmo = try boxes("<point x=\"63.5\" y=\"44.5\" alt=\"dog\">dog</point>")
    #expect(isNear(molmo, [[0.635 - half, 0.445 - half, 0.635 + half, 0.445 + half]]), "\(molmo)")
    let several = try boxes("<points x1=\"10\" y1=\"20.0\" x2=\"100\" y2=\"0\" alt=\"x y\">dogs</points>")
    #expect(
      isNear(several, [[0.1 - half, 0.2 - half, 0.1 + half, 0.2 + half], [1 - 2 * half, 0, 1, 2 * half]]),
      "\(several)")
    let moondream = try boxes("{\"points\": [{\"x\": 0.5, \"y\": 0.25}]}")
    #expect(isNear(moondream, [[0.5 - half, 0.25 - half, 0.5 + half, 0.25 + half]]), "\(moondream)")
    let bare = try boxes("\"x\": 0.5, \"y\": 0.25, \"x\": 0.25, \"y\": 0.5")
    #expect(bare == [moondream[0], try boxes("{\"y\": 0.5, \"x\": 0.25}")[0]], "\(bare)")
  }

  @Test(
    "what is no box of a known kind is refused, never a corner token",
    arguments: [
      "There are 4 options [1, 2, 3, 4] and none is visible.", "The scores were [0.1, 0.2, 0.3, 0.4].",
      "I counted (1, 2, 3, 4).", "See steps (1,2), (3,4) of the text", "<think>[0.1, 0.2, 0.3, 0.4]",
      "<think>[2,1,5,4]</think>no idea", "[[100, 200, 300, 400]]", "[100,200,300,400]", "1 2 3 4",
      "<box>[[1,2,3,4,5]]</box>", "<box>1 2 3</box>", "<patch_index_0044>",
      "<patch_index_1024><patch_index_1025>",
      "version 1_2_3_4_5", "a1_2_3_4", "{\"x\": 300, \"y\": 200}", "<point x=\"150\" y=\"20\">",
      "<|det|>[[0.1, 0.2, 0.3, 0.4]]<|/det|>", "\"box_2d\": [0.1, 0.2, 0.3, 0.4]",
      // A box of an unknown kind, three points of an outline, and a cell without its partner.
      "{\"x\": 0.1, \"y\": 0.2, \"width\": 0.3, \"height\": 0.4}", "{'w': 0.3, 'h': 0.4, 'x': 0.1, 'y': 0.2}",
      "cat<loc_100><loc_200><loc_300><loc_400><loc_150><loc_500>",
      "<patch_index_0044><patch_index_0863><patch_index_0001>",
      "<box>[[1010,1010,1040,1040]]</box>", "{\"x_min\": 10, \"y_min\": 20, \"x_max\": 30, \"y_max\": 40}",
    ])
  func noBox(text: String) {
    #expect(throws: PruningError.self) { try boxes(text) }
  }

  @Test("a box_format does not turn small numbers of a sentence, or shares of the image, into a corner")
  func namedFormats() throws {
    for format in ["qwen3_vl", "internvl", "pixels", "gemini", "florence2"] {
      for text in ["[0.46, 0.51, 0.61, 0.75]", "There are 4 options [1, 2, 3, 4] and none is visible."] {
        #expect(throws: PruningError.self) { try boxes(text, ["box_format": .string(format)]) }
      }
    }
    #expect(throws: PruningError.self) {
      try boxes("<patch_index_0044><patch_index_0863>", ["box_format": "qwen3_vl"])
    }
    let sentence = try boxes("The cat is at [250,500,750,1000]", ["box_format": "qwen3_vl"])
    #expect(isNear(sentence, [[0.25, 0.5, 0.75, 1]]))
    let shares = try boxes("The scores [0.1, 0.2, 0.3, 0.4]", ["box_format": "normalized"])
    #expect(isNear(shares, [[0.1, 0.2, 0.3, 0.4]]))
  }
}
