import JSON
import Tensors
import Testing

@testable import LearnedNetworks
@testable import PruningNumerics
@testable import VisionLayouts

/// The networks against their equations in float64, over shapes that take every order of attention's products.
@Suite("Learned networks in float32")
struct FloatNetworkTests {
  private static func linear(_ inputs: Int, _ outputs: Int, _ numbers: inout TestNumbers) -> LinearLayer {
    let scale = 1 / Float(inputs).squareRoot()
    let weight = numbers.floats(inputs * outputs).map { $0 * scale * 1.7 }
    return LinearLayer(
      weight: Matrix(rows: outputs, columns: inputs, values: weight), bias: numbers.floats(outputs))
  }

  private static func norm(_ width: Int, _ numbers: inout TestNumbers) -> LayerNorm {
    LayerNorm(gain: numbers.floats(width).map { 1 + $0 / 4 }, bias: numbers.floats(width))
  }

  private static func attention(_ width: Int, heads: Int, outputs: Int, _ numbers: inout TestNumbers)
    -> CrossAttention
  {
    CrossAttention(
      heads: heads, queryNorm: norm(width, &numbers), keyNorm: norm(width, &numbers),
      query: linear(width, width, &numbers), key: linear(width, width, &numbers),
      value: linear(width, width, &numbers), output: linear(width, outputs, &numbers))
  }

  private static func rows(_ count: Int, _ columns: Int, _ numbers: inout TestNumbers) -> FloatRows {
    FloatRows(rows: count, columns: columns, values: numbers.floats(count * columns))
  }

  private static func expectClose(
    _ found: [Float], _ expected: [Double], within limit: Double
  ) {
    #expect(found.count == expected.count)
    let worst = zip(found, expected).map { abs(Double($0) - $1) }.max() ?? 0
    #expect(worst <= limit)
  }

  @Test(
    "attention agrees with float64, whichever order of products is the shortest",
    arguments: [
      (1, 1, CrossAttention.Order.direct), (3, 200, .fewReaders), (200, 3, .fewSources), (97, 130, .direct),
      (1, 300, .fewReaders), (193, 1, .fewSources), (40, 40, .direct),
    ])
  func attention(readers: Int, sources: Int, order: CrossAttention.Order) throws {
    var numbers = TestNumbers(UInt64(readers * 1000 + sources))
    let layer = Self.attention(24, heads: 3, outputs: 20, &numbers)
    let (x, y) = (Self.rows(readers, 24, &numbers), Self.rows(sources, 24, &numbers))
    if sources + readers > 2 {
      #expect(layer.order(readers: readers, sources: sources) == order)
    }
    var steps = StepCounter(limit: .unlimited)
    let found = try layer(x, to: y, &steps)
    let expected = Reference.apply(layer, to: Reference.rows(x), reading: Reference.rows(y))
    Self.expectClose(found.values, expected.flatMap(\.self), within: 1e-5)
  }

