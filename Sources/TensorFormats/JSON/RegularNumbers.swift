import JSON
import Tensors

/// The elements of regular nested arrays, read in one pass; ``NestedNumbers`` reads all others, and words faults.
struct RegularNumbers {
  let elementType: ElementType
  let bytes: [UInt8]
  let dimensions: [Int]

  /// Reads one array, whose bracket is the scanner's next byte.
  ///
  /// - Returns: nil, with nothing read, when ``NestedNumbers`` must read it.
  init?(_ scanner: inout JSONScanner, as elementType: ElementType) {
    guard let kind = Self.kind(elementType) else { return nil }
    var ahead = scanner
    guard
      let array = ahead.readRegularNumbers(as: kind, maximumRank: Shape.maximumRank, allowsRagged: false)
    else { return nil }
    self.elementType = elementType
    dimensions = array.dimensions
    switch elementType {
    case .float16, .bfloat16:
      guard let narrowed = NumberNarrowing.narrowed(array.bytes, elementType) else { return nil }
      bytes = narrowed
    default: bytes = array.bytes
    }
    scanner = ahead
  }

  /// How the scanner reads elements of a type; BOOL has too many spellings.
  private static func kind(_ elementType: ElementType) -> NestedArray.ElementKind? {
    switch elementType {
    case .float32, .float16, .bfloat16: .float32
    case .float64: .float64
    case .int64: .int64
    case .int32: .int32
    case .int16: .int16
    case .int8: .int8
    case .uint64: .uint64
    case .uint32: .uint32
    case .uint16: .uint16
    case .uint8: .uint8
    case .bool: nil
    }
  }
}
