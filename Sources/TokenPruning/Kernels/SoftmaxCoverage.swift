/// Tokens cover the words of the question and each other by softmax weights: those of MMTok.
///
/// A row for each word, P = softmax over tokens of cosine / temperature, divided by the number of words; then one for
/// each token, alpha Q, Q the same among the tokens.
struct SoftmaxCoverage: CoverageWeights {
  let fast: [Float]
  let absoluteError: Float
  let relativeError: Float
  let candidateCount: Int
  private let space: CosineSpace
  /// Candidates, then what is picked already.
  private let members: [Int]
  private let alpha: Double
  private let temperature: Double
  /// The weights of the words [words, members], divided by their number.
  private let words: [Double]
  private let wordCount: Int
  /// The weights of the tokens that were asked for, by their row.
  private var exactRows: [Int: [Double]] = [:]

  /// Fast similarities that are further off than this after the softmax decide nothing.
  private static let largestRelativeError = 0.01

  /// - Parameters:
  ///   - space: how tokens are compared with each other.
  ///   - words: cosines of the members with each word [members, words].
  /// - Precondition: at most ``SimilarityMatrix/maximumCount`` members, at least 1.
  /// - Throws: when it is more work than the limit allows.
  init(
    _ space: CosineSpace, candidates: [Int], given: [Int], words cosines: [Double], count: Int,
    temperatures: (words: Double, tokens: Double), alpha: Double, sharing: WorkSharing,
    _ steps: inout StepCounter
  ) throws(PruningError) {
    self.space = space
    self.alpha = alpha
    temperature = temperatures.tokens
    members = candidates + given
    candidateCount = candidates.count
    wordCount = count
    words = Self.wordWeights(cosines, members.count, count, temperatures.words)
    try steps.spend(members.count * members.count / 2)
    let matrix = try SimilarityMatrix(space, members, sharing: sharing, &steps)
    // What a similarity is off goes into the numerator and, as much, into the sum.
    let error = exponential(Double(matrix.slack) / temperature) - 1 + 1e-6 + 1e-6 / temperature
    let weights: [Float]
    if error <= Self.largestRelativeError {
      weights = Self.tokenWeights(matrix.similarities(), members.count, temperature, alpha)
      relativeError = Float(error)
    } else {
      try steps.spend(comparingWith: members.count * members.count, of: space, exactly: true)
      weights = Self.exactTokenWeights(space, members, temperature, alpha)
      relativeError = 1e-6
    }
    // What a binary32 number cannot hold is below this.
    absoluteError = 0x1p-120
    fast = Self.joined(words, count, weights, members.count)
  }

  var rowCount: Int { wordCount + members.count }

  mutating func exact(
    _ candidate: Int, for rows: [Int], _ steps: inout StepCounter
  ) throws(PruningError) -> [Double] {
    var weights: [Double] = []
    weights.reserveCapacity(rows.count)
    for row in rows {
      if row < wordCount {
        weights.append(words[row * members.count + candidate])
        continue
      }
      if exactRows[row] == nil {
        try steps.spend(comparingWith: members.count, of: space, exactly: true)
        exactRows[row] = Self.exactRow(space, members, row - wordCount, temperature, alpha)
      }
      weights.append(exactRows[row]?[candidate] ?? 0)
    }
    return weights
  }

  func isCopy(_ candidate: Int, of other: Int) -> Bool {
    space.features.isSame(members[candidate], members[other])
      && (0..<wordCount).allSatisfy {
        words[$0 * members.count + candidate] == words[$0 * members.count + other]
      }
  }

  private static func wordWeights(
    _ cosines: [Double], _ members: Int, _ words: Int, _ temperature: Double
  ) -> [Double] {
    var weights: [Double] = []
    weights.reserveCapacity(words * members)
    for word in 0..<words {
      let row = (0..<members).map { cosines[$0 * words + word] }
      weights += softmax(row, temperature).map { $0 / Double(words) }
    }
    return weights
  }

  /// One row of alpha Q.
  private static func exactRow(
    _ space: CosineSpace, _ members: [Int], _ row: Int, _ temperature: Double, _ alpha: Double
  ) -> [Double] {
    let similarities = space.exactSimilarities(of: members, to: [members[row]])
    return softmax(similarities, temperature).map { $0 / Double(members.count) * alpha }
  }

  private static func exactTokenWeights(
    _ space: CosineSpace, _ members: [Int], _ temperature: Double, _ alpha: Double
  ) -> [Float] {
    let count = members.count
    var weights = [Float](repeating: 0, count: count * count)
    for row in 0..<count {
      for (column, weight) in exactRow(space, members, row, temperature, alpha).enumerated() {
        weights[column * count + row] = Float(weight)
      }
    }
    return weights
  }

  /// alpha Q by candidate [members, members] of fast similarities, which are symmetric.
  private static func tokenWeights(
    _ similarities: [Float], _ count: Int, _ temperature: Double, _ alpha: Double
  ) -> [Float] {
    var weights = similarities
    fastExponentials(&weights, minus: 1, times: Float(1 / temperature))
    let factors = (0..<count).map { row -> Float in
      Float(alpha / (wideSum(weights[(row * count)..<((row + 1) * count)]) * Double(count)))
    }
    weights.withUnsafeMutableBufferPointer { weights in
      factors.withUnsafeBufferPointer { factors in
        for column in 0..<count {
          for row in 0..<count { weights[column * count + row] *= factors[row] }
        }
      }
    }
    return weights
  }

  /// Words and tokens by candidate [members, words + members].
  private static func joined(_ words: [Double], _ wordCount: Int, _ tokens: [Float], _ count: Int) -> [Float]
  {
    let rows = wordCount + count
    return [Float](unsafeUninitializedCapacity: rows * count) { target, written in
      written = rows * count
      guard let into = target.baseAddress else { return }
      tokens.withUnsafeBufferPointer { tokens in
        guard let from = tokens.baseAddress else { return }
        for column in 0..<count {
          let start = into + column * rows
          for word in 0..<wordCount { (start + word).initialize(to: Float(words[word * count + column])) }
          (start + wordCount).initialize(from: from + column * count, count: count)
        }
      }
    }
  }
}

/// exp((x - max) / temperature), divided by their sum.
func softmax(_ values: [Double], _ temperature: Double = 1) -> [Double] {
  guard let highest = values.max() else { return [] }
  let powers = values.map { exponential(($0 - highest) / temperature) }
  let sum = powers.reduce(0, +)
  return powers.map { $0 / sum }
}

/// The sum of binary32 numbers in binary64.
private func wideSum(_ values: ArraySlice<Float>) -> Double {
  values.withUnsafeBytes { bytes in
    var sums = SIMD4<Double>.zero
    for four in 0..<(values.count / 4) {
      sums += SIMD4<Double>(bytes.loadUnaligned(fromByteOffset: 16 * four, as: SIMD4<Float>.self))
    }
    let rest = (values.count / 4 * 4)..<values.count
    return rest.reduce(sums.sum()) {
      $0 + Double(bytes.loadUnaligned(fromByteOffset: 4 * $1, as: Float.self))
    }
  }
}