  @Test(
    "positions reach the keys and not the values, and mean weights are those of float64",
    arguments: [2, 130])
  func context(readers: Int) throws {
    var numbers = TestNumbers(UInt64(readers))
    let layer = Self.attention(16, heads: 2, outputs: 16, &numbers)
    let (x, y, slots) = (
      Self.rows(readers, 16, &numbers), Self.rows(150, 16, &numbers), Self.rows(150, 16, &numbers)
    )
    #expect(layer.order(readers: readers, sources: 150) == (readers == 2 ? .fewReaders : .direct))
    var steps = StepCounter(limit: .unlimited)
    let found = try layer.context(of: x, from: y, positions: slots, withWeights: true, &steps)
    let expected = Reference.context(
      layer, of: Reference.rows(x), from: Reference.rows(y), positions: Reference.rows(slots))
    Self.expectClose(try #require(found.meanWeights).values, expected.weights.flatMap(\.self), within: 1e-6)
    Self.expectClose(found.rows.values, expected.rows.flatMap(\.self), within: 1e-5)
  }

  @Test("a row's result does not depend on the rows beside it", arguments: [1, 5, 95, 96, 97, 200])
  func groups(count: Int) throws {
    var numbers = TestNumbers(UInt64(count))
    let layer = Self.linear(19, 6, &numbers)
    let feed = FeedForward(
      norm: Self.norm(19, &numbers), hidden: Self.linear(19, 50, &numbers),
      output: Self.linear(50, 19, &numbers))
    let rows = Self.rows(count, 19, &numbers)
    var steps = StepCounter(limit: .unlimited)
    let together = try layer(rows, &steps)
    var fed = rows
    try feed.add(to: &fed, &steps)
    for row in 0..<count {
      var alone = FloatRows(rows: 1, columns: 19, values: Array(rows.row(row)))
      #expect(try layer(alone, &steps).values == Array(together.row(row)))
      try feed.add(to: &alone, &steps)
      #expect(alone.values == Array(fed.row(row)))
    }
    let plain = Reference.rows(rows)
    Self.expectClose(together.values, Reference.apply(layer, to: plain).flatMap(\.self), within: 1e-6)
    let expected = Reference.sum(plain, Reference.apply(feed, to: plain))
    Self.expectClose(fed.values, expected.flatMap(\.self), within: 1e-5)
  }

  @Test("overflow is noticed wherever it stands", arguments: [1, 7, 8, 9, 30])
  func overflow(count: Int) {
    for value: Float in [.infinity, -.infinity, .nan] {
      for slot in 0..<count {
        var rows = FloatRows(zeros: 1, count)
        #expect(!rows.hasOverflowed)
        rows.values[slot] = value
        #expect(rows.hasOverflowed)
      }
    }
    let largest = FloatRows(
      rows: 1, columns: count, values: Array(repeating: .greatestFiniteMagnitude, count: count))
    #expect(!largest.hasOverflowed)
  }

  // MARK: Whole models

  private static func localizer(_ change: (String, inout [Float]) -> Void = { _, _ in })
    throws -> LocalizerModel
  {
    var numbers = TestNumbers(3)
    var tensors: [String: Tensor] = [:]
    func add(_ name: String, _ dimensions: [Int], gain: Float = 1) throws {
      let fan = Float(dimensions.last ?? 1)
      var values = numbers.floats(dimensions.reduce(1, *)).map { $0 * gain / fan.squareRoot() }
      if name.hasSuffix("norm.weight") { values = values.map { 1 + $0 } }
      change(name, &values)
      tensors[name] = try Tensor.float32(values, shape: Shape(dimensions))
    }
    func linear(_ name: String, _ inputs: Int, _ outputs: Int) throws {
      try add("\(name).weight", [outputs, inputs], gain: 1.7)
      try add("\(name).bias", [outputs])
    }
    func norm(_ name: String, _ width: Int) throws {
      try add("\(name).weight", [width])
      try add("\(name).bias", [width])
    }
    let (image, text, width, hidden) = (40, 12, 32, 24)
    for (name, inputs) in [("image", image), ("text", text)] {
      try norm("\(name).norm", inputs)
      try linear("\(name).projection", inputs, width)
    }
    try add("text.null", [width])
    for block in ["blocks.0", "blocks.1"] {
      for kind in ["gather", "attend"] {
        for part in ["query_norm", "key_norm"] { try norm("\(block).\(kind).\(part)", width) }
        for part in ["query", "key", "value", "output"] {
          try linear("\(block).\(kind).\(part)", width, width)
        }
      }
      try norm("\(block).mlp.norm", width)
      try linear("\(block).mlp.hidden", width, hidden)
      try linear("\(block).mlp.output", hidden, width)
    }
    for part in ["image", "text"] {
      try norm("head.\(part)_norm", width)
      try linear("head.\(part)", width, width)
    }
    try linear("head.score", width, 1)
    let configuration: JSONObject = [
      "kind": "localizer", "version": 1, "image_width": .integer(image), "text_width": .integer(text),
      "width": .integer(width), "heads": 4, "layers": 2, "mlp_width": .integer(hidden), "grid": [8, 8],
      "position": "sine",
    ]
    var remaining = ModelTensors(tensors)
    return try LocalizerModel(try ModelConfiguration(configuration), &remaining)
  }

  /// Features, a question, and where the tokens lie.
  private struct Image {
    let features: Matrix
    let question: Matrix
    let layout: TokenLayout

    func scores(_ model: LocalizerModel, limit: StepLimit = .unlimited) throws -> [Double] {
      try model.scores(of: features, askedBy: question, in: layout, limit)
    }
  }

  private static func image(
    tokens: Int, texts: Int, scale: Float = 1, offset: Float = 0
  ) throws -> Image {
    var numbers = TestNumbers(UInt64(tokens + texts))
    func matrix(_ rows: Int, _ columns: Int) -> Matrix {
      let values = numbers.floats(rows * columns).map { $0 * scale + offset }
      return Matrix(rows: rows, columns: columns, values: values)
    }
    let (features, question) = (matrix(tokens, 40), matrix(texts, 12))
    return Image(
      features: features, question: question,
      layout: try #require(TokenLayout.inferred(tokenCount: tokens)))
  }

  @Test(
    "scores agree with float64 within 1e-5, for features of any scale",
    arguments: [(64, 1), (100, 9), (81, 100), (121, 2)], [(1, 0), (1e-3, 0), (1e30, 1e30), (1, 1000)])
  func scores(size: (tokens: Int, texts: Int), features: (scale: Float, offset: Float)) throws {
    let model = try Self.localizer()
    let image = try Self.image(
      tokens: size.tokens, texts: size.texts, scale: features.scale, offset: features.offset)
    let found = try image.scores(model)
    let expected = Reference.scores(model, image.features, image.question, image.layout)
    Self.expectClose(found.map { Float($0) }, expected, within: 1e-5)
    #expect(Set(expected).count > 60)
    #expect(try image.scores(model) == found)
  }

  @Test(
    "where a sum goes beyond float32 the request is rejected",
    arguments: [
      "image.projection.weight", "blocks.0.gather.query.weight", "blocks.0.mlp.hidden.weight",
      "blocks.1.mlp.output.weight", "head.text.weight",
    ])
  func overflow(name: String) throws {
    let model = try Self.localizer { tensor, values in
      if tensor == name { values = values.map { $0 * 1e38 * 3 } }
    }
    #expect(throws: FloatRows.overflow) { try Self.image(tokens: 64, texts: 3).scores(model) }
  }

  @Test("the work counted for a request does not depend on chance, and too much is refused")
  func limit() throws {
    let model = try Self.localizer()
    let image = try Self.image(tokens: 400, texts: 9)
    func isRefused(_ steps: Int) -> Bool {
      (try? image.scores(model, limit: StepLimit(steps))) == nil
    }
    #expect(isRefused(20_000) && !isRefused(20_000_000))
  }
}
