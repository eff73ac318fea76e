public import Numerics

/// Rows cover each other by their cosine: the weights of SCOPE.
public struct SimilarityCoverage: CoverageWeights {
  public let fast: [Float]
  public let absoluteError: Float
  public let relativeError: Float = 0
  public let candidateCount: Int
  private let space: CosineSpace
  /// Candidates, then what is picked already.
  private let members: [Int]

  /// - Throws: when it is more work than the limit allows.
  /// - Precondition: at most ``SimilarityMatrix/maximumCount`` members.
  /// - Complexity: O(members^2 D / 2).
  public init(
    _ space: CosineSpace, candidates: [Int], given: [Int], sharing: WorkSharing, _ steps: inout StepCounter
  ) throws(PruningError) {
    self.space = space
    members = candidates + given
    candidateCount = candidates.count
    let matrix = try SimilarityMatrix(space, members, sharing: sharing, &steps)
    fast = matrix.similarities()
    absoluteError = matrix.slack / 2
  }

  public var rowCount: Int { members.count }

  public func exact(
    _ candidate: Int, for rows: [Int], _ steps: inout StepCounter
  ) throws(PruningError) -> [Double] {
    try steps.spend(comparingWith: rows.count, of: space, exactly: true)
    return space.exactSimilarities(of: rows.map { members[$0] }, to: [members[candidate]])
  }

  public func isCopy(_ candidate: Int, of other: Int) -> Bool {
    space.features.isSame(members[candidate], members[other])
  }
}

extension FeatureRows {
  /// Whether two rows have the same bytes.
  public func isSame(_ a: Int, _ b: Int) -> Bool {
    withBase { base in
      let (first, second) = (base + a * stride, base + b * stride)
      let words = stride / 8
      for word in 0..<words
      where first.loadUnaligned(fromByteOffset: 8 * word, as: UInt64.self)
        != second.loadUnaligned(fromByteOffset: 8 * word, as: UInt64.self)
      { return false }
      for byte in (8 * words)..<stride
      where first.load(fromByteOffset: byte, as: UInt8.self)
        != second.load(fromByteOffset: byte, as: UInt8.self)
      { return false }
      return true
    } ?? true
  }
}

extension SimilarityMatrix {
  /// All of them, by slot [N, N].
  public func similarities() -> [Float] {
    let count = count
    return [Float](unsafeUninitializedCapacity: count * count) { target, written in
      written = count * count
      guard let into = target.baseAddress else { return }
      products.withUnsafeBufferPointer { products in
        factors.withUnsafeBufferPointer { factors in
          for row in 0..<count {
            let own = factors[row]
            for column in 0..<count {
              (into + row * count + column).initialize(
                to: products[row * count + column] * factors[column] * own)
            }
          }
        }
      }
    }
  }
}
