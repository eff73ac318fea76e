import JSON
import Tensors
import Testing
import TokenPruning

@testable import PruningService

/// Later stages as requests of their own, and what an engine must keep in step with the kept tokens.
@Suite struct PreviousTokensTests {
  private let service = TestService()

  private func prune(
    _ tensors: [(name: String, tensor: Tensor)], _ parameters: JSONObject
  ) throws -> Reply {
    try service.send("POST /prune", body: Body(tensors, parameters).safetensors())
  }

  private func row(_ values: [Float]) throws -> Tensor { try .of(values, values.count) }

  @Test("Two requests keep what two stages of one keep, with attention over all tokens or over those left")
  func stagesAsRequests() throws {
    let first = try Tensor.random([4, 64], seed: 1)
    let second = try Tensor.random([4, 64], seed: 2)
    let both = try prune(
      [("early", first), ("late", second)],
      [
        "method": "topk", "layout": ["type": "grid", "rows": 8, "columns": 8],
        "stages": [
          ["layer": 2, "keep_tokens": 30, "attention": "early"],
          ["layer": 9, "keep_ratio": 0.125, "attention": "late"],
        ],
      ])
    let wanted = try #require(both.integers("kept_indices"), "\(both.text)")
    let left = try #require(
      try prune([("attention", first)], ["method": "topk", "keep_tokens": 30]).integers("kept_indices"))
    let previous: JSONValue = ["kept_indices": .array(left.map { .integer($0) }), "tokens": 64]
    let numbers = second.floats()
    let narrow = try Tensor.of((0..<4).flatMap { head in left.map { numbers[head * 64 + $0] } }, 4, 30)
    let mask = try row((0..<64).map { left.contains($0) ? 0 : 1 })
    for (tensors, extra): ([(name: String, tensor: Tensor)], JSONObject) in [
      ([("attention", second)], ["previous": previous]), ([("attention", narrow)], ["previous": previous]),
      ([("attention", second), ("already_dropped", mask)], [:]),
      ([("attention", narrow), ("already_dropped", mask)], [:]),
    ] {
      var parameters: JSONObject = ["method": "topk", "keep_ratio": 0.125]
      for member in extra.members { parameters[member.name] = member.value }
      let reply = try prune(tensors, parameters)
      #expect(reply.integers("kept_indices") == wanted, "\(reply.text)")
      let places = try #require(reply.integers("kept_within_previous"))
      #expect(places.map { left[$0] } == wanted)
    }
  }

  @Test("Flags are 0 or 1 in any element type, and whatever else is sent as flags is refused")
  func flags() throws {
    let scores = ("attention", try row([4, 3, 2, 1]))
    func tensor(_ type: ElementType, _ bytes: [UInt8]) throws -> Tensor {
      try Tensor(elementType: type, shape: Shape([4]), bytes: bytes[...])
    }
    let asked: JSONObject = ["method": "topk", "keep_tokens": 1]
    for mask in [
      try row([1, 0, -0.0, 0]), try tensor(.bool, [1, 0, 0, 0]), try tensor(.int8, [1, 0, 0, 0]),
      try .int64([1, 0, 0, 0], shape: Shape([4])),
    ] {
      let reply = try prune([scores, ("already_dropped", mask)], asked)
      #expect(reply.integers("kept_indices") == [1], "\(reply.text)")
    }
    for (mask, shown) in [
      (try Tensor.int64([0, 1, 2, 3], shape: Shape([4])), "2.0 at place 2"),
      (try row([0.5, 0, 0, 0]), "0.5 at place 0"), (try row([0, .nan, 0, 0]), "nan at place 1"),
      (try row([0, 0, 0, -.infinity]), "-inf at place 3"), (try row([0, -1, 0, 0]), "-1.0 at place 1"),
    ] {
      let reply = try prune([scores, ("already_dropped", mask)], asked)
      #expect(reply.summary == "422 invalid-input at already_dropped", "\(reply.text)")
      #expect(reply.text.contains(shown), "\(reply.text)")
    }
    let question: [(name: String, tensor: Tensor)] = [
      ("image_features", try .random([4, 3], seed: 1)), ("text_features", try .random([2, 3], seed: 2)),
    ]
    for (padding, word) in [
      (try row([1, 1, 1, 1]), "attention_mask"), (try row([0, 0, 0.25, 0]), "0.25 at place 2"),
      (try row([0, .nan, 0, 0]), "nan at place 1"),
    ] {
      let reply = try prune(question + [("padding_mask", padding)], ["method": "mmtok", "keep_tokens": 2])
      #expect(reply.summary == "422 invalid-input at padding_mask", "\(reply.text)")
      #expect(reply.text.contains(word), "\(reply.text)")
    }
    let rows = ("attention", try Tensor.of([4, 3, 2, 1, 1, 2, 3, 4], 1, 2, 4))
    let reply = try prune(
      [rows, ("text_raters", try row([0, 2]))],
      ["method": "sparsevlm", "keep_tokens": 1, "axes": ["attention": "hqn"]])
    #expect(reply.summary == "422 invalid-input at text_raters", "\(reply.text)")
  }

  @Test("What is wrong among the indices is shown")
  func wrongIndices() throws {
    let rows = [("attention", try row([1, 2, 3, 4]))]
    for (previous, shown): (JSONValue, String) in [
      (["kept_indices": [0, 2, 1]], "not 1"), (["kept_indices": [0.5]], "not 0.5"),
      (["kept_indices": ["1"]], "not a string"), (["kept_indices": [0], "tokens": -1], "not -1"),
    ] {
      let reply = try prune(rows, ["method": "topk", "keep_tokens": 1, "previous": previous])
      #expect(reply.status == 422 && reply.text.contains(shown + "\""), "\(reply.text)")
    }
  }

  @Test("Every method chooses among what is left, and sees nothing else", arguments: PruneTests.methods)
  func everyMethod(_ method: String) throws {
    let left = (0..<36).filter { $0 % 3 != 1 }
    let places = JSONValue.array(left.map { .integer($0) })
    func rows(_ tensor: Tensor, _ spoilt: Float) throws -> Tensor {
      var values = tensor.floats()
      let width = values.count / 36
      for token in 0..<36 where !left.contains(token) {
        for column in 0..<width { values[token * width + column] = spoilt }
      }
      return try .of(values, 36, width)
    }
    var answers: [[Int]?] = []
    for spoilt in [Float(0), 5] {
      let features = try rows(.random([36, 6], seed: 3), spoilt)
      let attention = try rows(.random([36, 1], seed: 4), spoilt).floats().map { abs($0) }
      let reply = try prune(
        [
          ("image_features", features), ("attention", try row(attention)),
          ("text_features", try .random([2, 6], seed: 5)), ("value_states", try .random([40, 4], seed: 6)),
          ("pixel_values", try .random([24, 4], seed: 7)),
        ],
        [
          "method": .string(method), "keep_tokens": 10, "previous": ["kept_indices": places],
          "method_parameters": method == "evs" ? ["frames": 1] : [:],
        ])
      let kept = reply.integers("kept_indices")
      #expect(kept?.count == 10 && Set(kept ?? []).isSubset(of: left), "\(reply.text)")
      answers.append(kept)
    }
    #expect(answers[0] == answers[1])
  }

  @Test("What is left is checked: order, range, size, and a budget beyond it")
  func refusals() throws {
    let attention = try Tensor.random([16], seed: 1)
    func summary(_ previous: JSONValue, _ keep: Int = 2) throws -> String {
      try prune(
        [("attention", attention)], ["method": "topk", "keep_tokens": .integer(keep), "previous": previous]
      )
      .summary
    }
    #expect(try summary(["kept_indices": [3, 1]]).hasSuffix("at /previous/kept_indices/1"))
    #expect(try summary(["kept_indices": [3, 16]]).hasSuffix("at /previous/kept_indices"))
    #expect(try summary(["kept_indices": [3, 5], "tokens": 15]).hasSuffix("at /previous/kept_indices"))
    #expect(try summary(["kept_indices": [3, 5]], 3).hasSuffix("at /keep_tokens"))
    #expect(try summary([:]).hasSuffix("at /previous/kept_indices"))
    #expect(try summary(["kept_indices": [], "other": 1]).hasSuffix("at /previous/other"))
    #expect(try summary(["kept_indices": [3, 5]]).hasPrefix("200"))
  }

  private func bookkeeping(
    _ layout: JSONValue, _ tokens: Int, _ keep: Int, _ wanted: JSONValue = true, _ extra: JSONObject = [:],
    scores: [Float]? = nil
  ) throws -> JSONObject {
    var parameters: JSONObject = [
      "method": "topk", "keep_tokens": .integer(keep), "layout": layout, "bookkeeping": wanted,
      "budget_scope": "request",
    ]
    for member in extra.members { parameters[member.name] = member.value }
    let attention = try scores.map(row) ?? .random([tokens], seed: 9)
    let reply = try prune([("attention", attention)], parameters)
    return try #require(reply.json["bookkeeping"]?.objectValue, "\(reply.text)")
  }

  private func integers(_ value: JSONValue?) -> [Int] { value?.arrayValue?.compactMap(\.integerValue) ?? [] }

  private func rows(_ value: JSONValue?) -> [[Int]] { value?.arrayValue?.map(integers) ?? [] }

  @Test("Time stamps of a Qwen3-VL video stand beside the tokens that their frames keep (vllm 30847)")
  func timestamps() throws {
    // Frame 1 keeps one token, frame 2 none.
    let scores: [Float] = [9, 8, 7, 6, 5, 0, 0, 0, 0, 0, 0, 0]
    let answer = try bookkeeping(
      ["type": "qwen3_vl", "grid_thw": [3, 4, 4]], 12, 5,
      ["timestamps": [0.3, 1.3, 2.3], "text_tokens": [7, 6, 6, 4]],
      scores: scores)
    #expect(integers(answer["view_tokens"]) == [4, 1, 0])
    let frames = answer["frames"]?.arrayValue?.compactMap(\.objectValue) ?? []
    #expect(frames.map { $0["tokens"] } == [4, 1] && frames.map { $0["timestamp"] } == [0.3, 1.3])
    #expect(rows(answer["placeholder_spans"]) == [[7, 4], [17, 1], [24, 0]])
    let ids = rows(answer["position_ids"])
    #expect(ids.count == 3 && ids.allSatisfy { $0.count == 7 + 4 + 6 + 1 + 6 + 4 })
    // Each frame takes two positions of its own 2 x 2 grid, pruned or not: the text behind goes on there.
    #expect(ids[0][17] == 15 && ids[0].last == 7 + 2 + 6 + 2 + 6 + 2 + 3)
  }

  @Test(
    "Two images with text between them keep the ids that they have unpruned, and so does the text (vllm 27859)"
  )
  func positionsOfSeveralImages() throws {
    let layout: JSONValue = ["type": "qwen2_vl", "grid_thw": [[1, 4, 8], [1, 4, 4]]]
    func ids(_ keep: Int) throws -> (ids: [[Int]], spans: [[Int]], delta: Int?) {
      let answer = try bookkeeping(layout, 12, keep, ["text_tokens": [3, 5, 2]])
      return (
        rows(answer["position_ids"]), rows(answer["placeholder_spans"]), answer["rope_delta"]?.integerValue
      )
    }
    let whole = try ids(12)
    // 3 text; 2 x 4 tokens from 3: next is 7; 5 text; 2 x 2 tokens from 12; 2 text from 14.
    #expect(
      whole.ids[0] == [0, 1, 2] + [Int](repeating: 3, count: 8) + [7, 8, 9, 10, 11, 12, 12, 12, 12, 14, 15])
    #expect(whole.ids[1][3...10] == [3, 3, 3, 3, 4, 4, 4, 4] && whole.ids[2][3...6] == [3, 4, 5, 6])
    #expect(whole.spans == [[3, 8], [16, 4]] && whole.delta == 16 - 22)
    let pruned = try ids(5)
    #expect(pruned.ids.allSatisfy { $0.count == 15 } && pruned.delta == 16 - 15)
    #expect(pruned.ids[0].suffix(2) == [14, 15] && pruned.spans.map { $0[1] }.reduce(0, +) == 5)
    for column in zip(pruned.ids[0], zip(pruned.ids[1], pruned.ids[2])) {
      let isThere = whole.ids[0].indices.contains {
        whole.ids[0][$0] == column.0 && whole.ids[1][$0] == column.1.0 && whole.ids[2][$0] == column.1.1
      }
      #expect(isThere)
    }
  }

  @Test(
    "Counts are exact however few tokens a video keeps, before there are embeddings or after (vllm 29232)")
  func countsOfVideos() throws {
    for keep in [0, 1, 5, 12] {
      let answer = try bookkeeping(["type": "qwen2_5_vl", "grid_thw": [3, 4, 4]], 12, keep)
      #expect(integers(answer["image_tokens"]) == [keep])
      #expect(integers(answer["view_tokens"]).reduce(0, +) == keep)
      #expect(integers(answer["cu_seqlens"]).first == 0 && integers(answer["cu_seqlens"]).last == keep)
      #expect(rows(answer["placeholder_spans"]) == [[0, keep]])
    }
  }

  @Test(
    "Position ids are rows of the pruned prompt's length, text in every row, images of a batch never mixed (verl 3653)"
  )
  func shapeOfPositionIDs() throws {
    // There ids came as [images, 3, tokens], were read as [3, images, tokens], and lacked the text's row.
    let layouts: JSONValue = [
      ["type": "qwen2_5_vl", "grid_thw": [1, 4, 8]], ["type": "qwen2_5_vl", "grid_thw": [1, 8, 8]],
      ["type": "qwen2_5_vl", "grid_thw": [1, 4, 4]],
    ]
    let counts = [8, 16, 4]
    let keep = 3
    var tensors: [(name: String, tensor: Tensor)] = []
    for (image, count) in counts.enumerated() {
      tensors.append(("attention.\(image)", try .random([1, count], seed: UInt64(image + 1))))
    }
    let reply = try prune(
      tensors,
      [
        "method": "topk", "keep_tokens": .integer(keep), "layout": layouts,
        "bookkeeping": ["text_tokens": [5, 2]],
      ])
    #expect(reply.status == 200, "\(reply.text)")
    let answers = try #require(reply.json["bookkeeping"]?.arrayValue)
    #expect(answers.count == 3)
    for (image, answer) in answers.enumerated() {
      let ids = rows(answer.objectValue?["position_ids"])
      #expect(ids.count == 3 && ids.allSatisfy { $0.count == 5 + keep + 2 })
      // Text has the same id in time, height and width, and goes on behind the image's larger side.
      for row in ids { #expect(Array(row.prefix(5)) == [0, 1, 2, 3, 4]) }
      let next = 5 + [4, 4, 2][image]
      for row in ids { #expect(Array(row.suffix(2)) == [next, next + 1]) }
    }
  }

  @Test("Sequence lengths for the encoder count patches, several to a token (PixelPrune 2)")
  func patches() throws {
    let reply = try prune(
      [("pixel_values", try .random([48, 3], seed: 3))],
      [
        "method": "pixelprune", "keep_tokens": 7,
        "layout": ["type": "qwen2_vl", "grid_thw": [[1, 4, 8], [1, 4, 4]]],
        "bookkeeping": true, "budget_scope": "request",
      ])
    let answer = try #require(reply.json["bookkeeping"]?.objectValue, "\(reply.text)")
    let lengths = integers(answer["cu_seqlens"])
    #expect(lengths.count == 3 && lengths.last == 7)
    #expect(integers(answer["patch_cu_seqlens"]) == lengths.map { 4 * $0 })
  }

  @Test(
    "Patches that cannot be shared out among the tokens are refused, those of the tokens that are left are not"
  )
  func oddPatches() throws {
    func patches(_ rows: Int, _ left: [Int]? = nil) throws -> Reply {
      var parameters: JSONObject = [
        "method": "topk", "keep_tokens": 2, "layout": ["type": "grid", "rows": 2, "columns": 4],
        "bookkeeping": true,
      ]
      if let left { parameters["previous"] = ["kept_indices": .list(left)] }
      return try prune(
        [("attention", try .random([8], seed: 1)), ("pixel_values", try .random([rows, 3], seed: 2))],
        parameters)
    }
    for rows in [4, 9, 15] {
      let reply = try patches(rows)
      #expect(reply.summary == "422 invalid-input at pixel_values", "\(reply.text)")
    }
    #expect(try patches(9, [0, 1, 2, 3, 4]).summary == "422 invalid-input at pixel_values")
    for (rows, left, wanted) in [(16, nil, 4), (20, [0, 1, 2, 3, 4], 8)] as [(Int, [Int]?, Int)] {
      let answer = try #require(try patches(rows, left).json["bookkeeping"]?.objectValue)
      #expect(integers(answer["patch_cu_seqlens"]) == [0, wanted])
    }
  }

  @Test("Lists that do not fit the layout are refused where they stand")
  func misfits() throws {
    func summary(_ wanted: JSONValue) throws -> String {
      try prune(
        [("attention", try .random([12], seed: 1))],
        [
          "method": "topk", "keep_tokens": 2, "layout": ["type": "qwen2_vl", "grid_thw": [3, 4, 4]],
          "bookkeeping": wanted,
        ]
      ).summary
    }
    #expect(try summary(["text_tokens": [1]]).hasSuffix("at /bookkeeping/text_tokens"))
    #expect(try summary(["text_tokens": [1, -1]]).hasSuffix("at /bookkeeping/text_tokens"))
    #expect(try summary(["timestamps": [1]]).hasSuffix("at /bookkeeping/timestamps"))
    #expect(try summary(["text": []]).hasSuffix("at /bookkeeping/text"))
    #expect(try summary("yes").hasSuffix("at /bookkeeping"))
    #expect(try summary(["timestamps": [0, 1, 2]]).hasPrefix("200"))
  }
}
