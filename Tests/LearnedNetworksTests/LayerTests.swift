import Foundation
import Testing

@testable import LearnedNetworks
@testable import PruningNumerics
@testable import VisionLayouts

@Suite("Layers of the learned networks")
struct LayerTests {
  private func matrix(_ rows: Int, _ columns: Int, _ numbers: inout TestNumbers) -> Matrix {
    Matrix(rows: rows, columns: columns, values: numbers.floats(rows * columns))
  }

  private func activations(_ rows: Int, _ columns: Int, _ numbers: inout TestNumbers) -> Activations {
    Activations(matrix(rows, columns, &numbers))
  }

  private func linear(_ inputs: Int, _ outputs: Int, _ numbers: inout TestNumbers) -> LinearLayer {
    LinearLayer(weight: matrix(outputs, inputs, &numbers), bias: numbers.floats(outputs))
  }

  private func norm(_ width: Int, _ numbers: inout TestNumbers) -> LayerNorm {
    LayerNorm(gain: numbers.floats(width), bias: numbers.floats(width))
  }

  @Test("the tanh formula of GELU agrees with the C library, and large inputs are themselves or 0")
  func gelu() {
    for x in stride(from: -12.0, through: 12, by: 0.0625) {
      let u = 0.7978845608028654 * (x + 0.044715 * x * x * x)
      #expect(abs(FeedForward.gelu(x) - x / 2 * (1 + tanh(u))) <= 4e-16 * max(abs(x), 1))
    }
    #expect(FeedForward.gelu(1e80) == 1e80 && FeedForward.gelu(-1e80) == 0)
    #expect(FeedForward.gelu(1e300) == 1e300 && FeedForward.gelu(-1e300) == 0)
    #expect(sigmoid(-1e300) == 0 && sigmoid(1e300) == 1 && sigmoid(0) == 0.5)
  }

  @Test(
    "a row's result does not depend on the rows beside it",
    arguments: [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33])
  func groups(count: Int) throws {
    var numbers = TestNumbers(UInt64(count))
    let layer = linear(19, 6, &numbers)
    let feed = FeedForward(
      norm: norm(19, &numbers), hidden: linear(19, 11, &numbers), output: linear(11, 19, &numbers))
    let rows = activations(count, 19, &numbers)
    var steps = StepCounter(limit: .unlimited)
    let together = try layer(rows, &steps)
    let fed = try feed(rows, &steps)
    for row in 0..<count {
      let alone = Activations(rows: 1, columns: 19, values: Array(rows.row(row)))
      #expect(try layer(alone, &steps).values == Array(together.row(row)))
      #expect(try feed(alone, &steps).values == Array(fed.row(row)))
      for output in 0..<6 {
        let exact = (0..<19).reduce(Double(layer.bias[output])) {
          $0 + Double(layer.weight(output: output, input: $1)) * rows[row, $1]
        }
        #expect(abs(together[row, output] - exact) <= 1e-13)
      }
    }
  }

  @Test("a normalised row has mean 0 and variance 1 before gain and bias; a constant row becomes the bias")
  func layerNorm() throws {
    var numbers = TestNumbers(5)
    var steps = StepCounter(limit: .unlimited)
    let plain = LayerNorm(gain: Array(repeating: 1, count: 64), bias: Array(repeating: 0, count: 64))
    let row = try plain(activations(1, 64, &numbers), &steps).values
    #expect(abs(row.reduce(0, +)) < 1e-12)
    #expect(abs(row.reduce(0) { $0 + $1 * $1 } / 64 - 1) < 1e-3)
    let own = norm(64, &numbers)
    let constant = try own(
      Activations(rows: 1, columns: 64, values: Array(repeating: Double(Float(3e38)), count: 64)), &steps)
    #expect(constant.values == own.bias.map { Double($0) })
  }

  @Test("attention of a query is the mean of the values by weights that sum to 1")
  func attention() throws {
    var numbers = TestNumbers(9)
    let layer = CrossAttention(
      heads: 2, queryNorm: norm(8, &numbers), keyNorm: norm(8, &numbers), query: linear(8, 8, &numbers),
      key: linear(8, 8, &numbers), value: linear(8, 8, &numbers), output: linear(8, 5, &numbers))
    var steps = StepCounter(limit: .unlimited)
    let memory = try layer.memory(of: activations(7, 8, &numbers), &steps)
    let queries = try layer.queries(activations(3, 8, &numbers), &steps)
    var context = Activations(zeros: 3, 8)
    for row in 0..<3 {
      var weights = [Double](repeating: 9, count: 7)
      layer.attend(row, of: queries, to: memory, meanWeights: &weights, into: &context)
      #expect(abs(weights.reduce(0, +) - 1) < 1e-14 && weights.allSatisfy { $0 > 0 })
      for column in 0..<8 {
        let column7 = (0..<7).map { memory.values[$0, column] }
        #expect(context[row, column] >= (column7.min() ?? 0) && context[row, column] <= (column7.max() ?? 0))
      }
    }
  }

  @Test("sines and cosines of a position are the C library's")
  func positions() throws {
    let layout = try #require(TokenLayout.inferred(tokenCount: 9))
    let rows = PositionEncoding(width: 12).activations(for: [1, 8], in: layout)
    #expect(
      PositionEncoding(width: 12).rows(for: [1, 8], in: layout).values == rows.values.map { Float($0) })
    for (row, point) in [(0, (0.5, 1 / 6.0)), (1, (5 / 6.0, 5 / 6.0))] {
      for (index, frequency) in [Double.pi, 8 * .pi, 64 * .pi].enumerated() {
        #expect(abs(rows[row, index] - sin(frequency * point.0)) < 1e-12)
        #expect(abs(rows[row, 3 + index] - cos(frequency * point.0)) < 1e-12)
        #expect(abs(rows[row, 6 + index] - sin(frequency * point.1)) < 1e-12)
        #expect(abs(rows[row, 9 + index] - cos(frequency * point.1)) < 1e-12)
      }
    }
  }

  @Test("only what a cell shows of the image counts, and what shows nothing has no place")
  func slots() {
    let view = TokenView(firstToken: 1, rows: 2, columns: 4, box: Box(x0: -0.5, y0: 0, x1: 1.5, y1: 1))
    let layout = TokenLayout(type: "test", tokenCount: 9, views: [view])
    let centres = layout.visibleCentres()
    #expect(centres[0] == nil && centres[1] == nil && centres[4] == nil)
    #expect(centres[2].map { [$0.x, $0.y] } == [0.25, 0.25])
    let off = TokenView(firstToken: 0, rows: 1, columns: 3, box: Box(x0: -0.25, y0: 0, x1: 1.25, y1: 1))
    let half = TokenLayout(type: "test", tokenCount: 3, views: [off]).visibleCentres()
    #expect(half.map { $0?.x ?? -1 } == [0.125, 0.5, 0.875])
    let encoded = PositionEncoding(width: 8).activations(for: [0, 2], in: layout)
    #expect(encoded.row(0).allSatisfy { $0 == 0 } && encoded.row(1).contains { $0 != 0 })
  }
}
