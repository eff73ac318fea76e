/// Nested arrays of numbers as one flat, row-major array.
public struct NestedArray: Sendable {
  /// The types elements can have.
  public enum ElementKind: Sendable {
    case float32, float64
    case int64, int32, int16, int8
    case uint64, uint32, uint16, uint8
  }

  /// The elements, each little-endian, without gaps.
  public let bytes: [UInt8]
  public let elementCount: Int
  /// The length of each axis, outermost first; where ``innerLengths`` differ, that of the first one.
  public let dimensions: [Int]
  /// The lengths of the arrays at depth 1, where they are not all the same.
  public let innerLengths: [Int]?
}

extension JSONScanner {
  /// Reads an array of numbers, or of such arrays, in one pass from the text into the array that is returned.
  ///
  /// Every number is rounded once. What it takes is regular: no array is empty, and all of one depth have the
  /// same length, except at depth 1 if `allowsRagged`. Whatever else comes, a fault included, is left to the
  /// calls that read one value after the other: they accept more, and say what is wrong and where.
  ///
  /// - Parameter maximumRank: how deep arrays may be nested, 1 to 8.
  /// - Returns: nil, with nothing read, when the array is not regular.
  /// - Complexity: one pass over the text; memory for at most twice the elements there are.
  public mutating func readRegularNumbers(
    as kind: NestedArray.ElementKind, maximumRank: Int, allowsRagged: Bool
  ) -> NestedArray? {
    switch kind {
    case .float32: readRegular(Float.self, maximumRank, allowsRagged)
    case .float64: readRegular(Double.self, maximumRank, allowsRagged)
    case .int64: readRegular(Int64.self, maximumRank, allowsRagged)
    case .int32: readRegular(Int32.self, maximumRank, allowsRagged)
    case .int16: readRegular(Int16.self, maximumRank, allowsRagged)
    case .int8: readRegular(Int8.self, maximumRank, allowsRagged)
    case .uint64: readRegular(UInt64.self, maximumRank, allowsRagged)
    case .uint32: readRegular(UInt32.self, maximumRank, allowsRagged)
    case .uint16: readRegular(UInt16.self, maximumRank, allowsRagged)
    case .uint8: readRegular(UInt8.self, maximumRank, allowsRagged)
    }
  }

  private mutating func readRegular<Element: NumberElement>(
    _: Element.Type, _ maximumRank: Int, _ allowsRagged: Bool
  ) -> NestedArray? {
    let rest = bytes[cursor...]
    let outcome = rest.withUnsafeBufferPointer { text -> (array: NestedArray, length: Int)? in
      guard var reader = RegularArrayReader<Element>(text, maximumRank, allowsRagged) else { return nil }
      guard let array = reader.read() else { return nil }
      return (array, reader.position)
    }
    guard let outcome else { return nil }
    cursor += outcome.length
    return outcome.array
  }
}
