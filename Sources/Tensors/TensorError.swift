/// What can be wrong with a tensor taken by itself. Whoever knows its name adds it.
public enum TensorError: Error, Sendable, Equatable {
  case negativeDimension(Int)
  case extentTooLarge(Int)
  case rankTooLarge(Int)
  case elementCountOverflow([Int])
  case byteCountOverflow(elements: Int)
  case byteCountMismatch(shape: [Int], elementType: ElementType, expected: Int, actual: Int)
}

extension TensorError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .negativeDimension(let extent): "a dimension is negative (\(extent))"
    case .extentTooLarge(let extent):
      "a dimension is \(extent); at most \(Shape.maximumExtent) are supported"
    case .rankTooLarge(let rank): "\(rank) dimensions; at most \(Shape.maximumRank) are supported"
    case .elementCountOverflow(let dimensions): "the element count of shape \(dimensions) overflows"
    case .byteCountOverflow(let elements): "the byte count of \(elements) elements overflows"
    case .byteCountMismatch(let shape, let type, let expected, let actual):
      "shape \(shape) of \(type.rawValue) takes \(expected) bytes, but there are \(actual)"
    }
  }
}
