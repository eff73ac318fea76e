import JSON
import Tensors

/// JSON numbers as elements of the types narrower or other than F32.
///
/// *Deviation*: F16 and BF16 are rounded twice, to float32 first; that differs from one rounding only where a
/// decimal lies within half a unit of float32 beside the middle of two 16-bit values.
enum NumberNarrowing {
  /// Little-endian float32 values as little-endian values of 16 bits; nil when one is too large for them.
  static func narrowed(_ floats: [UInt8], _ elementType: ElementType) -> [UInt8]? {
    let exponent = exponent(of: elementType)
    var isFinite = true
    let bytes = floats.withUnsafeBytes { source in
      [UInt8](unsafeUninitializedCapacity: source.count / 2) { buffer, count in
        let target = UnsafeMutableRawBufferPointer(buffer)
        for place in stride(from: 0, to: source.count, by: 4) {
          let bits = UInt32(littleEndian: source.loadUnaligned(fromByteOffset: place, as: UInt32.self))
          let narrow = HalfPrecision.bits(of: Float(bitPattern: bits), as: elementType)
          isFinite = isFinite && narrow & exponent != exponent
          target.storeBytes(of: narrow.littleEndian, toByteOffset: place / 2, as: UInt16.self)
        }
        count = source.count / 2
      }
    }
    return isFinite ? bytes : nil
  }

  /// Reads one element and appends its little-endian bytes.
  static func append(
    _ scanner: inout JSONScanner, _ elementType: ElementType, to bytes: inout [UInt8]
  ) throws(JSONError) {
    _ = scanner.peek()
    let offset = scanner.offset
    switch elementType {
    case .float32: append(try scanner.readFloat().bitPattern, to: &bytes)
    case .float64: append(try scanner.readDouble().bitPattern, to: &bytes)
    case .float16, .bfloat16:
      let value = try scanner.readFloat()
      let bits = HalfPrecision.bits(of: value, as: elementType)
      let exponent = exponent(of: elementType)
      guard bits & exponent != exponent else { throw outOfRange(value, elementType, offset) }
      append(bits, to: &bytes)
    case .int64: append(try integer(&scanner, Int64.self, elementType, offset), to: &bytes)
    case .int32: append(try integer(&scanner, Int32.self, elementType, offset), to: &bytes)
    case .int16: append(try integer(&scanner, Int16.self, elementType, offset), to: &bytes)
    case .int8: append(try integer(&scanner, Int8.self, elementType, offset), to: &bytes)
    case .uint64: append(try integer(&scanner, UInt64.self, elementType, offset), to: &bytes)
    case .uint32: append(try integer(&scanner, UInt32.self, elementType, offset), to: &bytes)
    case .uint16: append(try integer(&scanner, UInt16.self, elementType, offset), to: &bytes)
    case .uint8: append(try integer(&scanner, UInt8.self, elementType, offset), to: &bytes)
    case .bool: bytes.append(try scanner.readTruth() ? 1 : 0)
    }
  }

  private static func integer<Integer: FixedWidthInteger>(
    _ scanner: inout JSONScanner, _: Integer.Type, _ elementType: ElementType, _ offset: Int
  ) throws(JSONError) -> Integer {
    let value = try scanner.readInteger()
    guard let integer = Integer(exactly: value) else { throw outOfRange(value, elementType, offset) }
    return integer
  }

  /// All bits of the exponent, which only infinities and NaN have.
  private static func exponent(of elementType: ElementType) -> UInt16 {
    elementType == .float16 ? 0x7c00 : 0x7f80
  }

  private static func append(_ bits: some FixedWidthInteger, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: bits.littleEndian) { bytes.append(contentsOf: $0) }
  }

  private static func outOfRange(
    _ value: some CustomStringConvertible, _ elementType: ElementType, _ offset: Int
  ) -> JSONError {
    JSONError(.content, offset: offset, "\(value) exceeds the range of \(elementType.rawValue)")
  }
}
