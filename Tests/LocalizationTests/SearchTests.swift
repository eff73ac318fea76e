import Testing

@testable import Localization
@testable import PruningNumerics
@testable import VisionLayouts

private func randomMap(_ numbers: inout SeededGenerator) -> [Double] {
  (0..<64).map { _ in numbers.unit() * 3 - 1 }
}

/// Few different values, so that rectangles tie.
private func coarseMap(_ numbers: inout SeededGenerator) -> [Double] {
  (0..<64).map { _ in Double(Int.random(in: 0...2, using: &numbers)) }
}

private func inside(_ region: BlockRegion) -> [Int] {
  region.rows.flatMap { row in region.columns.map { row * 8 + $0 } }
}

private func intersectionOverUnion(_ a: BlockRegion, _ b: BlockRegion) -> Double {
  let shared = Set(inside(a)).intersection(inside(b)).count
  return Double(shared) / Double(a.blockCount + b.blockCount - shared)
}

@Suite("Rectangle search")
struct SearchTests {
  @Test("there are 1,296 rectangles, by area, then top-left, each once")
  func allRectangles() {
    #expect(BlockRegion.all.count == 1_296)
    #expect(Set(BlockRegion.all).count == 1_296)
    #expect(BlockRegion.all.first?.inclusive == [0, 0, 0, 0])
    #expect(BlockRegion.all.last?.isWholeImage == true)
    #expect(zip(BlockRegion.all, BlockRegion.all.dropFirst()).allSatisfy { $0.blockCount <= $1.blockCount })
  }

  @Test("an integral image's sums are the plain sums, and additive over a cut")
  func integralImage() {
    var numbers = SeededGenerator(seed: 7)
    for _ in 0..<5 {
      let mass = BlockMass(randomMap(&numbers))
      for region in BlockRegion.all {
        #expect(mass.sum(region) == inside(region).reduce(0) { $0 + mass.values[$1] })
        guard region.columns.count > 1 else { continue }
        let cut = region.columns.lowerBound + 1
        let left = BlockRegion(columns: region.columns.lowerBound..<cut, rows: region.rows)
        let right = BlockRegion(columns: cut..<region.columns.upperBound, rows: region.rows)
        #expect(mass.sum(region) == mass.sum(left) + mass.sum(right))
      }
      #expect(mass.total == mass.values.reduce(0, +))
    }
  }

  @Test("the whole numbers stand for the map within one part in 2^40 of its largest value")
  func blockMassPrecision() {
    var numbers = SeededGenerator(seed: 8)
    let map = randomMap(&numbers)
    let mass = BlockMass(map)
    let largest = map.map(abs).max() ?? 0
    for (value, whole) in zip(map, mass.values) {
      #expect(abs(Double(whole) * mass.unit - value) <= largest * 0x1p-40)
    }
    #expect(BlockMass([Double](repeating: 0, count: 64)).total == 0)
    #expect(BlockMass([Double](repeating: Double.leastNonzeroMagnitude, count: 64)).total == 0)
  }

  /// The best rectangle by plain sums over all rectangles: a second way to the same answer.
  private func bruteForce(_ map: [Double], _ value: (_ sum: Int, _ total: Int, _ area: Int) -> Double?)
    -> BlockRegion?
  {
    let whole = BlockMass(map).values
    let total = whole.reduce(0, +)
    var best: (value: Double, region: BlockRegion)?
    for region in BlockRegion.all {
      let sum = inside(region).reduce(0) { $0 + whole[$1] }
      guard let found = value(sum, total, region.blockCount), found > best?.value ?? 0 else { continue }
      best = (found, region)
    }
    return best?.region
  }

  @Test("the search finds what brute force finds, ties included")
  func searchIsExhaustive() {
    var numbers = SeededGenerator(seed: 9)
    for round in 0..<30 {
      let map = round % 2 == 0 ? randomMap(&numbers) : coarseMap(&numbers)
      let separation = bruteForce(map) { sum, total, area in
        area == 64
          ? nil
          : Double(64 * sum - area * total) / Double(area * (64 - area))
            * (Double(area * (64 - area)) / 64).squareRoot()
      }
      #expect(RectangleSearch.best(map, .separation)?.region == separation)
      let flatContrast = bruteForce(map) { sum, total, area in
        area == 64 ? nil : Double(64 * sum - area * total) / Double(area * (64 - area))
      }
      #expect(RectangleSearch.best(map, .contrast(areaPower: 0))?.region == flatContrast)
      let lowest = map.min() ?? 0
      let share = Double(round + 1) / 30
      let above = map.map { $0 - lowest }
      // Smaller areas first, then more mass: one number orders both.
      let covering = bruteForce(above) { sum, total, area in
        Double(sum) >= share * Double(total)
          ? Double(64 - area) + 0.5 * Double(sum) / Double(total) + 0.1 : nil
      }
      #expect(RectangleSearch.best(map, .coverage(share: share, .minimum))?.region == covering)
    }
  }

