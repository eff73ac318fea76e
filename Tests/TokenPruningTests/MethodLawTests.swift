import JSON
import Tensors
import Testing

@testable import PruningNumerics
@testable import TokenPruning
@testable import VisionLayouts

/// What holds for every registered method, whatever it computes.
@Suite struct MethodLawTests {
  static let names = MethodRegistry.standard.descriptors.map(\.name)
  private static let registry = MethodRegistry.standard
  /// The methods that claim a law.
  private static func claiming(_ property: MethodDescriptor.Property) -> [String] {
    registry.descriptors.filter { $0.properties.contains(property) }.map(\.name)
  }

  /// Methods that spread over the sequence by themselves, so that equal tokens are not kept from the front.
  static let spreading: Set = [
    "uniform", "random", "visionzip", "prumerge_plus", "tome", "vispruner", "sparsevlm_plus", "holov",
    "ivcprune", "vscan", "pool", "downsample",
  ]

  private func select(
    _ name: String, _ count: Int, from input: PruningInput, among candidates: [Int]? = nil, given: [Int] = []
  ) throws -> [Int] {
    try Self.registry.make(name, neededParameters(name)).select(
      SelectionTask(count: count, candidates: candidates ?? Array(0..<input.tokenCount), given: given),
      from: input)
  }

  @Test(
    "Exactly K different tokens in range, the same ones every time", arguments: names, [0, 1, 2, 7, 35, 36])
  func exactCount(_ name: String, _ count: Int) throws {
    let input = try makeInput(36)
    let kept = try select(name, count, from: input)
    #expect(kept.count == count && Set(kept).count == count)
    #expect(kept.allSatisfy { (0..<36).contains($0) })
    #expect(try select(name, count, from: input) == kept)
    if count == 36 { #expect(kept.sorted() == Array(0..<36)) }
  }

  @Test("One token, and a single row of width 1", arguments: names)
  func smallest(_ name: String) throws {
    #expect(try select(name, 1, from: makeInput(1, columns: 1)) == [0])
    #expect(try select(name, 0, from: makeInput(1, columns: 1)) == [])
  }

  @Test("Only candidates are chosen, and given tokens never again", arguments: names)
  func candidatesAndGiven(_ name: String) throws {
    let input = try makeInput(40)
    let given = [1, 8, 9, 30]
    let candidates = (0..<40).filter { $0 % 3 != 0 && !given.contains($0) }
    for count in [0, 1, 5, candidates.count] {
      let kept = try select(name, count, from: input, among: candidates, given: given)
      #expect(kept.count == count && Set(kept).isSubset(of: candidates) && Set(kept).count == count)
    }
  }

  @Test("A larger budget keeps what a smaller one kept", arguments: claiming(.nested))
  func nested(_ name: String) throws {
    let input = try makeInput(36)
    for count in 0..<35 {
      #expect(
        Set(try select(name, count, from: input)).isSubset(of: try select(name, count + 1, from: input)))
    }
  }

  @Test(
    "Scaling features or attention by a power of two changes nothing", arguments: claiming(.scaleInvariant),
    [Float(0.0625), 8, 0x1p60])
  func scaleInvariance(_ name: String, _ factor: Float) throws {
    let plain = try select(name, 12, from: makeInput(36))
    let scaled = try makeInput(36) { values in
      for key in ["image_features", "attention", "text_features"] {
        values[key] = values[key]?.map { $0 * factor }
      }
    }
    #expect(try select(name, 12, from: scaled) == plain)
  }

  @Test(
    "What says that it reads no values chooses the same ones, whatever tensors hold",
    arguments: registry.descriptors.filter { !$0.readsValues }.map(\.name))
  func blindness(_ name: String) throws {
    let plain = try select(name, 12, from: makeInput(36))
    let other = try makeInput(36) { values in
      for key in values.keys { values[key] = values[key]?.map { 3 - $0 * $0 } }
    }
    #expect(try select(name, 12, from: other) == plain)
  }

  @Test("Reordering the tokens reorders the choice", arguments: claiming(.orderEquivariant))
  func permutation(_ name: String) throws {
    let count = 30
    let columns = 24
    let order = (0..<count).map { ($0 * 7 + 3) % count }
    let plain = try makeInput(count, columns: columns)
    let moved = try makeInput(count, columns: columns) { values in
      let features = values["image_features"] ?? []
      let attention = values["attention"] ?? []
      values["image_features"] = order.flatMap { features[($0 * columns)..<(($0 + 1) * columns)] }
      values["attention"] = (0..<2).flatMap { head in order.map { attention[head * count + $0] } }
    }
    #expect(try select(name, 10, from: moved).map { order[$0] } == select(name, 10, from: plain))
  }

