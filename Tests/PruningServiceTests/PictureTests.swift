import JSON
import TensorFormats
import Tensors
import Testing

@testable import PruningService
@testable import TokenPruning
@testable import VisionLayouts

@Suite("Answers as pictures")
struct PictureTests {
  private let service = TestService()

  /// One layout of each family that has places, with its number of tokens.
  private static let families: [JSONObject] = [
    ["type": "grid", "rows": 3, "columns": 7],
    ["type": "llava"],
    ["type": "llava_next", "image_size": [640, 480]],
    ["type": "llava_onevision", "image_size": [640, 480]],
    ["type": "qwen2_vl", "image_size": [640, 480]],
    ["type": "internvl", "image_size": [640, 480]],
    ["type": "gemma3", "image_size": [640, 480], "pan_and_scan": true],
    ["type": "idefics3", "image_size": [640, 480]],
    ["type": "pixtral", "image_size": [640, 480]],
    ["type": "minicpm_v", "image_size": [640, 480]],
    ["type": "deepseek_vl2", "image_size": [640, 480]],
    ["type": "molmo", "image_size": [640, 480]],
    ["type": "video", "frames": 3, "rows": 4, "columns": 5],
    ["type": "raw", "tokens": 23],
  ]

  /// Names of elements in order.
  ///
  /// - Throws: where tags do not close each other, as XML wants it.
  private func elements(_ svg: String) throws -> [String] {
    var open: [Substring] = []
    var names: [String] = []
    for part in svg.split(separator: "<").dropFirst(svg.hasPrefix("<") ? 0 : 1) {
      let tag = try #require(part.split(separator: ">", omittingEmptySubsequences: false).first)
      let name = tag.drop { $0 == "/" }.prefix { $0.isLetter }
      try #require(!name.isEmpty, "\(part)")
      if tag.hasPrefix("/") {
        try #require(open.popLast() == name, "\(part)")
        continue
      }
      names.append(String(name))
      if !tag.hasSuffix("/") { open.append(name) }
    }
    try #require(open.isEmpty)
    return names
  }

  /// The cells that rectangles of a class cover.
  private func area(_ style: String, in svg: String) -> Int {
    svg.split(separator: "\n").filter { $0.hasPrefix("<path class=\"\(style)\"") }.reduce(0) { sum, line in
      let data = line.split(separator: "\"").last { $0.hasPrefix("M") } ?? ""
      return data.split(separator: "M").reduce(sum) { sum, piece in
        let numbers = piece.split { !$0.isNumber }.compactMap { Int($0) }
        return sum + numbers[2] * numbers[3]
      }
    }
  }

  @Test("every layout's kept tokens are drawn where they have places, whatever they are", arguments: families)
  func layouts(layout: JSONObject) throws {
    let parsed = try TokenLayout(.object(layout), tokenCount: nil)
    let attention = try Tensor.random([parsed.tokenCount], seed: 5)
    let body = Body(
      [("attention", attention)],
      ["method": "topk", "keep_ratio": 0.3, "layout": .object(layout)])
    let plain = try service.send("POST /prune", body: body.safetensors())
    let kept = try #require(plain.integers("kept_indices"))
    let reply = try service.send("POST /prune", ["Accept: image/svg+xml"], body: body.safetensors())
    #expect(reply.status == 200 && reply.field("Content-Type") == "image/svg+xml")
    let again = try service.send("POST /prune", ["Accept: image/svg+xml"], body: try body.json())
    #expect(again.body == reply.body)
    let names = try elements(reply.text)
    #expect(names.prefix(3) == ["svg", "title", "desc"])
    #expect(names.count < 40 + 12 * max(parsed.views.count, 1))
    let drawn = parsed.views.isEmpty ? kept.count : kept.count { parsed.position(of: $0) != nil }
    #expect(area("kept", in: reply.text) == drawn)
    #expect(reply.text.contains("topk, \(kept.count) of \(parsed.tokenCount) tokens"))
    // A byte a token, and a path of each kind for each view.
    #expect(reply.body.count < 4_000 + 16 * parsed.tokenCount + 1_200 * parsed.views.count)
  }

