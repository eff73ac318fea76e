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

private let quarter = Box(x0: 0.25, y0: 0.5, x1: 0.75, y1: 1)

@Suite("Regions in text")
struct RegionTextTests {
  @Test(
    "texts of every family mean the same quarter of the image",
    arguments: [
      "[2,4,5,7]", "[ 2 , 4,\n5,7 ]", "The region is [2, 4, 5, 7].", "(2,4),(5,7)", "[0.25, 0.5, 0.75, 1.0]",
      "[0.25,.5,0.75,1]", "see [1] and [[0.25,0.5,0.75,1.]]", "(0.25, 0.5) (0.75, 1.00)",
      "<|box_start|>(250,500),(750,1000)<|box_end|>",
      "<|object_ref_start|>the cat<|object_ref_end|><|box_start|>(250,500),(750,1000)<|box_end|><|im_end|>",
      "<|box_start|>(250,500),(750,1000)", "<box>[[250, 500, 750, 1000]]</box>",
      "<ref>cat</ref><box>[[250,500,750,1000]]</box> and [3] too", "<box>[250,500,750,1000]</box>",
      "-[2,4,5,7]", "\u{1F408} [2,4,5,7]",
    ])
  func texts(text: String) throws {
    #expect(try boxes(text) == [quarter])
  }

  @Test(
    "texts that only resemble a box are refused",
    arguments: [
      "", "[2,4,5,7", "[2,4,5]", "[2,4,5,7,8]", "[2;4;5;7]", "[2,4,5,x]", "(2,4)", "(2,4),(5", "[,,,]",
      "[.,.,.,.]",
      "[1234567890,0,0,0]", "<loc0512><loc0256><loc1024> cat", "<|box_start|><|box_end|>", "<box></box>",
      "bbox_2d",
      "[5,4,2,7]",
    ])
  func brokenTexts(text: String) {
    #expect(throws: PruningError.self) { try boxes(text) }
  }

