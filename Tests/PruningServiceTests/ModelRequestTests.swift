import HTTP1
import JSON
import TensorFormats
import Tensors
import Testing

@testable import LearnedNetworks
@testable import Localization
@testable import PruningNumerics
@testable import PruningService
@testable import TokenPruning
@testable import VisionLayouts

@Suite("Requests that name a learned model")
struct ModelRequestTests {
  private let store: ModelStore
  private let service: TestService

  init() throws {
    store = ModelStore(try ModelFiles.set())
    service = TestService(Service.Configuration(models: store))
  }

  private func localize(_ options: String, width: Int = 24, textWidth: Int = 20) throws -> Reply {
    let body = Body(
      [
        ("image_features", try .random([64, width], seed: 1)),
        ("text_features", try .random([textWidth], seed: 2)),
      ])
    return try service.send(
      "POST /localize?localize=\(options)",
      ["Content-Type: application/x-safetensors", "Accept: application/json"],
      body: body.safetensors())
  }

  private func compress(_ parameters: JSONObject, width: Int = 20, tokens: Int = 64) throws -> Reply {
    var parameters = parameters
    parameters["mode"] = parameters["mode"] ?? "resampler"
    let body = Body([("image_features", try .random([tokens, width], seed: 3))], parameters)
    return try service.send(
      "POST /compress", ["Content-Type: application/x-safetensors", "Accept: application/json"],
      body: body.safetensors())
  }

  @Test("a model's name alone means source model")
  func byName() throws {
    let named = try localize("{%22model%22:%22question%22,%22minimum_contrast%22:0}")
    #expect(named.status == 200 && named.json["source"] == "model" && named.json["model"] == "question")
    let spelled = try localize(
      "{%22source%22:%22model%22,%22model%22:%22question%22,%22minimum_contrast%22:0}")
    #expect(spelled.json == named.json)
  }

  @Test("models never decide unasked")
  func unasked() throws {
    let reply = try localize("{}", width: 20)
    #expect(reply.json["source"] == "similarity" && reply.json["model"] == nil)
  }

  @Test(
    "what cannot be is refused where it is said",
    arguments: [
      ("{%22source%22:%22model%22}", 24, "/localize/model", "there are several; available: question, wide"),
      (
        "{%22model%22:%22oracle%22}", 24, "/localize/model",
        "no localizer 'oracle'; available: question, wide"
      ),
      (
        "{%22model%22:%22queries%22}", 24, "/localize/model",
        "'queries' is a resampler; available: question, wide"
      ),
      (
        "{%22model%22:%22question%22}", 25, "image_features",
        "rows of 25 numbers; this model reads [N, D] with rows of 24"
      ),
      (
        "{%22source%22:%22similarity%22,%22model%22:%22question%22}", 24, "/localize/model",
        "only applies to source 'model'"
      ),
    ])
  func refusals(options: String, width: Int, pointer: String, message: String) throws {
    let reply = try localize(options, width: width)
    #expect(reply.summary == "422 invalid-input at \(pointer)")
    #expect(reply.json["detail"]?.stringValue?.contains(message) == true, "\(reply.text)")
  }

  @Test("without models the answer says how to load some")
  func none() throws {
    store.replace(with: ModelSet())
    let reply = try localize("{%22source%22:%22model%22}")
    #expect(reply.summary == "422 invalid-input at /localize/model")
    #expect(reply.json["detail"] == "no localizer is loaded (--models)")
    #expect(try service.send("GET /models").json["models"] == [])
  }

  @Test("a single model of its kind is the default")
  func single() throws {
    let set = try ModelFiles.set()
    store.replace(with: ModelSet(Dictionary(uniqueKeysWithValues: set.all.filter { $0.name != "few" })))
    #expect(try compress(["keep_tokens": 12]).json["model"] == "queries")
  }

