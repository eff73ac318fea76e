import JSON
import TensorFormats
import Tensors
import Testing

@testable import PruningService
@testable import TokenPruning

@Suite("Methods compared on one image")
struct CompareTests {
  private let service = TestService()

  private func body(_ methods: JSONValue, _ others: JSONObject = ["keep_tokens": 9]) throws -> Body {
    var parameters = others
    parameters["methods"] = methods
    parameters["layout"] = parameters["layout"] ?? ["type": "grid", "rows": 8, "columns": 8]
    return Body(
      [
        ("attention", try .random([3, 64], seed: 1)), ("image_features", try .random([64, 6], seed: 2)),
        ("text_features", try .random([6], seed: 3)),
      ], parameters)
  }

  private func entries(_ reply: Reply) throws -> [JSONObject] {
    try #require(reply.json["methods"]?.arrayValue, "\(reply.text)").map { try #require($0.objectValue) }
  }

  @Test("each method keeps what it keeps alone, whatever stands beside it")
  func sameAsAlone() throws {
    let names = MethodRegistry.standard.descriptors.map(\.name)
    let compared = try body(.array(names.map { .string($0) }))
    let reply = try service.send("POST /compare", body: compared.safetensors())
    let entries = try entries(reply)
    #expect(entries.count == names.count && names.count <= CompareOperation.maximumMethods)
    var answered = 0
    for (name, entry) in zip(names, entries) {
      var alone = compared
      alone.parameters["methods"] = nil
      alone.parameters["method"] = .string(name)
      let single = try service.send("POST /prune", body: alone.safetensors())
      #expect(entry["method"] == .string(name))
      if single.status == 200 {
        answered += 1
        #expect(entry["kept_indices"] == single.json["kept_indices"] && entry["problem"] == nil, "\(name)")
        #expect(entry["decided_by"] == single.json["decided_by"])
      } else {
        let problem = try #require(entry["problem"]?.objectValue, "\(name)")
        for member in ["type", "title", "status", "detail", "pointer"] {
          #expect(problem[member] == single.json[member], "\(name) \(member)")
        }
        #expect(entry["kept_indices"] == nil)
      }
      #expect(entry["milliseconds"]?.doubleValue ?? -1 >= 0)
    }
    #expect(answered > 15 && answered < names.count)
  }

  @Test("overlap is the Jaccard index of each pair, one with itself, null beside a method without an answer")
  func overlap() throws {
    let reply = try service.send(
      "POST /compare", body: try body(["topk", "divprune", "ivcprune", "uniform"]).safetensors())
    let entries = try entries(reply)
    let rows = try #require(reply.json["overlap"]?.arrayValue).map { $0.arrayValue ?? [] }
    let kept = entries.map { entry in
      (entry["kept_indices"]?.arrayValue).map { Set($0.compactMap(\.integerValue)) }
    }
    #expect(kept[2] == nil)
    for (first, row) in zip(kept, rows) {
      for (second, value) in zip(kept, row) {
        guard let first, let second else {
          #expect(value == .null)
          continue
        }
        let share = Double(first.intersection(second).count) / Double(first.union(second).count)
        #expect(abs((value.doubleValue ?? -1) - share) <= 0.00005)
      }
    }
  }

  @Test("the region measures all methods and shapes crop's choice alone, unless a policy is named")
  func region() throws {
    let others: JSONObject = ["keep_tokens": 9, "region": ["blocks": [0, 0, 1, 1]]]
    let plain = try service.send("POST /compare", body: try body(["crop", "topk"], others).safetensors())
    let entries = try entries(plain)
    #expect(plain.json["region"]?.objectValue?["region_tokens"] == 4)
    #expect(entries[0]["in_region"] == 4 && entries[0]["region_share"] == 0.4444)
    let topk = try #require(entries[1]["kept_indices"]?.arrayValue).compactMap(\.integerValue)
    #expect(entries[1]["in_region"] == .integer(topk.count { [0, 1, 8, 9].contains($0) }))
    var named = others
    named["region_policy"] = "first"
    let forced = try service.send("POST /compare", body: try body(["crop", "topk"], named).safetensors())
    #expect(try self.entries(forced)[1]["in_region"] == 4)
    let none = try service.send(
      "POST /compare", body: try body(["topk"], ["keep_tokens": 9, "localize": false]).safetensors())
    #expect(none.json["region"] == nil)
    #expect(try self.entries(none)[0]["in_region"] == nil)
  }

  @Test("spread is one where all tokens stay, zero where one does, and null without places")
  func spread() throws {
    for (others, expected) in [
      (["keep_tokens": 64], 1.0), (["keep_tokens": 1], 0.0),
      (["keep_tokens": 9, "layout": ["type": "raw", "tokens": 64]], nil),
    ] as [(JSONObject, Double?)] {
      let reply = try service.send("POST /compare", body: try body(["topk"], others).safetensors())
      #expect(try entries(reply)[0]["spread"]?.doubleValue == expected)
    }
  }

