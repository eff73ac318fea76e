import JSON
import Tensors
import Testing

@testable import PruningService
@testable import TokenPruning

@Suite("POST /reselect takes what /prune answers, and answers what the next call takes")
struct ReselectOperationTests {
  private let service = TestService()

  private func send(
    _ route: String, _ tensors: [(name: String, tensor: Tensor)], _ parameters: JSONObject
  ) throws -> Reply {
    try service.send("POST \(route)", body: Body(tensors, parameters).safetensors())
  }

  private func row(_ values: [Float]) throws -> Tensor { try .of(values.map { abs($0) }, values.count) }

  @Test("scores and ranks of an explained answer are the prefill of the next call", arguments: [false, true])
  func chain(usesRank: Bool) throws {
    let first = try row(Tensor.random([144], seed: 1).floats())
    let pruned = try send(
      "/prune", [("attention", first)], ["method": "fastv", "keep_tokens": 40, "explain": true])
    let kept = try #require(pruned.integers("kept_indices"), "\(pruned.text)")
    let explanation = try #require(pruned.json["explanation"]?.objectValue)
    let list = try #require((usesRank ? explanation["rank"] : pruned.json["scores"])?.arrayValue)
    let prefill = try row(list.map { Float($0.doubleValue ?? .nan) })
    let name = usesRank ? "prefill_rank" : "prefill_scores"
    let now = try row(Tensor.random([144], seed: 2).floats())
    let previous: JSONObject = ["kept_indices": .array(kept.map { .integer($0) })]
    let reply = try send(
      "/reselect", [("attention", now), (name, prefill)],
      ["previous": .object(previous), "max_swaps": 5, "renumber": false])
    #expect(reply.status == 200, "\(reply.text)")
    let next = try #require(reply.integers("kept_indices"))
    let out = try #require(reply.integers("swapped_out"))
    let come = try #require(reply.integers("swapped_in"))
    #expect(next.count == 40 && out.count == 5 && come.count == 5)
    #expect(Set(next) == Set(kept).subtracting(out).union(come))
    #expect(reply.json["swap_count"] == 5)
    #expect(reply.integers("position_ids") == next)
    #expect(reply.json["reason"]?.stringValue?.hasPrefix("Swapped 5 of 40 kept tokens") == true)
    // The mask says the same as the list.
    let mask = try row((0..<144).map { kept.contains($0) ? 0 : 1 })
    let masked = try send(
      "/reselect", [("attention", now), (name, prefill), ("already_dropped", mask)],
      ["max_swaps": 5, "renumber": false])
    #expect(masked.body == reply.body)
  }

  @Test("each image of a batch has its own kept tokens, and is answered as if it were alone")
  func batches() throws {
    let attention = try Tensor.random([3, 64], seed: 4).floats().map { abs($0) }
    let lists = [[0, 1, 2], Array(10..<30), [63]]
    let previous = lists.map { list -> JSONValue in ["kept_indices": .array(list.map { .integer($0) })] }
    let reply = try send(
      "/reselect", [("attention", try .of(attention, 3, 1, 64))],
      ["previous": .array(previous), "axes": ["attention": "bqn"]])
    #expect(reply.status == 200, "\(reply.text)")
    for (index, list) in lists.enumerated() {
      let alone = try send(
        "/reselect", [("attention", try row(Array(attention[index * 64..<(index + 1) * 64])))],
        ["previous": previous[index]])
      let kept = try #require(reply.json["kept_indices"]?.arrayValue?[index])
      #expect(kept == alone.json["kept_indices"] && kept.arrayValue?.count == list.count)
      #expect(reply.json["reason"]?.arrayValue?[index] == alone.json["reason"])
    }
    let wrong = try send(
      "/reselect", [("attention", try .of(attention, 3, 1, 64))],
      ["previous": .array(Array(previous.prefix(2))), "axes": ["attention": "bqn"]])
    #expect(wrong.summary == "422 invalid-input at /previous")
  }

  @Test("bookkeeping and positions are those of the new selection")
  func bookkeeping() throws {
    let layout: JSONValue = ["type": "qwen2_vl", "grid_thw": [[1, 8, 8], [1, 4, 8]]]
    let attention = try row(Tensor.random([24], seed: 8).floats())
    let reply = try send(
      "/reselect", [("attention", attention)],
      [
        "layout": layout, "previous": ["kept_indices": [0, 3, 9, 17, 20]],
        "bookkeeping": ["text_tokens": [2, 3, 4]],
      ])
    #expect(reply.status == 200, "\(reply.text)")
    let kept = try #require(reply.integers("kept_indices"))
    let bookkeeping = try #require(reply.json["bookkeeping"]?.objectValue)
    #expect(bookkeeping["image_tokens"] == [3, 2])
    #expect(kept.count { $0 < 16 } == 3)
    #expect(bookkeeping["placeholder_spans"] == [[2, 3], [8, 2]])
    #expect(bookkeeping["position_ids"]?.arrayValue?.count == 3)
  }

  @Test("what cannot be done is refused by name")
  func refusals() throws {
    let attention = try row(Tensor.random([16], seed: 1).floats())
    let kept: JSONValue = ["kept_indices": [1, 2]]
    for (parameters, summary): (JSONObject, String) in [
      ([:], "422 invalid-input at /previous"),
      (["previous": ["kept_indices": [16]]], "422 invalid-input at /previous/kept_indices"),
      (["previous": kept, "max_swaps": -1], "422 invalid-input at /max_swaps"),
      (["previous": kept, "swap_margin": -0.5], "422 invalid-input at /swap_margin"),
      (["previous": kept, "prefill_weight": 2], "422 invalid-input at /prefill_weight"),
      (["previous": kept, "keep_tokens": 2], "422 unknown-parameter at /keep_tokens"),
      (["previous": kept, "max_swap": 2], "422 unknown-parameter at /max_swap"),
    ] {
      let reply = try send("/reselect", [("attention", attention)], parameters)
      #expect(reply.summary == summary, "\(reply.text)")
    }
  }
}
