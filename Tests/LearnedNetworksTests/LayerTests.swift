import Foundation
import Testing

@testable import LearnedNetworks
@testable import PruningNumerics
@testable import VisionLayouts

@Suite("Layers of the learned networks")
struct LayerTests {
  @Test("the tanh formula of GELU agrees with the C library, and large inputs are themselves or 0")
  func gelu() {
    for x in stride(from: -12.0, through: 12, by: 0.0625) {
      let u = 0.7978845608028654 * (x + 0.044715 * x * x * x)
      #expect(abs(Reference.gelu(x) - x / 2 * (1 + tanh(u))) <= 4e-16 * max(abs(x), 1))
    }
    #expect(Reference.gelu(1e80) == 1e80 && Reference.gelu(-1e80) == 0)
    #expect(Reference.gelu(1e300) == 1e300 && Reference.gelu(-1e300) == 0)
    #expect(sigmoid(-1e300) == 0 && sigmoid(1e300) == 1 && sigmoid(0) == 0.5)
  }

  @Test("a normalised row has mean 0 and variance 1 before gain and bias; a constant row becomes the bias")
  func layerNorm() throws {
    var numbers = TestNumbers(5)
    var steps = StepCounter(limit: .unlimited)
    let plain = LayerNorm(gain: Array(repeating: 1, count: 64), bias: Array(repeating: 0, count: 64))
    let row = try plain(FloatRows(rows: 1, columns: 64, values: numbers.floats(64)), &steps).values
    #expect(abs(row.reduce(0, +)) < 1e-5)
    #expect(abs(row.reduce(0) { $0 + $1 * $1 } / 64 - 1) < 1e-3)
    let own = LayerNorm(gain: numbers.floats(64), bias: numbers.floats(64))
    let constant = FloatRows(rows: 1, columns: 64, values: Array(repeating: 3e38, count: 64))
    #expect(try own(constant, &steps).values == own.bias)
  }

  @Test("sines and cosines of a position are the C library's")
  func positions() throws {
    let layout = try #require(TokenLayout.inferred(tokenCount: 9))
    let encoded = PositionEncoding(width: 12).rows(for: [1, 8], in: layout)
    for (row, point) in [(0, (0.5, 1 / 6.0)), (1, (5 / 6.0, 5 / 6.0))] {
      let found = Reference.rows(encoded)[row]
      for (index, frequency) in [Double.pi, 8 * .pi, 64 * .pi].enumerated() {
        #expect(abs(found[index] - sin(frequency * point.0)) < 1e-7)
        #expect(abs(found[3 + index] - cos(frequency * point.0)) < 1e-7)
        #expect(abs(found[6 + index] - sin(frequency * point.1)) < 1e-7)
        #expect(abs(found[9 + index] - cos(frequency * point.1)) < 1e-7)
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
    let encoded = PositionEncoding(width: 8).rows(for: [0, 2], in: layout)
    #expect(encoded.row(0).allSatisfy { $0 == 0 } && encoded.row(1).contains { $0 != 0 })
  }
}
