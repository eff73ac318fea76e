import JSON
import Tensors
import Testing

@testable import PruningNumerics
@testable import TokenPruning
@testable import VisionLayouts

@Suite struct CompressTests {
  private let region = Array(12..<22)

  @Test(
    "The total is exact, parts never mix, and rows are the means of their tokens",
    arguments: AnchorStrategy.allCases, [1, 2, 7, 20, 35, 36])
  func laws(_ strategy: AnchorStrategy, _ count: Int) throws {
    let input = try makeInput(36)
    for region in [nil, region] where region == nil || count >= 2 {
      let result = try compress(
        input, CompressRequest(budget: .keepTokens(count), regionTokens: region, anchors: strategy))
      #expect(result.keptIndices.count == count && result.keptIndices.isStrictlyAscending)
      #expect(result.sizes.reduce(0, +) == 36 && result.sizes.allSatisfy { $0 > 0 })
      #expect(result.features.rows == count)
      for (row, anchor) in result.keptIndices.enumerated() { #expect(result.assignments[anchor] == row) }
      if let region {
        for (token, row) in result.assignments.enumerated() {
          #expect(region.contains(token) == region.contains(result.keptIndices[row]))
        }
      }
      #expect(meansAgree(result, try input.features()))
    }
  }

  private func meansAgree(_ result: CompressResult, _ features: Matrix) -> Bool {
    result.keptIndices.indices.allSatisfy { row in
      let members = result.assignments.indices.filter { result.assignments[$0] == row }
      return (0..<features.columns).allSatisfy { column in
        let mean = members.reduce(0.0) { $0 + Double(features[$1, column]) } / Double(members.count)
        return abs(Double(result.features[row, column]) - mean) <= 1e-6 && members.count == result.sizes[row]
      }
    }
  }

  @Test("Keeping every token changes nothing")
  func identity() throws {
    let input = try makeInput(9)
    let result = try compress(input, CompressRequest(budget: .keepRatio(1)))
    #expect(try result.features == input.features() && result.assignments == Array(0..<9))
  }

  @Test("Shares and ratios divide the rows, and the remainder goes to the other part")
  func split() throws {
    let input = try makeInput(36)
    func regionRows(_ budget: TokenBudget?, _ split: RegionSplit?) throws -> [Int] {
      let result = try compress(
        input, CompressRequest(budget: budget, regionTokens: region, split: split))
      return [result.regionRowCount ?? -1, result.keptIndices.count]
    }
    #expect(try regionRows(.keepTokens(12), .share(0.5)) == [6, 12])
    #expect(try regionRows(.keepTokens(12), nil) == [9, 12])
    #expect(try regionRows(.keepTokens(20), .share(0.75)) == [10, 20])
    #expect(try regionRows(.keepTokens(32), .share(0.1)) == [6, 32])
    // Neither part is left without a row.
    #expect(try regionRows(.keepTokens(8), .share(1)) == [7, 8])
    #expect(try regionRows(.keepTokens(8), .share(0)) == [1, 8])
    #expect(try regionRows(nil, .ratios(region: 0.8, background: 0.25)) == [8, 14])
    // 10 x 0.8 to 26 x 0.25 as 8 to 6.5, of 10 rows.
    #expect(try regionRows(.keepTokens(10), .ratios(region: 0.8, background: 0.25)) == [6, 10])
  }

  @Test("Fewer rows than parts, and none, are refused")
  func tooFew() throws {
    let input = try makeInput(36)
    for (count, region) in [(0, nil), (1, region)] as [(Int, [Int]?)] {
      let error = pruningError {
        _ = try compress(input, CompressRequest(budget: .keepTokens(count), regionTokens: region))
      }
      #expect(error?.pointer == "/keep_tokens")
    }
  }

  @Test("A degenerate region is noted and ignored", arguments: [[], Array(0..<36)])
  func degenerate(_ region: [Int]) throws {
    let result = try compress(makeInput(36), CompressRequest(budget: .keepTokens(4), regionTokens: region))
    #expect(result.notes.count == 1 && result.regionRowCount == nil)
  }

  @Test("Strided anchors are every step-th token of each part")
  func strided() throws {
    let result = try compress(
      makeInput(36),
      CompressRequest(budget: .keepTokens(8), regionTokens: region, split: .share(0.5), anchors: .strided))
    // Region 12..<22: step 2. Rest, 26 tokens: step 6.
    #expect(result.keptIndices == [0, 6, 12, 14, 16, 18, 22, 28])
  }

  @Test("Rows know where their anchors lie")
  func rowPositions() throws {
    let view = TokenView(firstToken: 1, rows: 2, columns: 3, rowStride: 4)
    let layout = TokenLayout(type: "llava_next", tokenCount: 9, views: [view])
    let features = try makeInput(9)
    let input = PruningInput(tokenCount: 9, tensors: features.tensors, layout: layout)
    let result = try compress(input, CompressRequest(budget: .keepTokens(9)))
    let expected: [TokenPosition?] = [
      nil, .init(view: 0, row: 0, column: 0), .init(view: 0, row: 0, column: 1),
    ]
    #expect(Array(result.rowPositions.prefix(3)) == expected)
    // Token 4 is the newline after the first row of three.
    #expect(result.rowPositions[4] == nil && result.rowPositions[5] == .init(view: 0, row: 1, column: 0))
  }

  @Test(
    "What is wrong is refused at its member",
    arguments: [
      ("/keep_tokens", [:]), ("/anchors", ["keep_tokens": 2, "anchors": "divers"]),
      ("/background_ratio", ["region_ratio": 0.5]), ("/region_ratio", ["background_ratio": 0.5]),
      (
        "/region_share",
        ["keep_tokens": 2, "region_share": 0.5, "region_ratio": 0.5, "background_ratio": 0.1]
      ),
      ("/region_ratio", ["region_ratio": 1.5, "background_ratio": 0.1]),
    ] as [(String, JSONObject)])
  func refuses(_ pointer: String, _ parameters: JSONObject) {
    #expect(pruningError { _ = try CompressRequest(parameters) }?.pointer == pointer)
  }
}