  @Test("parameters of a method are its own, and the same method may stand twice")
  func parameters() throws {
    let methods: JSONValue = [
      ["method": "vispruner", "method_parameters": ["important_ratio": 0]],
      ["method": "vispruner", "method_parameters": ["important_ratio": 1]], ["method": "vispruner"],
      ["method": "vispruner", "method_parameters": ["important_ratio": 7]],
    ]
    let entries = try entries(try service.send("POST /compare", body: try body(methods).json()))
    #expect(
      entries[0]["method_parameters"] == ["important_ratio": 0] && entries[2]["method_parameters"] == nil)
    #expect(entries[0]["kept_indices"] != entries[1]["kept_indices"])
    #expect(entries[3]["problem"]?.objectValue?["status"] == 422)
  }

  @Test("the picture has a figure for each method, with the reason where there is none")
  func picture() throws {
    let body = try body(["topk", "divprune", "ivcprune"])
    let reply = try service.send("POST /compare", ["Accept: image/svg+xml"], body: body.safetensors())
    #expect(reply.field("Content-Type") == "image/svg+xml")
    #expect(reply.text.contains("<title>crop: 3 methods on 64 tokens</title>"))
    #expect(reply.text.contains("9 of 64 tokens (14.1 %)") && reply.text.contains("cannot run: value_states"))
    let again = try service.send("POST /compare", ["Accept: image/*"], body: body.safetensors())
    #expect(again.body == reply.body)
    for (accept, type) in [
      ("*/*", "application/json"), ("image/svg+xml;q=0.1, */*;q=0.2", "application/json"),
      ("application/json;q=0, */*", "image/svg+xml"), ("text/plain", "application/json"),
    ] {
      let other = try service.send("POST /compare", ["Accept: \(accept)"], body: body.safetensors())
      #expect(other.field("Content-Type") == type, "\(accept)")
    }
  }

  @Test("names may come in the query string, with commas between")
  func query() throws {
    let npy = Body([("image_features", try .random([64, 6], seed: 2))])
    let reply = try service.send("POST /compare?methods=divprune,uniform&keep_tokens=5", body: try npy.npy())
    #expect(try entries(reply).map { $0["method"] } == ["divprune", "uniform"])
  }

  @Test("what cannot be compared is refused, and says where")
  func refusals() throws {
    let many = JSONValue.array([JSONValue](repeating: "topk", count: CompareOperation.maximumMethods + 1))
    for (methods, others, expected) in [
      (.null, ["keep_tokens": 9], "422 invalid-input at /methods"),
      ([], ["keep_tokens": 9], "422 invalid-input at /methods"),
      (many, ["keep_tokens": 9], "422 invalid-input at /methods"),
      (7, ["keep_tokens": 9], "422 invalid-input at /methods"),
      (["topk", 7], ["keep_tokens": 9], "422 invalid-input at /methods/1"),
      (["topk", "fast"], ["keep_tokens": 9], "422 unknown-method at /methods/1"),
      ([["method": "topk", "keep_tokens": 3]], ["keep_tokens": 9], "422 unknown-parameter at /methods/0"),
      (
        [["method": "topk", "method_parameters": 3]], ["keep_tokens": 9],
        "422 invalid-input at /methods/0/method_parameters"
      ),
      (["topk"], ["keep_tokens": 9, "method": "topk"], "422 unknown-parameter at /method"),
      (["topk"], ["keep_tokens": 9, "explain": true], "422 unknown-parameter at /explain"),
      (
        ["topk"], ["keep_tokens": 9, "region": ["blocks": [9, 9, 9, 9]]],
        "422 invalid-input at /region/blocks"
      ),
    ] as [(JSONValue, JSONObject, String)] {
      let reply = try service.send("POST /compare", body: try body(methods, others).json())
      #expect(reply.summary == expected, "\(methods) \(others): \(reply.text)")
    }
    let batch = Body(
      [("attention", try .random([2, 64], seed: 1))],
      ["methods": ["topk"], "keep_tokens": 3, "batched": true])
    #expect(
      try service.send("POST /compare", body: batch.safetensors()).summary == "422 invalid-input at /batched")
  }

  @Test("a comparison whose time is over is given up as a whole")
  func overdue() throws {
    let features = Body(
      [("image_features", try .random([2_880, 512], seed: 2))],
      [
        "methods": .array([JSONValue](repeating: "divprune", count: 2) + ["uniform"]), "keep_tokens": 160,
      ])
    let document = try SafetensorsFormat.decode(
      features.safetensors()[...], DecodingHints(parameterNames: ["methods", "keep_tokens"]))
    let error = #expect(throws: Problem.self) {
      try CompareOperation.run(document, isOverdue: { true })
    }
    #expect(error?.slug == "compute-timeout")
  }
}