  @Test(
    "Constant features, attention and text still give K different tokens", arguments: names, [Float(0), 1])
  func constantInput(_ name: String, _ value: Float) throws {
    let input = try makeInput(25) { values in
      for key in values.keys { values[key] = values[key]?.map { _ in value } }
    }
    for count in [1, 5, 24] {
      let kept = try select(name, count, from: input)
      #expect(Set(kept).count == count)
      // Nothing tells the tokens apart but their index.
      if !Self.spreading.contains(name) { #expect(kept.sorted() == Array(0..<count)) }
    }
  }

  @Test("More tokens than the features have dimensions are kept without repeats", arguments: names)
  func rankDeficiency(_ name: String) throws {
    let kept = try select(name, 30, from: makeInput(36, columns: 3))
    #expect(Set(kept).count == 30)
  }

  @Test("NaN and infinity are rejected by tensor and element", arguments: names, [Float.nan, .infinity])
  func nonFinite(_ name: String, _ value: Float) throws {
    let descriptor = try Self.registry.type(named: name).descriptor
    for tensorName in descriptor.requiredInputs {
      let input = try makeInput(9, columns: 4) { $0[tensorName]?[3] = value }
      for count in [0, 4, 9] {
        let error = pruningError { _ = try select(name, count, from: input) }
        #expect(error?.pointer == tensorName)
        let position = tensorName == "text_features" ? "[3]" : "[0, 3]"
        #expect(error?.message.contains("element \(position) is not finite") == true)
      }
    }
  }

  @Test("A missing input is asked for by name", arguments: names)
  func missingInput(_ name: String) throws {
    let empty = PruningInput(tokenCount: 4, tensors: [:], layout: nil)
    let required = try Self.registry.type(named: name).descriptor.requiredInputs
    let error = pruningError { _ = try select(name, 2, from: empty) }
    // A method that takes one tensor or another asks for one of them.
    let asksForOne = error.map {
      try? Self.registry.type(named: name).descriptor.optionalInputs.contains($0.pointer)
    }
    #expect(error?.pointer == required.first || (required.isEmpty && asksForOne == true))
  }

  @Test(
    "Merging keeps the budget, gives every row its tokens, and never one token two rows", arguments: names,
    [0, 1, 2, 7, 20, 35, 36])
  func merging(_ name: String, _ count: Int) throws {
    let input = try makeInput(36)
    let merged = try Self.registry.make(name, neededParameters(name)).merge(count, of: input)
    #expect(merged.kept.count == count && Set(merged.kept).count == count)
    #expect(merged.kept.sorted() == (try select(name, count, from: input)).sorted())
    #expect(merged.features.rows == merged.sizes.count && merged.features.rows >= count)
    #expect(merged.features.columns == 24 && merged.features.values.allSatisfy(\.isFinite))
    for (row, token) in merged.kept.enumerated() { #expect(merged.assignments[token] == row) }
    var sizes = [Int](repeating: 0, count: merged.sizes.count)
    for case let row? in merged.assignments { sizes[row] += 1 }
    #expect(sizes == merged.sizes && !sizes.contains(0))
    if count == 36 { #expect(merged.features.rows == 36) }
    #expect(try Self.registry.make(name, neededParameters(name)).merge(count, of: input) == merged)
  }

  @Test("Every descriptor is complete", arguments: MethodRegistry.standard.descriptors)
  func descriptors(_ descriptor: MethodDescriptor) throws {
    #expect(!descriptor.summary.isEmpty && descriptor.name == descriptor.name.lowercased())
    #expect(descriptor.parameters.allSatisfy { !$0.summary.isEmpty })
    #expect(descriptor.budget.hasSuffix(".") && descriptor.budget.count >= 20)
    #expect(descriptor.deviations.allSatisfy { $0.hasSuffix(".") })
    #expect(Set(descriptor.parameters.map(\.name)).count == descriptor.parameters.count)
    // The defaults pass the method's own checks.
    _ = try Self.registry.make(descriptor.name)
  }

  @Test("An unknown method or parameter is answered with the nearest name")
  func typos() {
    let method = pruningError { _ = try Self.registry.make("divprun") }
    #expect(method?.kind == .unknownMethod && method?.message.contains("'divprune'") == true)
    let parameter = pruningError { _ = try Self.registry.make("cdpruner", ["relevance_wieght": 0.5]) }
    #expect(parameter?.pointer == "/method_parameters/relevance_wieght")
    #expect(parameter?.message.contains("'relevance_weight'") == true)
  }

  @Test("Uniform spreads over the grid in both directions")
  func uniformSpread() throws {
    let layout = TokenLayout(
      type: "grid", tokenCount: 576, views: [TokenView(firstToken: 0, rows: 24, columns: 24)])
    let input = PruningInput(tokenCount: 576, tensors: [:], layout: layout)
    let kept = try select("uniform", 36, from: input)
    #expect(Set(kept).count == 36)
    // Each quadrant of the image gets its share, within the curve's granularity.
    for (top, left) in [(0, 0), (0, 12), (12, 0), (12, 12)] {
      let inside = kept.filter {
        $0 / 24 >= top && $0 / 24 < top + 12 && $0 % 24 >= left && $0 % 24 < left + 12
      }
      #expect((8...10).contains(inside.count))
    }
  }

  @Test(
    "The Hilbert curve visits every cell once, moving to a neighbour each time", arguments: [1, 2, 4, 8, 32])
  func hilbert(_ side: Int) {
    let path = cells(HilbertCurve(rows: side, columns: side))
    #expect(Set(path).count == side * side)
    #expect(zip(path, path.dropFirst()).allSatisfy { abs($0[0] - $1[0]) + abs($0[1] - $1[1]) == 1 })
  }

  @Test(
    "On a grid that is no such square, the curve is that of the square without the cells outside",
    arguments: [(1, 1), (3, 3), (24, 24), (1, 40), (40, 1), (5, 17), (0, 3)])
  func hilbertInGrids(_ rows: Int, _ columns: Int) {
    var side = 1
    while side < max(rows, columns) { side *= 2 }
    let square = cells(HilbertCurve(rows: side, columns: side))
    #expect(
      cells(HilbertCurve(rows: rows, columns: columns)) == square.filter { $0[0] < rows && $0[1] < columns })
  }

  @Test("A grid of one row takes no longer than its cells")
  func hilbertInLines() {
    #expect(cells(HilbertCurve(rows: 1, columns: 1 << 16)).count == 1 << 16)
  }

  private func cells(_ curve: HilbertCurve) -> [[Int]] {
    var path: [[Int]] = []
    curve.forEachCell { row, column in path.append([row, column]) }
    return path
  }

  @Test("Random choices follow the seed")
  func random() throws {
    let first = try select("random", 10, from: makeInput(100, seed: 1))
    #expect(try select("random", 10, from: makeInput(100, seed: 2)) != first)
  }

  @Test("CDPruner's options change what is relevant")
  func conditionalOptions() throws {
    let input = try makeInput(36)
    let task = SelectionTask(count: 1, candidates: Array(0..<36))
    for (sign, expected) in [("negative", Relevance.Sign.negative), ("positive", .positive)] {
      let scores = try Relevance.cosines(of: input, sign: expected)
      for weight: JSONValue in [nil, 0.5] {
        let method = try Self.registry.make(
          "cdpruner", ["relevance_sign": .string(sign), "relevance_weight": weight])
        #expect(try method.select(task, from: input) == Ranking.highest(1, of: scores, among: Array(0..<36)))
      }
    }
    // Without weight on relevance every quality is 1, and the first of equals wins.
    let pure = try Self.registry.make("cdpruner", ["relevance_weight": 0])
    #expect(try pure.select(task, from: input) == [0])
  }

  @Test("Crop takes the best scorer its input allows")
  func cropScorers() throws {
    let full = try makeInput(16)
    func decided(_ names: [String], _ parameters: JSONObject = [:]) throws -> String {
      let input = PruningInput(
        tokenCount: 16, tensors: full.tensors.filter { names.contains($0.key) }, layout: nil)
      return type(of: try Self.registry.make("crop", parameters).resolved(for: input)).name
    }
    #expect(try decided(["attention", "image_features", "text_features"]) == "divprune")
    #expect(try decided(["image_features"]) == "divprune")
    #expect(try decided(["attention", "relevance_features", "text_features"]) == "topk")
    #expect(try decided([]) == "uniform")
    #expect(try decided(["attention", "image_features"], ["scorer": "attention"]) == "topk")
  }

  @Test("Where the policy multiplies scores, crop takes the best scorer that gives any")
  func cropScorersForBias() throws {
    let full = try makeInput(16)
    func decided(_ names: [String], _ parameters: JSONObject = [:]) throws(PruningError) -> String {
      let input = PruningInput(
        tokenCount: 16, tensors: full.tensors.filter { names.contains($0.key) }, layout: nil)
      let request = PruneRequest(
        method: "crop", methodParameters: parameters, budget: .keepTokens(4), regionTokens: [3, 4],
        policy: .bias(4))
      return try prune(input, request).decidedBy
    }
    #expect(try decided(["attention", "image_features", "text_features"]) == "topk")
    #expect(try decided(["image_features", "text_features"]) == "similarity")
    #expect(throws: PruningError.self) { try decided(["image_features"]) }
    #expect(throws: PruningError.self) {
      try decided(["image_features", "text_features"], ["scorer": "diversity"])
    }
  }
}
