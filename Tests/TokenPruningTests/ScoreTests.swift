import Foundation
import JSON
import Tensors
import Testing

@testable import Localization
@testable import PruningNumerics
@testable import TokenPruning
@testable import VisionLayouts

private func tensor(_ values: [Float], _ shape: [Int]) throws -> Tensor {
  try Tensor.float32(values, shape: Shape(shape))
}

private func input(_ tensors: [String: Tensor], tokens: Int) -> PruningInput {
  PruningInput(tokenCount: tokens, tensors: tensors, layout: nil)
}

private func error(_ body: () throws -> [Double]) -> PruningError? {
  do {
    _ = try body()
    return nil
  } catch { return error as? PruningError }
}

private func close(_ a: [Double], _ b: [Double], _ tolerance: Double = 1e-12) -> Bool {
  a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= tolerance }
}

extension SaliencyMap {
  fileprivate init(scores: [Double], layout: TokenLayout) {
    self.init(values: BlockResampler(layout).blocks(of: scores))
  }

  fileprivate subscript(row row: Int, column column: Int) -> Double { values[row * 8 + column] }
}

@Suite("Score maps")
struct ScoreTests {
  // MARK: The map

  @Test("24 x 24 tokens become the means of 3 x 3")
  func mapOfTokens() throws {
    let layout = try #require(TokenLayout.inferred(tokenCount: 576))
    let scores = (0..<576).map { token -> Double in
      let row = token / 24 / 3
      let column = token % 24 / 3
      return Double(row * 8 + column)
    }
    let map = SaliencyMap(scores: scores, layout: layout)
    #expect(close(map.values, (0..<64).map(Double.init)))
    #expect(close([map[row: 2, column: 5]], [21]))
  }

  @Test("cells that span blocks weigh by the area they share")
  func mapOfUnalignedTokens() {
    let layout = TokenLayout(
      type: "grid", tokenCount: 5, views: [TokenView(firstToken: 0, rows: 1, columns: 5)])
    let map = SaliencyMap(scores: [1, 2, 3, 4, 5], layout: layout)
    // Block 1 is 0.125...0.25: 0.075 of cell 0 and 0.05 of cell 1.
    let expected = (0.075 * 1 + 0.05 * 2) / 0.125
    #expect(close([map[row: 0, column: 1]], [expected]))
    #expect(close(Array(map.values[0..<8]), Array(map.values[56..<64])))
  }

  @Test("views are averaged by area, uncovered blocks are 0, padding does not count")
  func mapOfViews() throws {
    let views = [
      TokenView(firstToken: 0, rows: 1, columns: 1),
      TokenView(firstToken: 1, rows: 1, columns: 1, box: Box(x0: 0, y0: 0, x1: 0.5, y1: 1)),
    ]
    let both = SaliencyMap(
      scores: [1, 3], layout: TokenLayout(type: "tiles", tokenCount: 2, views: views))
    #expect(close([both[row: 3, column: 3], both[row: 3, column: 4]], [2, 1]))
    let tile = TokenLayout(type: "tiles", tokenCount: 2, views: [views[1]])
    #expect(SaliencyMap(scores: [1, 3], layout: tile)[row: 0, column: 4] == 0)
    let wide = try TokenLayout(["type": "llava", "image_size": [800, 400]], tokenCount: nil)
    let padded = SaliencyMap(scores: (0..<576).map { (6..<18).contains($0 / 24) ? 1 : 99 }, layout: wide)
    #expect(close(padded.values, Array(repeating: 1, count: 64)))
  }

  // MARK: Attention

  @Test("attention is averaged over heads and queries")
  func attentionIsAveraged() throws {
    for (values, shape) in [
      ([2, 4, 6], [3]), ([1, 3, 5, 3, 5, 7], [2, 3]), ([1, 3, 5, 3, 5, 7], [1, 2, 3]),
    ]
      as [([Float], [Int])]
    {
      let row = try input(["attention": tensor(values, shape)], tokens: 3).attentionScores()
      #expect(close(row, [2, 4, 6]))
    }
    let doubles = try Tensor.floatingPoint([2, 4, 6], shape: Shape([3]), as: .float64)
    #expect(try input(["attention": doubles], tokens: 3).attentionScores() == [2, 4, 6])
  }

  @Test("relative attention divides, with a floor of a hundredth of the reference's mean")
  func relativeAttention() throws {
    // Relative to the largest reference, 8: ratios times 8; the mean of the reference is 3.
    let row = try RelativeAttention.scores([2, 4, 6, 8], to: [1, 8, 3, 0])
    let floored: Double = 8 / 0.00375
    #expect(close(row, [16, 4, 16, floored], 1e-6))
  }