  @Test("every rectangle but the whole is what separates its own map best")
  func everyRectangleIsFound() {
    for region in BlockRegion.all where !region.isWholeImage {
      var map = [Double](repeating: 0.25, count: 64)
      for block in inside(region) { map[block] = 0.75 }
      #expect(RectangleSearch.best(map, .separation)?.region == region)
    }
  }

  @Test("whole numbers are the nearest, ties to even")
  func nearestIntegers() {
    var numbers = SeededGenerator(seed: 10)
    let scales: [Double] = [1, 8, 0x1p20, 0x1p40, 0x1p50]
    for scale in scales {
      for _ in 0..<200 {
        let value = (numbers.unit() * 2 - 1) * scale
        #expect(BlockMass.nearestInteger(value) == Int(value.rounded(.toNearestOrEven)))
        let half = value.rounded(.down) + 0.5
        #expect(BlockMass.nearestInteger(half) == Int(half.rounded(.toNearestOrEven)))
      }
    }
    #expect(BlockMass.nearestInteger(-0.0) == 0)
  }

  @Test("a score beyond the limit is found wherever it stands")
  func limits() {
    for count in 0...9 {
      let scores = (0..<count).map { Double($0) - 4 }
      #expect(Localization.areWithin(5, scores))
      for slot in 0..<count {
        for wrong in [5.5, -5.5, .infinity, -.infinity, .nan] {
          var other = scores
          other[slot] = wrong
          #expect(!Localization.areWithin(5, other))
        }
      }
    }
  }

  @Test("blocks are what cells add to them one by one, to the last bit")
  func blocksByCells() {
    var numbers = SeededGenerator(seed: 11)
    let boxes = [Box.unit, Box(x0: -0.2, y0: 0, x1: 1.2, y1: 1), Box(x0: 0.1, y0: 0.3, x1: 0.62, y1: 0.9)]
    for (rows, columns) in [(24, 24), (1, 1), (3, 5), (8, 8), (17, 31), (2, 64)] {
      for box in boxes {
        let view = TokenView(firstToken: 2, rows: rows, columns: columns, rowStride: columns + 1, box: box)
        let layout = TokenLayout(
          type: "test", tokenCount: view.endToken + 1, views: [view], imageSize: nil)
        let scores = (0..<layout.tokenCount).map { _ in numbers.unit() * 3 - 1 }
        #expect(BlockResampler(layout).blocks(of: scores) == Self.blocks(of: scores, view))
      }
    }
  }

  /// The same as ``BlockResampler``, cell by cell.
  private static func blocks(of scores: [Double], _ view: TokenView) -> [Double] {
    func shares(_ cell: Int, _ count: Int, _ start: Double, _ end: Double) -> [(cell: Int, share: Double)] {
      let low = max(start + (end - start) * (Double(cell) / Double(count)), 0)
      let high = min(start + (end - start) * (Double(cell + 1) / Double(count)), 1)
      return low < high ? AxisCells(start: 0, end: 1, count: 8).shares(of: low, to: high) : []
    }
    var sums = [Double](repeating: 0, count: 64)
    var weights = sums
    for row in 0..<view.rows {
      var rowSums = [Double](repeating: 0, count: 8)
      var rowWeights = rowSums
      for column in 0..<view.columns {
        for (block, width) in shares(column, view.columns, view.box.x0, view.box.x1) {
          rowSums[block] += scores[view.token(row: row, column: column)] * width
          rowWeights[block] += width
        }
      }
      for (block, height) in shares(row, view.rows, view.box.y0, view.box.y1) {
        for column in 0..<8 {
          sums[block * 8 + column] += rowSums[column] * height
          weights[block * 8 + column] += rowWeights[column] * height
        }
      }
    }
    return zip(sums, weights).map { $1 > 0 ? $0 / $1 : 0 }
  }

