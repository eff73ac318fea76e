/// The extents of a tensor, outermost first (C order), each of them bounded, with an element count that cannot overflow.
///
/// A tensor without elements takes no bytes, so nothing but ``maximumExtent`` bounds its other extents: with it, a few of
/// them may be multiplied and counted in bytes without overflow.
public struct Shape: Sendable, Hashable, CustomStringConvertible {
  public let dimensions: [Int]
  public let elementCount: Int

  /// The largest number of axes accepted; numpy's limit is 64, no input of this service needs more than 5.
  public static let maximumRank = 8

  /// The longest axis accepted, far beyond every count of images, tokens, heads or features.
  public static let maximumExtent = 1 << 24

  /// - Throws: `.negativeDimension`, `.extentTooLarge`, `.rankTooLarge`, `.elementCountOverflow`.
  public init(_ dimensions: [Int]) throws(TensorError) {
    guard dimensions.count <= Self.maximumRank else { throw .rankTooLarge(dimensions.count) }
    // Zero anywhere makes the count zero, but the other extents must not hide an overflow behind it:
    // strides are computed from them.
    var count = 1
    var product = 1
    for extent in dimensions {
      guard extent >= 0 else { throw .negativeDimension(extent) }
      guard extent <= Self.maximumExtent else { throw .extentTooLarge(extent) }
      count *= extent == 0 ? 0 : 1
      let (next, overflow) = product.multipliedReportingOverflow(by: max(extent, 1))
      guard !overflow else { throw .elementCountOverflow(dimensions) }
      product = next
    }
    self.dimensions = dimensions
    self.elementCount = count == 0 ? 0 : product
  }

  /// Of a part of a tensor whose own shape was checked.
  init(partOfChecked dimensions: [Int]) {
    self.dimensions = dimensions
    elementCount = dimensions.reduce(1, *)
  }

  public var rank: Int { dimensions.count }

  public subscript(axis: Int) -> Int { dimensions[axis] }

  public var description: String { "[\(dimensions.map(String.init).joined(separator: ","))]" }
}
