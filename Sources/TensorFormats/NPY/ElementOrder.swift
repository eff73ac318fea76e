/// Brings foreign element and byte orders into row-major little-endian.
enum ElementOrder {
  /// The bytes with every element of `width` bytes reversed.
  static func swapped(_ bytes: ArraySlice<UInt8>, width: Int) -> [UInt8] {
    switch width {
    case 2: swapped(bytes, UInt16.self)
    case 4: swapped(bytes, UInt32.self)
    case 8: swapped(bytes, UInt64.self)
    default: Array(bytes)
    }
  }

  private static func swapped<Raw: FixedWidthInteger>(_ bytes: ArraySlice<UInt8>, _: Raw.Type) -> [UInt8] {
    var result = Array(bytes)
    result.withUnsafeMutableBytes { raw in
      for offset in stride(from: 0, to: raw.count, by: MemoryLayout<Raw>.size) {
        let element = raw.loadUnaligned(fromByteOffset: offset, as: Raw.self)
        raw.storeBytes(of: element.byteSwapped, toByteOffset: offset, as: Raw.self)
      }
    }
    return result
  }

  /// Column-major elements of shape `dimensions` in row-major order.
  ///
  /// - Precondition: `bytes` holds exactly the elements of `dimensions`, each of 1, 2, 4 or 8 bytes.
  static func rowMajor(_ bytes: ArraySlice<UInt8>, _ dimensions: [Int], width: Int) -> [UInt8] {
    switch width {
    case 1: rowMajor(bytes, dimensions, UInt8.self)
    case 2: rowMajor(bytes, dimensions, UInt16.self)
    case 4: rowMajor(bytes, dimensions, UInt32.self)
    default: rowMajor(bytes, dimensions, UInt64.self)
    }
  }

  private static func rowMajor<Raw: FixedWidthInteger>(
    _ bytes: ArraySlice<UInt8>, _ dimensions: [Int], _: Raw.Type
  ) -> [UInt8] {
    guard !bytes.isEmpty else { return [] }
    let width = MemoryLayout<Raw>.size
    // In column-major order the first axis varies fastest.
    var strides: [Int] = []
    var elementCount = 1
    for extent in dimensions {
      strides.append(elementCount)
      elementCount *= extent
    }
    return bytes.withUnsafeBytes { source in
      [UInt8](unsafeUninitializedCapacity: bytes.count) { buffer, count in
        let target = UnsafeMutableRawBufferPointer(buffer)
        var indices = [Int](repeating: 0, count: dimensions.count)
        var from = 0
        for element in 0..<elementCount {
          let raw = source.loadUnaligned(fromByteOffset: from * width, as: Raw.self)
          target.storeBytes(of: raw, toByteOffset: element * width, as: Raw.self)
          // Step to the next row-major index, last axis first.
          var axis = dimensions.count - 1
          while axis >= 0 {
            indices[axis] += 1
            from += strides[axis]
            guard indices[axis] == dimensions[axis] else { break }
            from -= dimensions[axis] * strides[axis]
            indices[axis] = 0
            axis -= 1
          }
        }
        count = bytes.count
      }
    }
  }
}
