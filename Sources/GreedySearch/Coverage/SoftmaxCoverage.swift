import Kernels
public import PruningNumerics

/// Tokens cover the words of the question and each other by softmax weights: those of MMTok.
///
/// A row for each word, e^((cosine - largest) / temperature) of its cosines with the tokens, with the share 1 / (sum of
/// these x number of words); then one for each token, the same of the cosines among tokens, with alpha instead of 1.
/// Cosines of tokens are formed in float32 with a bound of their error, and in float64 where a search asks for them.
public struct SoftmaxCoverage: CoverageWeights {
  public let fast: [Float]
  public let shares: [Float]
  public let knownShares: [Double]
  /// Powers that leave the normal numbers are 0.
  public let absoluteError: Float = 0x1p-120
  public let relativeError: Float
  public let shareError: Float
  public let candidateCount: Int
  public let rowCount: Int
  /// Candidates and what is picked already.
  private let size: Int
  private let wordCount: Int
  /// Powers of words [words, members].
  private let words: [Double]
  private let alpha: Double
  private var exactPowers: ExactPowers

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
    let members = candidates + given
    let size = members.count
    self.size = size
    candidateCount = candidates.count
    wordCount = count
    rowCount = count + size
    self.alpha = alpha
    var matrix = try SimilarityMatrix(space, members, room: count, sharing: sharing, &steps)
    try steps.spend(size * (size + count))
    let words = Self.wordPowers(cosines, count, size, temperatures.words)
    self.words = words
    let wordShares = (0..<count).map { word in
      1 / (words[(word * size)..<((word + 1) * size)].reduce(0, +) * Double(count))
    }
    exactPowers = ExactPowers(space, members, temperatures.tokens, sharing)
    let weights = FastWeights(&matrix, words, count, 1 / temperatures.tokens, sharing)
    fast = weights.values
    let scale = alpha / Double(size)
    shares = wordShares.map { Float($0) } + weights.sums.map { Float(scale / $0) }
    knownShares = wordShares + weights.sums.map { _ in .nan }
    // What a cosine errs by, what the exponent does when it is rounded, and what the power is off by.
    let exponentError =
      Double(matrix.error) / temperatures.tokens + min(2 / temperatures.tokens, 128) * 0x1p-22
    relativeError = Float(min(exponential(exponentError) - 1 + 0x1p-20, 1e30)) * 1.01
    // A sum errs by no more of itself than what is added does, its inverse by a little more.
    shareError = relativeError < 0.5 ? relativeError / (1 - relativeError) * 1.01 + 0x1p-22 : 1e30
  }

  public mutating func exact(
    _ candidate: Int, for rows: [Int], _ steps: inout StepCounter
  ) throws(PruningError) -> [Double] {
    let tokens = rows.filter { $0 >= wordCount }.map { $0 - wordCount }
    var powers = try exactPowers.powers(of: candidate, for: tokens, &steps)[...]
    return rows.map { row in
      row < wordCount ? words[row * size + candidate] : powers.removeFirst()
    }
  }

  public mutating func exactShares(
    of rows: [Int], _ steps: inout StepCounter
  ) throws(PruningError) -> [Double] {
    let tokens = rows.filter { knownShares[$0].isNaN }.map { $0 - wordCount }
    var sums = try exactPowers.sums(of: tokens, &steps)[...]
    let scale = alpha / Double(size)
    return rows.map { knownShares[$0].isNaN ? scale / sums.removeFirst() : knownShares[$0] }
  }

  public func isCopy(_ candidate: Int, of other: Int) -> Bool {
    exactPowers.isCopy(candidate, of: other)
      && (0..<wordCount).allSatisfy {
        words[$0 * size + candidate] == words[$0 * size + other]
      }
  }

  /// By word [words, members], of cosines [members, words].
  private static func wordPowers(_ cosines: [Double], _ count: Int, _ size: Int, _ temperature: Double)
    -> [Double]
  {
    var powers = [Double](repeating: 0, count: count * size)
    powers.withUnsafeMutableBufferPointer { powers in
      guard let base = powers.baseAddress else { return }
      for word in 0..<count {
        var highest = -Double.infinity
        for member in 0..<size {
          let cosine = cosines[member * count + word]
          powers[word * size + member] = cosine
          highest = max(highest, cosine)
        }
        KernelSet.active.coverage.widePowers(base + word * size, size, highest, temperature)
      }
    }
    return powers
  }
}

/// Powers of cosines in float32, by candidate, those of words before them.
private struct FastWeights {
  /// [members, words + members].
  public let values: [Float]
  /// Of the powers of each member.
  public let sums: [Double]

  private static let blockRows = 64

  /// - Parameter matrix: with room for the words; its memory is taken.
  init(
    _ matrix: inout SimilarityMatrix, _ words: [Double], _ count: Int, _ inverse: Double,
    _ sharing: WorkSharing
  ) {
    let (size, factors) = (matrix.count, matrix.factors)
    let width = count + size
    let zeros = factors.indices.filter { factors[$0] == 0 }
    var sums = [Double](repeating: 0, count: size)
    var values = matrix.takeProducts()
    values.withUnsafeMutableBufferPointer { values in
      sums.withUnsafeMutableBufferPointer { sums in
        guard let base = values.baseAddress, let firstSum = sums.baseAddress else { return }
        let (into, sums) = (SharedAddress(base), SharedAddress(firstSum))
        sharing.forEach((size + Self.blockRows - 1) / Self.blockRows) { block in
          guard let into = into.pointer, let sums = sums.pointer else { return }
          for member in (block * Self.blockRows)..<min((block + 1) * Self.blockRows, size) {
            let row = into + member * width
            for word in 0..<count { row[word] = Float(words[word * size + member]) }
            sums[member] = Self.raise(row + count, factors, zeros, factors[member], Float(inverse))
          }
        }
      }
    }
    self.values = values
    self.sums = sums
  }

