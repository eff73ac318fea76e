import Kernels

/// The fast similarities of all pairs of some rows of a ``CosineSpace`` [N, N], by slot in the list of rows.
///
/// They lie within ``error`` of the exact ones, and that is at most half of ``slack``.
public struct SimilarityMatrix: Sendable {
  /// The matrix takes 64 MiB at this size.
  public static let maximumCount = 4096

  /// For those who mix these similarities with others of the space.
  public let slack: Float
  public let error: Float
  public let count: Int
  public let factors: [Float]
  /// A class, where a table of kernels would be copied with every matrix.
  private let space: CosineSpace
  /// Numbers before the products of each row, for whoever takes them.
  private let room: Int
  /// Inner products [N, room + N]; the two factors make a similarity of one.
  private var products: [Float]

  /// - Parameter room: how many numbers, zero, are before the products of each row.
  /// - Throws: when it is more work than the limit allows.
  /// - Complexity: O(N^2 D / 2).
  public init(
    _ space: CosineSpace, _ rows: [Int], room: Int = 0, sharing: WorkSharing, _ steps: inout StepCounter
  ) throws(PruningError) {
    count = rows.count
    self.room = room
    self.space = space
    factors = rows.map { space.factors[$0] }
    error = KernelSet.symmetricTolerance(columns: space.columns)
    slack = max(space.slack, 2 * error)
    try steps.spend(rows.count * (rows.count / 2 + 1) * StepCounter.comparison(columns: space.columns))
    products = space.fast.products(
      of: rows, room: room, space.kernels, sharing: sharing, isStopped: steps.isStopped)
    try steps.check()
  }

  /// The fast similarities of the row in a slot to those in `range`, one after the other.
  public func forEachSimilarity(
    of slot: Int, in range: Range<Int>, _ body: (_ slot: Int, _ similarity: Float) -> Void
  ) {
    products.withUnsafeBufferPointer { products in
      for other in range { body(other, products[start(of: slot) + other] * factors[other] * factors[slot]) }
    }
  }

  private func start(of slot: Int) -> Int { slot * (room + count) + room }

  /// The products, by slot [N, room + N]: afterwards the matrix is empty.
  public mutating func takeProducts() -> [Float] {
    var taken: [Float] = []
    swap(&taken, &products)
    return taken
  }

  /// All similarities, by slot [N, room + N], in the memory of the products: afterwards the matrix is empty.
  public mutating func takeSimilarities() -> [Float] {
    var similarities = takeProducts()
    similarities.withUnsafeMutableBufferPointer { similarities in
      factors.withUnsafeBufferPointer { factors in
        guard let base = similarities.baseAddress, let own = factors.baseAddress else { return }
        for slot in 0..<count {
          space.kernels.coverage.scale(base + start(of: slot), own, factors[slot], count)
        }
      }
    }
    return similarities
  }

  /// Raises every row's largest similarity to another by those of all others.
  public func mergeAll(into nearest: UnsafeMutablePointer<Float>) {
    for slot in 0..<count { merge(slot, into: nearest) }
  }

  /// Raises every row's largest similarity, but that of the row itself, by that to the row in a slot.
  ///
  /// - Parameter nearest: one number for each row.
  public func merge(_ slot: Int, into nearest: UnsafeMutablePointer<Float>) {
    let own = nearest[slot]
    products.withUnsafeBufferPointer { products in
      if let base = products.baseAddress {
        space.kernels.search.raise(base + start(of: slot), factors, factors[slot], nearest, count)
      }
    }
    nearest[slot] = own
  }
}

/// Where several threads write, each to slots of its own, while the owner of the memory waits for them.
///
/// A pointer may not cross to another thread; its address may, and whoever uses it there answers for the two
/// conditions above.
public struct SharedAddress<Element>: Sendable {
  private let bits: UInt

  public init(_ pointer: UnsafeMutablePointer<Element>) { bits = UInt(bitPattern: pointer) }

  public var pointer: UnsafeMutablePointer<Element>? { UnsafeMutablePointer(bitPattern: bits) }
}
