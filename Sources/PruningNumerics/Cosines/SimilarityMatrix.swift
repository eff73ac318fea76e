public import Kernels

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
  private let kernels: KernelSet
  /// Inner products; the two factors make a similarity of one.
  public private(set) var products: [Float]
  public let hasZeros: Bool

  /// - Throws: when it is more work than the limit allows.
  /// - Complexity: O(N^2 D / 2).
  public init(
    _ space: CosineSpace, _ rows: [Int], sharing: WorkSharing, _ steps: inout StepCounter
  ) throws(PruningError) {
    count = rows.count
    kernels = space.kernels
    factors = rows.map { space.factors[$0] }
    hasZeros = factors.contains(0)
    error = KernelSet.symmetricTolerance(columns: space.columns)
    slack = max(space.slack, 2 * error)
    try steps.spend(rows.count * (rows.count / 2 + 1) * StepCounter.comparison(columns: space.columns))
    let isAll = rows.count == space.rows && rows.enumerated().allSatisfy { $0.offset == $0.element }
    products = space.fast.matrix(of: isAll ? nil : rows).gram(
      space.kernels, sharing: sharing, isStopped: steps.isStopped)
    try steps.check()
  }

  /// The fast similarities of the row in a slot to those in `range`, one after the other.
  public func forEachSimilarity(
    of slot: Int, in range: Range<Int>, _ body: (_ slot: Int, _ similarity: Float) -> Void
  ) {
    products.withUnsafeBufferPointer { products in
      for other in range { body(other, products[slot * count + other] * factors[other] * factors[slot]) }
    }
  }

  /// All similarities, by slot [N, N], in the memory of the products: afterwards the matrix is empty.
  public mutating func takeSimilarities() -> [Float] {
    var similarities: [Float] = []
    swap(&similarities, &products)
    similarities.withUnsafeMutableBufferPointer { similarities in
      factors.withUnsafeBufferPointer { factors in
        guard let base = similarities.baseAddress, let own = factors.baseAddress else { return }
        for slot in 0..<count { kernels.coverage.scale(base + slot * count, own, factors[slot], count) }
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
        kernels.search.raise(base + slot * count, factors, factors[slot], nearest, count)
      }
    }
    nearest[slot] = own
  }
}

extension Matrix {
  /// The inner products of all pairs of rows [rows, rows], in float32.
  ///
  /// - Parameter isStopped: asked for each block of rows; once true, the rest of the result is anything.
  public func gram(
    _ kernels: KernelSet, sharing: WorkSharing, isStopped: @escaping @Sendable () -> Bool = { false }
  ) -> [Float] {
    guard rows > 0 else { return [] }
    let room = [Float](unsafeUninitializedCapacity: kernels.packedCount(rows: rows, columns: columns)) {
      packed, count in
      count = kernels.packedCount(rows: rows, columns: columns)
      if let into = packed.baseAddress { pack(kernels, into, sharing) }
    }
    return [Float](unsafeUninitializedCapacity: rows * rows) { target, written in
      written = rows * rows
      room.withUnsafeBufferPointer { packed in
        if let into = target.baseAddress, let panels = packed.baseAddress {
          multiply(kernels, panels, into, sharing, isStopped)
        }
      }
    }
  }

  private func pack(_ kernels: KernelSet, _ target: UnsafeMutablePointer<Float>, _ sharing: WorkSharing) {
    let panels = kernels.panelCount(rows: rows)
    let perPart = 4
    let into = SharedAddress(target)
    sharing.forEach((panels + perPart - 1) / perPart) { part in
      values.withUnsafeBufferPointer { source in
        guard let from = source.baseAddress, let into = into.pointer else { return }
        kernels.pack(from, rows, columns, part * perPart..<min((part + 1) * perPart, panels), into)
      }
    }
  }

  private func multiply(
    _ kernels: KernelSet, _ panels: UnsafePointer<Float>, _ target: UnsafeMutablePointer<Float>,
    _ sharing: WorkSharing, _ isStopped: @escaping @Sendable () -> Bool
  ) {
    let parts = kernels.symmetricParts(rows: rows, parts: max(1, rows / 96))
    let into = SharedAddress(target)
    let packed = SharedAddress(UnsafeMutablePointer(mutating: panels))
    sharing.forEach(parts.count) { part in
      guard !isStopped() else { return }
      values.withUnsafeBufferPointer { source in
        guard let from = source.baseAddress, let into = into.pointer, let packed = packed.pointer else {
          return
        }
        kernels.symmetricProducts(from, rows, columns, packed, parts[part], into)
      }
    }
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