  @Test("location tokens of PaliGemma put y first, Florence-2's bins are read at their centre")
  func locationTokens() throws {
    #expect(
      try boxes("<loc0512><loc0256><loc1023><loc0768> cat ; <loc0000><loc0000><loc0512><loc0512> dog") == [
        Box(x0: 0.25, y0: 0.5, x1: 0.75, y1: 1023.0 / 1024), Box(x0: 0, y0: 0, x1: 0.5, y1: 0.5),
      ])
    #expect(
      try boxes("cat<loc_249><loc_499><loc_749><loc_999>dog<loc_0><loc_1><loc_2><loc_3>") == [
        Box(x0: 0.2495, y0: 0.4995, x1: 0.7495, y1: 0.9995),
        Box(x0: 0.0005, y0: 0.0015, x1: 0.0025, y1: 0.0035),
      ])
    for broken in [
      "<loc0512><loc0256><loc1023>", "<loc_1><loc_2>x<loc_3><loc_4>", "<loc_1><loc0002><loc_3><loc_4>",
    ] {
      #expect(throws: PruningError.self) { try boxes(broken) }
    }
  }

  @Test(
    "bbox_2d is read from JSON, fenced JSON, lists and prose",
    arguments: [
      "{\"bbox_2d\": [70, 70, 210, 140], \"label\": \"cat\"}",
      "```json\n[\n\t{\"bbox_2d\": [70, 70, 210, 140], \"label\": \"cat (7,7),(7,7)\"}\n]\n```",
      "{'bbox_2d':[70,70,210,140]}", "bbox_2d: [70,70,210,140]",
    ])
  func bbox2D(text: String) throws {
    #expect(try boxes(text, ["resized_size": [280, 140]]) == [quarter])
    let thousandths: JSONObject = ["box_format": "qwen3_vl"]
    #expect(try boxes(text, thousandths) == [Box(x0: 0.07, y0: 0.07, x1: 0.21, y1: 0.14)])
  }

  @Test("one text may have several boxes")
  func severalBoxes() throws {
    let json = "[{\"bbox_2d\": [0,0,500,500]}, {\"bbox_2d\": [250,500,750,1000], \"label\": \"[1,1,2,2]\"}]"
    let nested = "{\"bbox_2d\": [[0,0,500,500], [250,500,750,1000]]}"
    let half = Box(x0: 0, y0: 0, x1: 0.5, y1: 0.5)
    #expect(try boxes(json, ["box_format": "qwen3_vl"]) == [half, quarter])
    #expect(try boxes(nested, ["box_format": "qwen3_vl"]) == [half, quarter])
    #expect(try boxes("<box>[[0,0,500,500],[250,500,750,1000]]</box>") == [half, quarter])
    #expect(
      try boxes("<|box_start|>(0,0),(500,500)<|box_end|><|box_start|>(250,500),(750,1000)<|box_end|>")
        == [half, quarter])
  }

  @Test("a box_format beside the text decides what the numbers mean")
  func formatOverrides() throws {
    #expect(try boxes("[250,500,750,1000]", ["box_format": "qwen3_vl"]) == [quarter])
    let corner = Box(x0: 0, y0: 0, x1: 0.25, y1: 0.25)
    #expect(try boxes("[0,0,1,1]", ["box_format": "blocks"]) == [corner])
    #expect(try boxes("[0,0,1,1]", ["box_format": "normalized"]) == [.unit])
  }

  @Test(
    "lists of nothing but 0 and 1 are blocks and shares alike, so neither is guessed",
    arguments: ["[0,0,1,1]", "(0,0),(1,1)", "[1,1,1,1]", "The region is [0, 0, 1, 1] and [0,1,1,1]."])
  func zerosAndOnes(text: String) {
    #expect {
      try boxes(text)
    } throws: { error in
      (error as? PruningError)?.message.contains("give box_format 'blocks' or 'normalized'") == true
    }
  }

  @Test("the lists of a text have one unit")
  func oneUnit() throws {
    #expect(try boxes("[0,0,1,1] [0.25,0.5,0.75,1.0]") == [.unit, quarter])
    #expect(try boxes("[0.0,0.0,1.0,1.0]") == [.unit])
    #expect(try boxes("[0,0,1,1] [2,4,5,7]") == [Box(x0: 0, y0: 0, x1: 0.25, y1: 0.25), quarter])
    for text in ["[1,1,2,2] [0.1,0.1,0.2,0.2]", "[0.1,0.1,0.2,0.2] [1,1,2,2]"] {
      #expect {
        try boxes(text)
      } throws: { error in
        (error as? PruningError)?.message.contains("the box [1, 1, 2, 2] is relative to") == true
      }
    }
  }

  @Test("an error quotes 60 characters, control characters as spaces")
  func excerptOfText() {
    let text = "\n" + String(repeating: "x", count: 100)
    #expect {
      try boxes(text)
    } throws: { error in
      (error as? PruningError)?.message.contains("' \(String(repeating: "x", count: 59))...'") == true
    }
  }

  @Test("more than 64 KiB are refused unread")
  func longText() {
    #expect {
      try boxes(String(repeating: " ", count: 65_536) + "x")
    } throws: { error in
      (error as? PruningError)?.message.contains("65537 bytes") == true
    }
  }

  @Test(
    "hostile repetitions cost work in proportion to their length",
    arguments: [
      "<box>1 2 3 ", "<points x1=\"1\" ", "\"x_min\":1,", "1_2_3_", "<patch_index_0001>", "[1,1,1,1;",
      "<think>",
      "[", "[1,", "(", "(1,2),", "<", "<loc0001>", "<box>", "[1,1,1,", "bbox_2d", "b", "[ ", "0", "((1,1),",
    ])
  func hostileTexts(unit: String) {
    let text = String(repeating: unit, count: 65_536 / unit.utf8.count)
    var scanner = RegionTextScanner(Array(text.utf8))
    _ = scanner.boxes(limit: .max)
    #expect(scanner.rereadCount <= 3 * text.utf8.count)
  }

  @Test("20,000 mutated texts give boxes inside the image or an error, never a trap")
  func mutatedTexts() {
    let seeds = [
      "[2,4,5,7] (0.25, 0.5) (0.75, 1.00)", "<|box_start|>(250,500),(750,1000)<|box_end|>",
      "<loc0512><loc0256><loc1023><loc0768>", "cat<loc_249><loc_499><loc_749><loc_999>",
      "<box>100 200 300 400</box> 476_496_698_728", "<patch_index_0044><patch_index_0863>",
      "{\"x_min\":0.1,\"y_min\":0.2,\"x_max\":0.3,\"y_max\":0.4}", "<point x=\"63.5\" y=\"44.5\">",
      "[[097,514,283,996;300,100,500,400]]", "<think>a</think>\"box_2d\": [1, 2, 300, 400]",
      "```json\n[{\"bbox_2d\": [70, 70, 210, 140]}]\n```", "<box>[[250,500,750,1000],[1,2,3,4]]</box>",
    ].map { Array($0.utf8) }
    let alphabet = Array("0123456789.,-[](){}<>|_ \n\"'e+bloc".utf8) + [0, 0x80, 0xff]
    var numbers = SeededGenerator(seed: 20_000)
    var read = 0
    for round in 0..<20_000 {
      var bytes = seeds[round % seeds.count]
      for _ in 0...Int.random(in: 0..<6, using: &numbers) where !bytes.isEmpty {
        let index = Int.random(in: 0..<bytes.count, using: &numbers)
        switch Int.random(in: 0..<4, using: &numbers) {
        case 0: bytes.remove(at: index)
        case 1: bytes.insert(alphabet.randomElement(using: &numbers) ?? 0, at: index)
        case 2: bytes[index] = alphabet.randomElement(using: &numbers) ?? 0
        default:
          let length = min(12, bytes.count - index)
          bytes.insert(contentsOf: bytes[index..<(index + length)], at: index)
        }
      }
      let formats: [JSONObject] = [[:], ["box_format": "qwen3_vl"], ["resized_size": [280, 140]]]
      guard let found = try? boxes(String(decoding: bytes, as: UTF8.self), formats[round % 3]) else {
        continue
      }
      read += 1
      for box in found {
        #expect(box.x0 >= 0 && box.y0 >= 0 && box.x1 <= 1 && box.y1 <= 1 && box.area > 0)
      }
    }
    #expect(read > 2_000)
  }
}
