import Kernels
public import PruningNumerics

/// Rows cover each other by their cosine: the weights of SCOPE.
public struct SimilarityCoverage: CoverageWeights {
  public let fast: [Float]
  public let shares: [Float]
  public let knownShares: [Double]
  public let absoluteError: Float
  public let relativeError: Float = 0
  public let shareError: Float = 0
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
    var matrix = try SimilarityMatrix(space, members, sharing: sharing, &steps)
    absoluteError = matrix.error
    fast = matrix.takeSimilarities()
    shares = Array(repeating: 1, count: members.count)
    knownShares = Array(repeating: 1, count: members.count)
  }

  public var rowCount: Int { members.count }

  public func exact(
    _ candidate: Int, for rows: [Int], _ steps: inout StepCounter
  ) throws(PruningError) -> [Double] {
    try steps.spend(comparingWith: rows.count, of: space, exactly: true)
    let own = members[candidate]
    return space.exactSimilarities(
      of: rows.map { members[$0] }, to: space.features.row(own), norm: space.norm(of: own))
  }

  public func exactShares(of rows: [Int], _ steps: inout StepCounter) throws(PruningError) -> [Double] {
    rows.map { _ in 1 }
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