  @Test("ties go to the smaller area, then to the upper, then the left")
  func ties() {
    var map = [Double](repeating: 0, count: 64)
    map[9] = 1
    map[14] = 1
    map[49] = 1
    let one = RectangleSearch.best(map, .coverage(share: 0.3, .minimum))
    #expect(one?.region.inclusive == [1, 1, 1, 1])
    #expect(one?.score == 1.0 / 3)
    #expect(RectangleSearch.best(map, .contrast(areaPower: 0))?.region.inclusive == [1, 1, 1, 1])
    // A cross of equal blocks: the row and the column tie, the column starts higher.
    var cross = [Double](repeating: 0, count: 64)
    for i in 2...4 {
      cross[3 * 8 + i] = 1
      cross[i * 8 + 3] = 1
    }
    #expect(RectangleSearch.best(cross, .coverage(share: 0.6, .minimum))?.region.inclusive == [3, 2, 3, 4])
  }

  @Test("constant maps have no best rectangle")
  func constantMaps() {
    for value in [0, 0.1, -3, 1e300, Double.leastNonzeroMagnitude] {
      let map = [Double](repeating: value, count: 64)
      #expect(RectangleSearch.best(map, .separation) == nil)
      #expect(RectangleSearch.best(map, .contrast(areaPower: 0.5)) == nil)
      #expect(RectangleSearch.best(map, .coverage(share: 0.5, .minimum)) == nil)
      #expect(FlatMapTest.standardisedContrast(map, independentValues: 576).contrast == 0)
    }
  }

  /// Exponential noise of mean 1 on 24 x 24 tokens, with a rectangle of blocks raised by `height`.
  private func plantedMap(_ region: BlockRegion?, height: Double, _ numbers: inout SeededGenerator)
    -> [Double]
  {
    (0..<64).map { block in
      var sum = 0.0
      for _ in 0..<9 { sum -= naturalLogarithm(1 - numbers.unit()) }
      return sum / 9 + (region?.contains(block: block) == true ? height : 0)
    }
  }

  @Test(
    "planted rectangles are found in noise",
    arguments: [(1.0, 0.87), (2.0, 0.98)])
  func plantedRectangles(height: Double, bound: Double) {
    var numbers = SeededGenerator(seed: 11)
    let candidates = BlockRegion.all.filter { (2...36).contains($0.blockCount) }
    var separation = 0.0
    var coverage = 0.0
    let rounds = 300
    for _ in 0..<rounds {
      let planted = candidates[Int.random(in: 0..<candidates.count, using: &numbers)]
      let map = plantedMap(planted, height: height, &numbers)
      if let found = RectangleSearch.best(map, .separation) {
        separation += intersectionOverUnion(found.region, planted) / Double(rounds)
      }
      if let found = RectangleSearch.best(map, .coverage(share: 0.6, .mean)) {
        coverage += intersectionOverUnion(found.region, planted) / Double(rounds)
      }
    }
    #expect(separation > bound)
    // The default objective is the better one.
    #expect(separation > coverage + 0.2)
  }

  @Test("noise alone is refused, a planted rectangle is not")
  func flatnessOfNoise() {
    var numbers = SeededGenerator(seed: 12)
    let planted = BlockRegion(columns: 2..<5, rows: 3..<6)
    var refused = 0
    var accepted = 0
    for _ in 0..<300 {
      let noise = FlatMapTest.standardisedContrast(
        plantedMap(nil, height: 0, &numbers), independentValues: 576
      ).contrast
      if noise < FlatMapTest.defaultMinimumContrast { refused += 1 }
      let signal = FlatMapTest.standardisedContrast(
        plantedMap(planted, height: 2, &numbers), independentValues: 576
      ).contrast
      if signal >= FlatMapTest.defaultMinimumContrast { accepted += 1 }
    }
    #expect(refused >= 280)
    #expect(accepted >= 297)
  }

  @Test("fewer tokens than blocks lower the standardised contrast, a perfect rectangle is infinite")
  func standardisedContrast() {
    var numbers = SeededGenerator(seed: 13)
    let map = randomMap(&numbers)
    let full = FlatMapTest.standardisedContrast(map, independentValues: 576).contrast
    #expect(FlatMapTest.standardisedContrast(map, independentValues: 16).contrast == full / 2)
    var perfect = [Double](repeating: 0.1, count: 64)
    perfect[20] = 0.7
    perfect[21] = 0.7
    #expect(FlatMapTest.standardisedContrast(perfect, independentValues: 576).contrast == .infinity)
    let tiny = map.map { $0 * 1e-200 }
    #expect(FlatMapTest.standardisedContrast(tiny, independentValues: 576).contrast.isFinite)
  }
}
