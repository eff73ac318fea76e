import Kernels

// The only place where a tensor's bytes become numbers.

extension Tensor {
  /// Calls `body` with all elements, row-major, as float32.
  ///
  /// Aligned F32 is viewed in place; every other type is widened (F64: narrowed) once into a fresh array.
  /// - Complexity: O(1) for aligned F32, O(n) otherwise.
  public func withFloats<Result: ~Copyable, Failure: Error>(
    _ body: (Span<Float>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    if elementType == .float32 {
      let isAligned = bytes.withUnsafeBytes {
        Int(bitPattern: $0.baseAddress) % MemoryLayout<Float>.alignment == 0
      }
      if isAligned {
        return try bytes.span.bytes.withUnsafeBytes { (raw) throws(Failure) -> Result in
          try raw.withMemoryRebound(to: Float.self) { (floats) throws(Failure) -> Result in
            try body(floats.span)
          }
        }
      }
    }
    let floats = floats()
    return try body(floats.span)
  }

  /// All elements, row-major, as float32. BOOL reads as 0 and 1.
  public func floats() -> [Float] {
    bytes.withUnsafeBytes { source in
      [Float](unsafeUninitializedCapacity: elementCount) { target, count in
        count = elementCount
        switch elementType {
        case .float32:
          UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
        case .float16:
          Self.widen(source, into: target, KernelSet.active.widenFloat16, HalfPrecision.widen(float16:))
        case .bfloat16:
          Self.widen(source, into: target, KernelSet.active.widenBFloat16, HalfPrecision.widen(bfloat16:))
        case .float64: Self.convert(source, into: target) { (x: UInt64) in Float(Double(bitPattern: x)) }
        case .int64: Self.convert(source, into: target) { (x: Int64) in Float(x) }
        case .int32: Self.convert(source, into: target) { (x: Int32) in Float(x) }
        case .int16: Self.convert(source, into: target) { (x: Int16) in Float(x) }
        case .int8: Self.convert(source, into: target) { (x: Int8) in Float(x) }
        case .uint64: Self.convert(source, into: target) { (x: UInt64) in Float(x) }
        case .uint32: Self.convert(source, into: target) { (x: UInt32) in Float(x) }
        case .uint16: Self.convert(source, into: target) { (x: UInt16) in Float(x) }
        case .uint8: Self.convert(source, into: target) { (x: UInt8) in Float(x) }
        case .bool: Self.convert(source, into: target) { (x: UInt8) in x == 0 ? 0 : 1 }
        }
      }
    }
  }

  /// All elements, row-major, as float64: exact for every type except 64-bit integers beyond 2^53.
  public func doubles() -> [Double] {
    switch elementType {
    case .float64: convertedToDouble { (x: UInt64) in Double(bitPattern: x) }
    case .int64: convertedToDouble { (x: Int64) in Double(x) }
    case .uint64: convertedToDouble { (x: UInt64) in Double(x) }
    case .int32: convertedToDouble { (x: Int32) in Double(x) }
    case .uint32: convertedToDouble { (x: UInt32) in Double(x) }
    default:
      withFloats { floats in
        [Double](unsafeUninitializedCapacity: elementCount) { target, count in
          count = elementCount
          for index in floats.indices { target.initializeElement(at: index, to: Double(floats[index])) }
        }
      }
    }
  }

  /// All elements of an integer tensor, row-major.
  ///
  /// - Returns: nil when the elements are not integers, or one does not fit an `Int`.
  public func integers() -> [Int]? {
    switch elementType {
    case .int64: converted { (x: Int64) in Int(x) }
    case .int32: converted { (x: Int32) in Int(x) }
    case .int16: converted { (x: Int16) in Int(x) }
    case .int8: converted { (x: Int8) in Int(x) }
    case .uint64: converted { (x: UInt64) in Int(exactly: x) }
    case .uint32: converted { (x: UInt32) in Int(x) }
    case .uint16: converted { (x: UInt16) in Int(x) }
    case .uint8: converted { (x: UInt8) in Int(x) }
    case .float64, .float32, .float16, .bfloat16, .bool: nil
    }
  }

  /// The row-major index of the first element that is NaN or infinite as float32, or nil.
  ///
  /// An F64 element may be finite and still become infinite in ``floats()``, so it counts as well. Everything
  /// else is non-finite exactly when its exponent bits are all ones, which needs no widening.
  public func firstNonFiniteIndex() -> Int? {
    switch elementType {
    case .float64:
      // Magnitudes order as their bits do; from the middle between the largest Float and 2^128 on they round
      // to infinity, and infinity and NaN lie above.
      firstIndex { (x: UInt64) in x & 0x7fff_ffff_ffff_ffff >= (0x1.ffffffp127 as Double).bitPattern }
    case .float32: firstIndex { (x: UInt32) in x & 0x7f80_0000 == 0x7f80_0000 }
    case .float16: firstIndex { (x: UInt16) in x & 0x7c00 == 0x7c00 }
    case .bfloat16: firstIndex { (x: UInt16) in x & 0x7f80 == 0x7f80 }
    default: nil
    }
  }

  /// The row-major index of the first 64-bit integer beyond 2^53 in magnitude, or nil: float64 does not tell these from
  /// their neighbors.
  public func firstInexactIndex() -> Int? {
    switch elementType {
    case .int64: firstIndex { (x: Int64) in x.magnitude > 1 << 53 }
    case .uint64: firstIndex { (x: UInt64) in x > 1 << 53 }
    default: nil
    }
  }

  // MARK: Making tensors

  public static func float32(_ values: [Float], shape: Shape) throws(TensorError) -> Tensor {
    let bytes = values.withUnsafeBytes { Array($0) }
    return try Tensor(elementType: .float32, shape: shape, bytes: bytes[...])
  }

  public static func int64(_ values: [Int], shape: Shape) throws(TensorError) -> Tensor {
    let bytes = values.map { Int64($0).littleEndian }.withUnsafeBytes { Array($0) }
    return try Tensor(elementType: .int64, shape: shape, bytes: bytes[...])
  }

  /// The floats narrowed to `elementType`, round to nearest, ties to even.
  ///
  /// - Precondition: `elementType` is a floating-point type.
  public static func floatingPoint(
    _ values: [Float], shape: Shape, as elementType: ElementType
  ) throws(TensorError) -> Tensor {
    let bytes: [UInt8]
    switch elementType {
    case .float32: return try float32(values, shape: shape)
    case .float64: bytes = values.map { Double($0).bitPattern.littleEndian }.withUnsafeBytes { Array($0) }
    case .float16:
      bytes = values.map { HalfPrecision.narrowToFloat16($0).littleEndian }.withUnsafeBytes { Array($0) }
    case .bfloat16:
      bytes = values.map { HalfPrecision.narrowToBFloat16($0).littleEndian }.withUnsafeBytes { Array($0) }
    default: preconditionFailure("\(elementType) is not a floating-point type")
    }
    return try Tensor(elementType: elementType, shape: shape, bytes: bytes[...])
  }
}

extension Tensor {
  @inline(__always)
  private static func convert<Raw: FixedWidthInteger>(
    _ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<Float>,
    _ transform: (Raw) -> Float
  ) {
    for index in target.indices {
      let raw = source.loadUnaligned(fromByteOffset: index * MemoryLayout<Raw>.size, as: Raw.self)
      target.initializeElement(at: index, to: transform(Raw(littleEndian: raw)))
    }
  }