  /// Makes e^((similarity - 1) inverse) of a row's products with all, and returns their sum.
  ///
  /// A zero row is as near to every token as to itself; another has the cosine 1 with itself, the largest.
  private static func raise(
    _ products: UnsafeMutablePointer<Float>, _ factors: [Float], _ zeros: [Int], _ factor: Float,
    _ inverse: Float
  ) -> Double {
    let count = factors.count
    let sum = KernelSet.active.coverage.powers(products, factors, factor, inverse, products, count)
    for other in zeros { products[other] = 1 }
    return factor == 0 ? Double(count) : sum
  }
}

/// e^((cosine - 1) / temperature) of pairs of rows in float64: one by one as long as few are asked for, then all.
///
/// Both ways give the same bits. A row's power of a candidate is 1 where the row is zero: it is as near to every token.
private struct ExactPowers {
  private let space: CosineSpace
  /// Rows of the space, by slot.
  private let members: [Int]
  private let temperature: Double
  private let sharing: WorkSharing
  /// By candidate [rows, rows], once there are all.
  private var all: [Double]?
  /// How many more pairs are formed one by one.
  private var left: Int

  init(_ space: CosineSpace, _ members: [Int], _ temperature: Double, _ sharing: WorkSharing) {
    self.space = space
    self.members = members
    self.temperature = temperature
    self.sharing = sharing
    left = members.count * members.count / 4
  }

  private var size: Int { members.count }

  func isCopy(_ a: Int, of b: Int) -> Bool { space.features.isSame(members[a], members[b]) }

  /// The powers of a candidate for some rows.
  mutating func powers(
    of candidate: Int, for rows: [Int], _ steps: inout StepCounter
  ) throws(PruningError) -> [Double] {
    try prepare(rows.count, &steps)
    var powers: [Double]
    if let all {
      powers = rows.map { all[candidate * size + $0] }
    } else {
      let own = members[candidate]
      powers = space.exactSimilarities(
        of: rows.map { members[$0] }, to: space.features.row(own), norm: space.norm(of: own))
      raise(&powers)
    }
    for slot in rows.indices where space.isZero(members[rows[slot]]) { powers[slot] = 1 }
    return powers
  }

  /// The sum of each row's powers of all candidates, in their order.
  mutating func sums(of rows: [Int], _ steps: inout StepCounter) throws(PruningError) -> [Double] {
    var sums: [Double] = []
    // Four rows at a time: each of the others is widened once for them.
    for first in stride(from: 0, to: rows.count, by: 4) {
      let some = Array(rows[first..<min(first + 4, rows.count)])
      try prepare(some.count * size, &steps)
      var powers: [Double]
      if let all {
        // The power of a pair is the same whichever comes first.
        powers = some.flatMap { all[($0 * size)..<(($0 + 1) * size)] }
      } else {
        powers = space.exactSimilarities(of: some.map { members[$0] }, to: members)
        raise(&powers)
      }
      for (slot, row) in some.enumerated() {
        sums.append(
          space.isZero(members[row])
            ? Double(size) : powers[(slot * size)..<((slot + 1) * size)].reduce(0, +))
      }
    }
    return sums
  }

  private func raise(_ cosines: inout [Double]) {
    cosines.withUnsafeMutableBufferPointer { cosines in
      guard let base = cosines.baseAddress else { return }
      KernelSet.active.coverage.widePowers(base, cosines.count, 1, temperature)
    }
  }

  /// Spends what some pairs cost, or forms all where they have become too many.
  private mutating func prepare(_ pairs: Int, _ steps: inout StepCounter) throws(PruningError) {
    guard all == nil else { return try steps.spend(pairs) }
    left -= pairs
    if left >= 0 { return try steps.spend(comparingWith: pairs, of: space, exactly: true) }
    try steps.spend(size * (size / 2 + 1) * (40 + space.columns / 8))
    var powers = space.allExactSimilarities(of: members, sharing)
    raise(&powers)
    all = powers
  }
}

extension CosineSpace {
  /// The exact similarities of all pairs of some rows [members, members].
  ///
  /// - Complexity: O(members^2 columns / 2).
  func allExactSimilarities(of members: [Int], _ sharing: WorkSharing) -> [Double] {
    let size = members.count
    let blockRows = 32
    return [Double](unsafeUninitializedCapacity: size * size) { target, written in
      written = size * size
      LargeMemory.prepare(target)
      guard let base = target.baseAddress else { return }
      let into = SharedAddress(base)
      let blocks = (size + blockRows - 1) / blockRows
      // Long rows of blocks first, so that what is left at the end is short.
      sharing.forEach(blocks) { part in
        guard let into = into.pointer else { return }
        let block = blocks - 1 - part
        let own = (block * blockRows)..<min((block + 1) * blockRows, size)
        for start in stride(from: 0, through: block * blockRows, by: blockRows) {
          let others = start..<min(start + blockRows, size)
          let tile = self.exactSimilarities(of: Array(members[own]), to: Array(members[others]))
          for (i, row) in own.enumerated() {
            for (j, other) in others.enumerated() {
              into[row * size + other] = tile[i * others.count + j]
              into[other * size + row] = tile[i * others.count + j]
            }
          }
        }
      }
    }
  }
}
