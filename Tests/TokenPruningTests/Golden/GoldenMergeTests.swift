import JSON
import Testing

@testable import PruningNumerics
@testable import TokenPruning
@testable import VisionLayouts

/// Merging into given anchors against the independent float64 reference.
@Suite struct GoldenMergeTests {
  @Test("Tokens join the anchors the golden case names", arguments: try GoldenCase.all(of: ["merge"]))
  func merges(_ golden: GoldenCase) throws {
    let input = PruningInput(tokenCount: golden.tokenCount, tensors: golden.tensors, layout: nil)
    let features = try input.features()
    let anchors = try #require(golden.expectedIndices("kept_indices"))
    let parts = try parts(of: golden)
    let merge = try TokenMerge(
      space: CosineSpace(features), parts: parts,
      anchors: parts.map { part in anchors.filter(part.contains) })

    #expect(merge.anchors == anchors)
    #expect(merge.assignments == golden.expectedIndices("assignments"))
    #expect(merge.sizes == golden.expectedIndices("sizes"))
    let rows = try #require(golden.expected["features"]?.arrayValue)
    let means = merge.means(of: features)
    for (row, expected) in rows.enumerated() {
      for (column, value) in try #require(expected.arrayValue).enumerated() {
        #expect(abs(Double(means[row, column]) - (value.doubleValue ?? .nan)) <= 1e-6)
      }
    }
  }

  @Test("Anchors chosen by diversity are those of the golden case")
  func diversityAnchors() throws {
    let golden = try #require(try GoldenCase.all(of: ["merge"]).first { $0.name == "anchors_64" })
    let input = PruningInput(tokenCount: golden.tokenCount, tensors: golden.tensors, layout: nil)
    let result = try compress(
      input, CompressRequest(["keep_tokens": golden.parameters["keep_tokens"] ?? nil]))
    #expect(result.keptIndices == golden.expectedIndices("kept_indices"))
    #expect(result.assignments == golden.expectedIndices("assignments"))
  }

  /// The cases with a region lie on an 8 x 8 grid, one token per block.
  private func parts(of golden: GoldenCase) throws -> [[Int]] {
    let everything = Array(0..<golden.tokenCount)
    guard let blocks = golden.parameters["region"]?.objectValue?["blocks"]?.arrayValue else {
      return [everything]
    }
    let region = try #require(BlockRegion(inclusive: blocks.compactMap(\.integerValue)))
    func isInside(_ token: Int) -> Bool {
      region.rows.contains(token / 8) && region.columns.contains(token % 8)
    }
    return [everything.filter(isInside), everything.filter { !isInside($0) }]
  }
}