  /// Whole registers of eight first, the tail one by one.
  private static func widen(
    _ source: UnsafeRawBufferPointer, into target: UnsafeMutableBufferPointer<Float>,
    _ many: (UnsafeRawPointer, UnsafeMutableRawPointer, Int) -> Int, _ one: (UInt16) -> Float
  ) {
    guard let from = source.baseAddress, let into = UnsafeMutableRawPointer(target.baseAddress) else {
      return
    }
    for index in many(from, into, target.count)..<target.count {
      let bits = source.loadUnaligned(fromByteOffset: index &* 2, as: UInt16.self)
      target.initializeElement(at: index, to: one(UInt16(littleEndian: bits)))
    }
  }

  private func convertedToDouble<Raw: FixedWidthInteger>(_ transform: (Raw) -> Double) -> [Double] {
    bytes.withUnsafeBytes { source in
      (0..<elementCount).map { index in
        let raw = source.loadUnaligned(fromByteOffset: index * MemoryLayout<Raw>.size, as: Raw.self)
        return transform(Raw(littleEndian: raw))
      }
    }
  }

  private func converted<Raw: FixedWidthInteger>(_ transform: (Raw) -> Int?) -> [Int]? {
    bytes.withUnsafeBytes { source in
      var values: [Int] = []
      values.reserveCapacity(elementCount)
      for index in 0..<elementCount {
        let raw = source.loadUnaligned(fromByteOffset: index * MemoryLayout<Raw>.size, as: Raw.self)
        guard let value = transform(Raw(littleEndian: raw)) else { return nil }
        values.append(value)
      }
      return values
    }
  }

  /// Looks block by block first: a block without a hit is decided by one comparison at its end, which the
  /// compiler vectorises; only a block with a hit is searched element by element.
  private func firstIndex<Raw: FixedWidthInteger>(where isHit: (Raw) -> Bool) -> Int? {
    bytes.withUnsafeBytes { source in
      let width = MemoryLayout<Raw>.size
      let blockLength = 1024
      var start = 0
      while start < elementCount {
        let end = min(start + blockLength, elementCount)
        var found = false
        for index in start..<end {
          let raw = source.loadUnaligned(fromByteOffset: index &* width, as: Raw.self)
          found = isHit(Raw(littleEndian: raw)) || found
        }
        if found {
          return (start..<end).first { index in
            isHit(Raw(littleEndian: source.loadUnaligned(fromByteOffset: index * width, as: Raw.self)))
          }
        }
        start = end
      }
      return nil
    }
  }
}
