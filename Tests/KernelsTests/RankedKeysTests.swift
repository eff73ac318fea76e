import Testing

@testable import Kernels

/// The order of scores against a full sort, over distributions that divide well and badly.
@Suite("Ranked keys") struct RankedKeysTests {
  enum Distribution: CaseIterable {
    case uniform, signed, fewValues, manyOctaves, zeros, outliers, equal
  }

  private struct Numbers {
    var state: UInt64

    mutating func next() -> Double {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Double(state >> 11) * 0x1p-53
    }

    mutating func score(_ distribution: Distribution) -> Double {
      switch distribution {
      case .uniform: next()
      case .signed: 2 * next() - 1
      case .fewValues: (7 * next()).rounded() - 3
      case .manyOctaves:
        Double(
          sign: next() < 0.5 ? .plus : .minus, exponent: Int(2000 * next()) - 1000, significand: 1 + next())
      case .zeros: next() < 0.5 ? 0.0 : -0.0
      case .outliers: next() < 0.03 ? 1e300 : 1 + next() * 1e-12
      case .equal: 0.25
      }
    }
  }

  private static func byFullSort(_ count: Int, _ scores: [Double], _ candidates: [Int]) -> [Int] {
    let sorted = candidates.sorted { a, b in scores[a] != scores[b] ? scores[a] > scores[b] : a < b }
    return Array(sorted.prefix(count))
  }

  @Test(
    "the highest scores are those of a full sort, ties to the lower index", arguments: Distribution.allCases)
  func fullSort(_ distribution: Distribution) {
    var numbers = Numbers(state: 7)
    for round in 0..<120 {
      let size = 1 + Int(numbers.next() * (round % 10 == 0 ? 3000 : 150))
      let scores = (0..<size).map { _ in numbers.score(distribution) }
      var candidates = (0..<size).filter { _ in round % 3 == 0 || numbers.next() < 0.7 }
      if round % 5 == 0 { candidates.reverse() }
      let count = round % 7 == 0 ? candidates.count : Int(numbers.next() * Double(candidates.count + 1))
      let expected = Self.byFullSort(count, scores, candidates)
      let highest = RankedKeys.highest(count, of: scores, among: candidates)
      let ascending = RankedKeys.highestAscending(count, of: scores, among: candidates)
      if highest != expected || ascending != expected.sorted() {
        Issue.record("\(count) of \(candidates.count), round \(round)")
        return
      }
    }
  }

  @Test("infinite scores come first and last")
  func infinities() {
    let scores = [1, -.infinity, 3, .infinity, -.greatestFiniteMagnitude, .infinity] as [Double]
    #expect(RankedKeys.highest(6, of: scores, among: Array(0..<6)) == [3, 5, 2, 0, 4, 1])
  }

  @Test("a quarter of a million scores")
  func many() {
    var numbers = Numbers(state: 1)
    let scores = (0..<262_144).map { _ in numbers.score(.uniform) * numbers.score(.uniform) }
    let highest = RankedKeys.highest(200_000, of: scores, among: Array(0..<262_144))
    let isOrdered = zip(highest, highest.dropFirst()).allSatisfy { a, b in
      scores[a] > scores[b] || (scores[a] == scores[b] && a < b)
    }
    #expect(isOrdered)
    #expect(RankedKeys.highestAscending(200_000, of: scores, among: Array(0..<262_144)) == highest.sorted())
  }
}