  @Test("attention that does not fit is refused")
  func wrongAttention() throws {
    func attempt(_ attention: Tensor?) -> PruningError? {
      error { try input(attention.map { ["attention": $0] } ?? [:], tokens: 3).attentionScores() }
    }
    func attempt(reference: [Double]) -> PruningError? {
      error { try RelativeAttention.scores([1, 2, 3], to: reference) }
    }
    #expect(attempt(nil)?.pointer == "attention")
    let short = try attempt(tensor([1, 2], [2]))
    #expect(short?.message.contains("[2]") == true && short?.message.contains("[heads, 3]") == true)
    #expect(try attempt(tensor([], [0, 3]))?.pointer == "attention")
    #expect(try attempt(tensor([1, 2, 3], [1, 1, 1, 3]))?.pointer == "attention")
    let notANumber = try attempt(tensor([1, 2, 3, 4, .nan, 6], [2, 3]))
    #expect(notANumber?.pointer == "attention")
    #expect(notANumber?.message.contains("element [1, 1]") == true)
    #expect(attempt(reference: [0, 0, 0])?.message.contains("zero everywhere") == true)
    #expect(attempt(reference: [1, -1, 0])?.message.contains("token 1") == true)
  }

  // MARK: Similarity

  @Test("similarity is the mean cosine, of a zero row 0")
  func similarity() throws {
    let given = try input(
      [
        "image_features": tensor([3, 4, 0, 0, -1e30, 0], [3, 2]),
        "text_features": tensor([2, 0, 0, 1e-30], [2, 2]),
      ], tokens: 3)
    let cosines = try Relevance.cosines(of: given, sign: .positive)
    #expect(close(cosines, [0.7, 0, -0.5]))
    #expect(SimilarityScores.saliency(cosines, sign: .positive, temperature: nil) == cosines)
    let negative = SimilarityScores.saliency(cosines, sign: .negative, temperature: nil)
    #expect(close(negative, [-0.7, 0, 0.5]))
    let soft = SimilarityScores.saliency(cosines, sign: .positive, temperature: 0.5)
    let powers: [Double] = [exp(1.4), 1, exp(-1)]
    #expect(close(soft, powers.map { $0 / (powers[0] + powers[1] + powers[2]) }))
    let sharp = SimilarityScores.saliency(cosines, sign: .positive, temperature: 0.0001)
    #expect(sharp == [1, 0, 0])
  }

  @Test("features that do not fit are refused")
  func wrongFeatures() throws {
    func attempt(_ image: Tensor, _ text: Tensor) -> PruningError? {
      error {
        let given = input(["image_features": image, "text_features": text], tokens: 2)
        return try Relevance.cosines(of: given, sign: .positive)
      }
    }
    let image = try tensor([1, 2, 3, 4], [2, 2])
    #expect(try attempt(tensor([1, 2], [2]), image)?.pointer == "image_features")
    #expect(try attempt(image, tensor([1, 2, 3], [3]))?.message.contains("has 3 columns") == true)
    #expect(try attempt(image, tensor([], [0, 2]))?.pointer == "text_features")
    let infinite = try attempt(image, tensor([1, .infinity], [2]))
    #expect(infinite?.pointer == "text_features" && infinite?.message.contains("not finite") == true)
  }

  // MARK: Query and key

  @Test("query and key give softmax(q . k / sqrt(d)), mean over heads, grouped where keys have fewer heads")
  func queryKey() throws {
    let keys: [Float] = [1, 0, 0, 1, 2, 0]
    let one = try input(["query": tensor([1, 1], [2]), "key": tensor(keys, [3, 2])], tokens: 3)
      .queryKeyAttention()
    let root = 2.0.squareRoot()
    let powers: [Double] = [exp(1 / root), exp(1 / root), exp(root)]
    let sum = powers.reduce(0, +)
    let expected = powers.map { $0 / sum }
    #expect(close(one, expected))
    // Four query heads over two key heads: heads 0 and 1 read keys, heads 2 and 3 read zeros.
    let grouped = try input(
      [
        "query": tensor([1, 1, 1, 1, 5, 5, 7, 7], [4, 2]),
        "key": tensor(keys + [0, 0, 0, 0, 0, 0], [2, 3, 2]),
      ], tokens: 3
    ).queryKeyAttention()
    #expect(close(grouped, expected.map { $0 / 2 + 1.0 / 6 }))
  }

  @Test("queries and keys that do not fit are refused")
  func wrongQueryKey() throws {
    func attempt(_ query: Tensor, _ key: Tensor) -> PruningError? {
      error { try input(["query": query, "key": key], tokens: 2).queryKeyAttention() }
    }
    let key = try tensor([1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2])
    #expect(
      try attempt(tensor([1, 2, 3, 4, 5, 6], [3, 2]), key)?.message.contains("multiple of the 2") == true)
    #expect(try attempt(tensor([1, 2, 3], [3]), key)?.pointer == "query")
    #expect(try attempt(tensor([1, 2], [2]), tensor([1, 2, 3], [3, 1]))?.pointer == "key")
    let huge = try Tensor.floatingPoint([1, 1], shape: Shape([2]), as: .float64)
    var bytes: [UInt8] = []
    for _ in 0..<4 { withUnsafeBytes(of: 1.7e308) { bytes += Array($0) } }
    let keys = try Tensor(elementType: .float64, shape: Shape([2, 2]), bytes: bytes[...])
    #expect(attempt(huge, keys)?.pointer == "key")
  }
}
