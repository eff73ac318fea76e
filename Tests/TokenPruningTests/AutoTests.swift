import JSON
import Tensors
import Testing

@testable import PruningNumerics
@testable import TokenPruning
@testable import VisionLayouts

@Suite("method auto chooses by what was sent, and says why")
struct AutoTests {
  private func input(
    _ tensors: [(name: String, shape: [Int])], layout: TokenLayout? = nil, tokens: Int = 36
  ) throws -> PruningInput {
    var numbers = TestNumbers(5)
    var made: [String: Tensor] = [:]
    for (name, shape) in tensors {
      made[name] = try floatTensor(numbers.floats(shape.reduce(1, *)).map { abs($0) }, shape)
    }
    return PruningInput(tokenCount: tokens, tensors: made, layout: layout)
  }

  private static let features = (name: "image_features", shape: [36, 8])
  private static let attention = (name: "attention", shape: [2, 36])
  private static let text = (name: "text_features", shape: [3, 8])
  private static let relevance = (name: "relevance_features", shape: [36, 4])

  @Test("each kind of request has its method")
  func branches() throws {
    let video = try TokenLayout(["type": "video", "frames": 4, "rows": 3, "columns": 3], tokenCount: 36)
    let cases: [(tensors: [(name: String, shape: [Int])], layout: TokenLayout?, method: String)] = [
      ([], nil, "uniform"),
      ([Self.attention], nil, "topk"),
      ([Self.features], nil, "divprune"),
      ([Self.features, Self.attention], nil, "scope"),
      ([Self.features, Self.text], nil, "mmtok"),
      ([Self.features, Self.attention, Self.text], nil, "mmtok"),
      // Text of another width is for a learned localizer, and says nothing of these features.
      ([Self.features, ("text_features", [3, 5])], nil, "divprune"),
      ([Self.features, Self.relevance, ("text_features", [3, 4])], nil, "cdpruner"),
      ([Self.features], video, "vidcom2"),
      ([Self.features, Self.text, Self.attention], video, "vidcom2"),
      ([Self.attention], video, "topk"),
      ([("pixel_values", [72, 6])], nil, "pixelprune"),
      ([("pixel_values", [72, 6]), Self.features], nil, "divprune"),
      ([("value_states", [40, 4])], nil, "ivcprune"),
      ([("hidden_states", [40, 4]), ("query_weight", [4, 4]), ("key_weight", [4, 4])], nil, "uniform"),
    ]
    for test in cases {
      let input = try input(test.tensors, layout: test.layout)
      let result = try prune(input, PruneRequest(method: "auto", budget: .keepTokens(9)))
      let sent = test.tensors.map(\.name).joined(separator: ", ")
      #expect(result.decidedBy == test.method, "\(sent)")
      #expect(result.kept.count == 9)
      let reason = try #require(result.reason)
      #expect(reason.contains(": \(test.method) ") && reason.hasSuffix("."), "\(reason)")
      let named = try prune(input, PruneRequest(method: test.method, budget: .keepTokens(9)))
      #expect(result.kept == named.kept && named.reason == nil)
    }
  }

  @Test("numbers never matter, only what was sent and its shape", arguments: 1...8)
  func numbersDoNotMatter(_ seed: UInt64) throws {
    let input = try makeInput(36, seed: seed)
    let auto = try MethodRegistry.standard.make("auto")
    #expect(try auto.resolved(for: input).decidingName == "mmtok")
  }

  /// A method that nobody knows, for requests with attention and features.
  private struct Newcomer: ScoringMethod {
    static let descriptor = MethodDescriptor(
      name: "newcomer", summary: "A newer one.",
      facts: MethodFacts(
        .encoder, isQuestionAware: false, cost: "O(N)",
        automatic: AutomaticUse(.image, ["image_features", "attention"], retained: 0.99, "is newer")))

    init(_ parameters: Parameters) {}

    func scores(of input: PruningInput) -> [Double] { (0..<input.tokenCount).map { Double($0) } }
  }

  @Test("a method that is registered with a better figure is chosen, with nothing else to edit")
  func newcomers() throws {
    let registry = MethodRegistry([SCOPE.self, Newcomer.self, HoloV.self, DivPrune.self])
    let auto = Auto(among: registry)
    let both = try input([Self.features, Self.attention])
    #expect(try auto.resolved(for: both).decidingName == "newcomer")
    #expect(
      try auto.reason(for: both) == "There is neither a video nor comparable text: newcomer is newer.")
    #expect(try auto.resolved(for: input([Self.features])).decidingName == "divprune")
    // Nothing fits: said, not guessed.
    #expect(pruningError { _ = try auto.resolved(for: input([])) }?.pointer == "/method")
  }

  @Test("with several images, stages and earlier requests the choice is that of the tensors each sees")
  func combinations() throws {
    let layout = try TokenLayout(
      ["type": "qwen2_vl", "grid_thw": [[1, 6, 6], [1, 6, 6]]], tokenCount: nil)
    let two = try input(
      [("image_features", [18, 8]), ("attention", [18])], layout: layout, tokens: 18)
    let result = try prune(two, PruneRequest(method: "auto", budget: .keepTokens(3), scope: .image))
    #expect(result.decidedBy == "scope" && result.kept.count == 6)
    #expect(result.reason?.contains(": scope ") == true)
    let pooled = try prune(
      try input([("attention", [18])], layout: layout, tokens: 18),
      PruneRequest(method: "auto", budget: .keepTokens(6), scope: .request))
    #expect(pooled.decidedBy == "topk" && pooled.reason?.contains(": topk ") == true)
    let left = PruningInput(
      tokenCount: 18, tensors: two.tensors, layout: nil, previous: Array(stride(from: 0, to: 18, by: 2)))
    let later = try prune(left, PruneRequest(method: "auto", budget: .keepTokens(4)))
    #expect(later.decidedBy == "scope" && later.kept.allSatisfy { $0 % 2 == 0 })
    let merged = try compress(
      try input([Self.features, Self.attention]),
      CompressRequest(["method": "auto", "keep_tokens": 9], regionTokens: nil))
    #expect(merged.choice?.method == "scope" && merged.keptIndices.count == 9)
  }

  @Test(
    "what a descriptor says of exact counts is what the method does",
    arguments: MethodRegistry.standard.descriptors)
  func exactness(_ descriptor: MethodDescriptor) throws {
    #expect(try !MethodRegistry.standard.make(descriptor.name).mayKeepFewer)
    var inexact: Set<String> = []
    for parameter in descriptor.parameters {
      let values: [JSONValue] =
        switch parameter.kind {
        case .boolean: [true, false]
        case .choice(let names): names.map { .string($0) }
        case .number(let range): [.number(min(max(1, range.lowerBound), range.upperBound))]
        case .integer(let range): [.integer(range.lowerBound)]
        }
      for value in values {
        let method = try? MethodRegistry.standard.make(descriptor.name, [parameter.name: value])
        if method?.mayKeepFewer == true { inexact.insert(parameter.name) }
      }
    }
    let stated = descriptor.facts.inexactParameter
    // Of several, the first is enough to know.
    #expect(
      stated == nil ? inexact.isEmpty : inexact.contains(stated ?? ""), "\(descriptor.name): \(inexact)")
    #expect(
      descriptor.facts.automatic?.inputs.allSatisfy {
        descriptor.requiredInputs.contains($0) || descriptor.optionalInputs.contains($0)
      } ?? true)
  }
}