  @Test(
    "a resampler makes exactly the rows asked for",
    arguments: [
      (["keep_tokens": 12], 3, 9, 0), (["keep_tokens": 1], 0, 1, 0), (["keep_ratio": 0.25], 4, 12, 0),
      (["keep_tokens": 12, "anchor_share": 1], 11, 1, 0), (["keep_tokens": 12, "anchor_share": 0], 0, 12, 0),
      (["keep_tokens": 64], 64, 0, 0),
      (["keep_tokens": 8, "region": ["blocks": [0, 0, 3, 3]]], 2, 4, 2),
      (["region_ratio": 1, "background_ratio": 0.125, "region": ["blocks": [0, 0, 1, 1]]], 6, 0, 6),
    ] as [(JSONObject, Int, Int, Int)])
  func rows(parameters: JSONObject, anchors: Int, region: Int, background: Int) throws {
    var parameters = parameters
    parameters["model"] = "queries"
    let reply = try compress(parameters)
    #expect(reply.status == 200, "\(reply.text)")
    #expect(reply.integers("kept_indices")?.count == anchors)
    #expect(
      reply.json["learned_rows"]
        == ["region": .integer(region), "background": .integer(background)])
    let total = anchors + region + background
    #expect(reply.json["keep_tokens"] == .integer(total))
    #expect(reply.integers("sizes")?.reduce(0, +) == 64 && reply.integers("sizes")?.count == total)
    #expect(reply.json["features"]?.objectValue?["shape"] == [.integer(total), 20])
  }

  @Test(
    "what a resampler cannot do is refused where it is said",
    arguments: [
      (
        ["keep_tokens": 20], 20, "/keep_tokens",
        "15 learned rows in the region, but model 'queries' has at most 12"
      ),
      (
        ["keep_tokens": 8], 19, "image_features",
        "rows of 19 numbers; model 'queries' reads [N, D] with D = 20"
      ),
      (["keep_tokens": 8, "anchor_share": 1.5], 20, "/anchor_share", "must lie in 0.0...1.0"),
      (["keep_tokens": 8, "model": "wide"], 20, "/model", "'wide' is a localizer; available: few, queries"),
      (["keep_tokens": 8, "mode": "merge"], 20, "/model", "only applies to mode 'resampler', not 'merge'"),
      (["keep_tokens": 8, "mode": "magic"], 20, "/mode", "must be 'merge' or 'resampler'"),
    ] as [(JSONObject, Int, String, String)])
  func impossible(parameters: JSONObject, width: Int, pointer: String, message: String) throws {
    var parameters = parameters
    parameters["model"] = parameters["model"] ?? "queries"
    let reply = try compress(parameters, width: width)
    #expect(reply.summary == "422 invalid-input at \(pointer)")
    #expect(reply.json["detail"]?.stringValue?.contains(message) == true, "\(reply.text)")
  }

  @Test("a resampler must know where tokens lie")
  func layout() throws {
    let reply = try compress(["keep_tokens": 8, "model": "queries"], tokens: 60)
    #expect(reply.summary == "422 invalid-input at /layout")
  }

  @Test("models read one image at a time, of a layout with several as of a batch")
  func images() throws {
    let joint = Body(
      [("image_features", try .random([32, 20], seed: 3))],
      [
        "mode": "resampler", "model": "queries", "keep_tokens": 8,
        "layout": ["type": "qwen2_vl", "grid_thw": [[1, 8, 8], [1, 8, 8]]],
      ])
    let together = try service.send(
      "POST /compress", ["Accept: application/json"], body: joint.safetensors())
    let list = Body(
      [("image_features", try .random([2, 16, 20], seed: 3))],
      [
        "mode": "resampler", "model": "queries", "keep_tokens": 8,
        "layout": ["type": "qwen2_vl", "grid_thw": [1, 8, 8]],
      ])
    let apart = try service.send("POST /compress", ["Accept: application/json"], body: list.safetensors())
    #expect(together.json["image_rows"] == [8, 8], "\(together.text)")
    let kept = try #require(apart.json["kept_indices"]?.arrayValue).map { $0.arrayValue ?? [] }
    let second = kept[1].compactMap(\.integerValue).map { JSONValue.integer($0 + 16) }
    #expect(together.json["kept_indices"]?.arrayValue == kept[0] + second)
    let features = try Tensor.random([2, 64, 20], seed: 3)
    let batch = Body(
      [("image_features", features)], ["mode": "resampler", "model": "queries", "keep_tokens": 8])
    let reply = try service.send(
      "POST /compress", ["Content-Type: application/x-safetensors", "Accept: application/json"],
      body: batch.safetensors())
    #expect(reply.status == 200 && reply.json["keep_tokens"] == [8, 8])
    #expect(reply.json["model"] == "queries")
  }

  @Test("anchors pass through unchanged, in the element type asked for")
  func anchors() throws {
    let body = Body(
      [("image_features", try .random([64, 20], seed: 3))],
      ["mode": "resampler", "model": "queries", "keep_tokens": 12, "dtype": "F64"])
    let document = try SafetensorsFormat.decode(body.safetensors()[...], DecodingHints())
    let answer = try Operation.compress.run(document, models: store.current)
    let features = answer.samples[0].tensors[0].tensor
    let given = try Tensor.random([64, 20], seed: 3)
    #expect(features.elementType == .float64)
    for (row, anchor) in try #require(answer.json["kept_indices"]?.arrayValue).enumerated() {
      #expect(features[row].doubles() == given[try #require(anchor.integerValue)].doubles())
    }
  }

  @Test("a model that was replaced answers no more, and who holds it keeps it")
  func replacement() throws {
    let held = store.current
    store.replace(with: ModelSet())
    #expect(try compress(["keep_tokens": 12, "model": "queries"]).status == 422)
    #expect(held.count == 4)
  }

  @Test("a network's work is counted, and given up when nobody waits")
  func work() throws {
    let models = store.current
    let features = try Tensor.random([64, 24], seed: 1)
    func attempt(_ limit: StepLimit) -> PruningError? {
      do throws(PruningError) {
        let layout = TokenLayout.inferred(tokenCount: 64)
        let text = try? Tensor.random([3, 20], seed: 2)
        let input = PruningInput(
          tokenCount: 64, tensors: ["image_features": features, "text_features": text ?? features],
          layout: layout, stepLimit: limit)
        _ = try TokenPruning.localize(input, LocalizationOptions(["model": "question"]), models)
        return nil
      } catch {
        return error
      }
    }
    #expect(attempt(StepLimit(PruningInput.standardStepLimit)) == nil)
    let refused = attempt(StepLimit(100_000))
    #expect(refused?.pointer == "image_features")
    #expect(refused?.message.contains("running this model") == true)
  }
}