  @Test("a region and the map it was found on are drawn, by localize with the tokens inside")
  func localized() throws {
    var values = [Float](repeating: 0.01, count: 64)
    for token in [18, 19, 26, 27] { values[token] = 1 }
    let body = Body([("attention", try .floatingPoint(values, shape: Shape([64]), as: .float32))])
    let plain = try service.send("POST /localize", body: body.safetensors())
    let reply = try service.send("POST /localize", ["Accept: image/svg+xml"], body: body.safetensors())
    #expect(area("inside", in: reply.text) == plain.integers("region_indices")?.count)
    #expect(area("heat", in: reply.text) == 4)
    #expect(reply.text.contains("<rect class=\"region\""))
    _ = try elements(reply.text)
    let pruned = Body(body.tensors, ["keep_tokens": 6])
    let kept = try service.send("POST /prune", ["Accept: image/svg+xml"], body: pruned.safetensors())
    #expect(area("kept", in: kept.text) == 6 && kept.text.contains("<rect class=\"region\""))
  }

  @Test(
    "merged tokens are drawn with their rows, a batch with a figure for each image, a schedule with its stages"
  )
  func kinds() throws {
    let features = Body([("image_features", try .random([16, 4], seed: 1))], ["keep_tokens": 5])
    let merged = try service.send("POST /compress", ["Accept: image/svg+xml"], body: features.safetensors())
    #expect(area("group", in: merged.text) == 16 && merged.text.contains("5 rows for 16 tokens"))
    #expect(try elements(merged.text).contains("path"))
    let batch = Body(
      [("image_features", try .random([3, 16, 4], seed: 1))],
      ["keep_tokens": 5, "method": "divprune", "batched": true])
    let figures = try service.send("POST /prune", ["Accept: image/svg+xml"], body: batch.safetensors())
    for index in 0..<3 { #expect(figures.text.contains("image \(index): divprune, 5 of 16 tokens (31.3 %)")) }
    #expect(area("kept", in: figures.text) == 15)
    let schedule = Body(
      [("attention", try .random([16], seed: 2))],
      ["method": "topk", "stages": [["layer": 2, "keep_tokens": 9], ["layer": 4, "keep_tokens": 4]]])
    let stages = try service.send("POST /prune", ["Accept: image/svg+xml"], body: schedule.safetensors())
    #expect(area("part", in: stages.text) == 9 && area("kept", in: stages.text) == 4)
  }

  @Test("a picture is sent to whoever prefers it, and to nobody else")
  func negotiation() throws {
    let body = Body([("attention", try .random([16], seed: 2))], ["keep_tokens": 3, "method": "topk"])
    for (accept, expected) in [
      ("image/svg+xml", "image/svg+xml"), ("image/*", "image/svg+xml"), ("*/*", "application/json"),
      ("image/svg+xml;q=0.5, application/json;q=0.4", "image/svg+xml"),
      ("image/svg+xml;q=0.4, application/json;q=0.5", "application/json"),
      ("image/svg+xml, application/json", "application/json"), ("image/svg+xml;q=0", "application/json"),
      ("image/png", "application/json"), ("text/html,image/svg+xml;q=0.9,*/*;q=0.8", "image/svg+xml"),
    ] {
      let reply = try service.send("POST /prune", ["Accept: \(accept)"], body: body.safetensors())
      #expect(reply.field("Content-Type") == expected, "\(accept)")
    }
    let wrong = Body(body.tensors, ["keep_tokens": -3])
    let problem = try service.send("POST /prune", ["Accept: image/svg+xml"], body: wrong.safetensors())
    #expect(problem.status == 422 && problem.field("Content-Type") == "application/problem+json")
  }
}
