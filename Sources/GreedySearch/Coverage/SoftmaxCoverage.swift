import Kernels
public import Numerics

/// Tokens cover the words of the question and each other by softmax weights: those of MMTok.
///
/// A row for each word, P = softmax over tokens of cosine / temperature, divided by the number of words; then one for
/// each token, alpha Q, Q the same among the tokens. Differences of these weights are far smaller than the weights, so
/// they are formed in float64 from the beginning, and only rounded for the first comparison.
public struct SoftmaxCoverage: CoverageWeights {
  public let fast: [Float]
  // What a float32 number cannot hold is below the first; the second is half its last place, and room.
  public let absoluteError: Float = 0x1p-120
  public let relativeError: Float = 0x1p-23
  public let candidateCount: Int
  public let rowCount: Int
  private let space: CosineSpace
  /// Candidates, then what is picked already.
  private let members: [Int]
  /// [members, rows]: those of one candidate lie together.
  private let weights: [Double]
  private let wordCount: Int

  /// - Parameters:
  ///   - space: how tokens are compared with each other.
  ///   - words: cosines of the members with each word [members, words].
  /// - Precondition: at most ``SimilarityMatrix/maximumCount`` members, at least 1.
  /// - Throws: when it is more work than the limit allows.
  /// - Complexity: O(members^2 D / 2).
  public init(
    _ space: CosineSpace, candidates: [Int], given: [Int], words cosines: [Double], count: Int,
    temperatures: (words: Double, tokens: Double), alpha: Double, sharing: WorkSharing,
    _ steps: inout StepCounter
  ) throws(PruningError) {
    self.space = space
    members = candidates + given
    candidateCount = candidates.count
    wordCount = count
    let size = members.count
    rowCount = count + size
    try steps.spend(size * (size / 2 + 1) * (30 + space.columns / 8))
    let tokens = Self.tokenWeights(space, members, temperatures.tokens, sharing)
    var weights = [Double](repeating: 0, count: size * (count + size))
    for word in 0..<count {
      let row = softmax((0..<size).map { cosines[$0 * count + word] }, temperatures.words)
      for column in 0..<size { weights[column * (count + size) + word] = row[column] / Double(count) }
    }
    let scale = alpha / Double(size)
    weights.withUnsafeMutableBufferPointer { weights in
      tokens.withUnsafeBufferPointer { tokens in
        for column in 0..<size {
          let start = column * (count + size) + count
          for row in 0..<size { weights[start + row] = tokens[column * size + row] * scale }
        }
      }
    }
    self.weights = weights
    fast = weights.map { Float($0) }
  }

  public func exact(
    _ candidate: Int, for rows: [Int], _ steps: inout StepCounter
  ) throws(PruningError) -> [Double] {
    try steps.spend(rows.count)
    return rows.map { weights[candidate * rowCount + $0] }
  }

  public func isCopy(_ candidate: Int, of other: Int) -> Bool {
    space.features.isSame(members[candidate], members[other])
      && (0..<wordCount).allSatisfy { weights[candidate * rowCount + $0] == weights[other * rowCount + $0] }
  }

  /// Q by candidate [members, members].
  private static func tokenWeights(
    _ space: CosineSpace, _ members: [Int], _ temperature: Double, _ sharing: WorkSharing
  ) -> [Double] {
    let size = members.count
    var weights = WideCosines.all(space, members, sharing)
    let isZero = members.map(space.isZero)
    weights.withUnsafeMutableBufferPointer { weights in
      // Rows with a direction have the cosine 1 with themselves, the largest: powers are symmetric like cosines.
      for row in 0..<size {
        for column in 0...row {
          let power = exponential((weights[row * size + column] - 1) / temperature)
          weights[row * size + column] = power
          weights[column * size + row] = power
        }
      }
      let sums = (0..<size).map { row in
        (0..<size).reduce(0.0) { $0 + weights[row * size + $1] }
      }
      for column in 0..<size {
        for row in 0..<size {
          // A zero row is as near to every token.
          weights[column * size + row] =
            isZero[row] ? 1 / Double(size) : weights[column * size + row] / sums[row]
        }
      }
    }
    return weights
  }
}

/// The cosines of all pairs of rows, in float64, by blocked products.
enum WideCosines {
  private static let blockRows = 64
  /// Columns that products in float64 take at a time.
  private static let panelWidth = 16

  /// [members, members], symmetric to the bit.
  ///
  /// - Complexity: O(members^2 D / 2).
  public static func all(_ space: CosineSpace, _ members: [Int], _ sharing: WorkSharing) -> [Double] {
    let size = members.count
    let columns = space.columns
    let width = panelWidth
    let rows = space.features.matrix(of: members)
    let panels = (size + width - 1) / width
    var packed = [Float](repeating: 0, count: panels * width * columns)
    packed.withUnsafeMutableBufferPointer { packed in
      rows.values.withUnsafeBufferPointer { values in
        for row in 0..<size {
          let start = row / width * width * columns + row % width
          for column in 0..<columns { packed[start + column * width] = values[row * columns + column] }
        }
      }
    }
    let norms = members.map(space.norm)
    let filled = packed
    var cosines = [Double](repeating: 0, count: size * size)
    cosines.withUnsafeMutableBufferPointer { target in
      guard let base = target.baseAddress else { return }
      let into = SharedAddress(base)
      sharing.forEach((size + blockRows - 1) / blockRows) { block in
        guard let into = into.pointer else { return }
        let range = (block * blockRows)..<min((block + 1) * blockRows, size)
        let wide = rows.values[(range.lowerBound * columns)..<(range.upperBound * columns)].map { Double($0) }
        wide.withUnsafeBufferPointer { wide in
          filled.withUnsafeBufferPointer { filled in
            guard let left = wide.baseAddress, let right = filled.baseAddress else { return }
            for panel in 0...((range.upperBound - 1) / width) {
              KernelSet.active.addWideProducts(
                left, columns, range.count, right + panel * width * columns, width, columns,
                into + range.lowerBound * size + panel * width, size, min(width, size - panel * width))
            }
          }
        }
        for row in range {
          for column in 0...row {
            let length = norms[row] * norms[column]
            into[row * size + column] = length > 0 ? into[row * size + column] / length : 0
          }
        }
      }
      for row in 0..<size {
        for column in (row + 1)..<max(size, row + 1) { base[row * size + column] = base[column * size + row] }
      }
    }
    return cosines
  }
}
