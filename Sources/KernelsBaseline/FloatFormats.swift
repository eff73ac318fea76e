/// A format of floats as tensors hold them, read sixteen or eight at a time.
///
/// Elements need not be aligned.
public protocol FloatFormat: SendableMetatype {
  static var byteWidth: Int { get }
  static func sixteen(_ source: UnsafeRawPointer) -> SIMD16<Float>
  static func eight(_ source: UnsafeRawPointer) -> SIMD8<Float>
  static func one(_ source: UnsafeRawPointer) -> Float
}

public enum Binary32: FloatFormat {
  public static var byteWidth: Int { 4 }

  @inline(__always)
  public static func sixteen(_ source: UnsafeRawPointer) -> SIMD16<Float> {
    source.loadUnaligned(as: SIMD16<Float>.self)
  }

  @inline(__always)
  public static func eight(_ source: UnsafeRawPointer) -> SIMD8<Float> {
    source.loadUnaligned(as: SIMD8<Float>.self)
  }

  @inline(__always)
  public static func one(_ source: UnsafeRawPointer) -> Float { source.loadUnaligned(as: Float.self) }
}

/// Inner loops over rows of one format, compiled like ``SIMDKernels``; sums are float64 and of one order at every
/// level.
enum FormatLoops<Format: FloatFormat> {
  /// Widens `count` elements and returns the sum of their squares, the bits of `preciseDot` of the result with
  /// itself; it is finite exactly when all elements are.
  ///
  /// Squares are formed of what was just written, while it lies in the first-level cache: in one loop the compiler
  /// would fuse the two widenings into one that no processor has.
  @inline(__always)
  static func measure(_ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int)
    -> Double
  {
    widenAll(source, target, count)
    return SIMDKernels.preciseDot(target, target, count)
  }

  /// The same for four rows that lie one after the other, which `target` has room for.
  @inline(__always)
  static func measureFour(_ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int)
    -> SIMD4<Double>
  {
    widenAll(source, target, 4 &* count)
    return SIMDKernels.preciseSquares(target, count)
  }

  /// `SIMDKernels.measuredDot` of four rows that lie one after the other with `direction`, to the bit: the squares,
  /// then the products. `room` has room for four rows in float32.
  @inline(__always)
  static func measureWith(
    _ direction: UnsafePointer<Double>, _ source: UnsafeRawPointer, _ room: UnsafeMutablePointer<Float>,
    _ count: Int, _ sums: UnsafeMutablePointer<Double>
  ) {
    // Where they lie as numbers, there is nothing to widen.
    if Format.self == Binary32.self,
      UInt(bitPattern: source).isMultiple(of: UInt(MemoryLayout<Float>.alignment))
    {
      SIMDKernels.measuredDots(source.assumingMemoryBound(to: Float.self), direction, count, sums)
    } else {
      widenAll(source, room, 4 &* count)
      SIMDKernels.measuredDots(room, direction, count, sums)
    }
  }

  /// Widens `count` elements.
  @inline(__always)
  static func widenAll(_ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int) {
    var index = widen(source, target, count)
    while index < count {
      target[index] = Format.one(source + index &* Format.byteWidth)
      index &+= 1
    }
  }

  /// - Returns: how many elements it wrote; the rest, fewer than sixteen, is the caller's.
  @inline(__always)
  static func widen(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, _ count: Int) -> Int {
    var index = 0
    while index &+ 16 <= count {
      let lanes = Format.sixteen(source + index &* Format.byteWidth)
      target.storeBytes(of: lanes, toByteOffset: index &* 4, as: SIMD16<Float>.self)
      index &+= 16
    }
    return index
  }

  /// sums[i] += row 0 [i], then row 1 [i] and so on, `stride` elements apart.
  ///
  /// Four rows at a time, so that a sum is loaded and stored once for four additions.
  @inline(__always)
  static func accumulate(
    _ source: UnsafeRawPointer, _ rows: Int, _ stride: Int, _ sums: UnsafeMutablePointer<Double>,
    _ count: Int
  ) {
    let step = stride &* Format.byteWidth
    var row = 0
    while row &+ 4 <= rows {
      add(source + row &* step, 4, step, sums, count)
      row &+= 4
    }
    while row < rows {
      add(source + row &* step, 1, step, sums, count)
      row &+= 1
    }
  }

  @inline(__always)
  private static func add(
    _ source: UnsafeRawPointer, _ rows: Int, _ step: Int, _ sums: UnsafeMutablePointer<Double>, _ count: Int
  ) {
    var index = 0
    while index &+ 16 <= count {
      let from = source + index &* Format.byteWidth
      let into = UnsafeMutableRawPointer(sums + index)
      var low = UnsafeRawPointer(into).loadUnaligned(as: SIMD8<Double>.self)
      var high = UnsafeRawPointer(into).loadUnaligned(fromByteOffset: 64, as: SIMD8<Double>.self)
      for row in 0..<rows {
        let lanes = Format.sixteen(from + row &* step)
        low += SIMD8<Double>(widening: lanes.lowHalf)
        high += SIMD8<Double>(widening: lanes.highHalf)
      }
      into.storeBytes(of: low, as: SIMD8<Double>.self)
      into.storeBytes(of: high, toByteOffset: 64, as: SIMD8<Double>.self)
      index &+= 16
    }
    while index < count {
      for row in 0..<rows {
        sums[index] += Double(Format.one(source + (row &* step &+ index &* Format.byteWidth)))
      }
      index &+= 1
    }
  }
}

/// ``FormatLoops`` without a rest, for the table.
public enum FloatFormatKernels {
  /// Widens the first `count / 16 * 16` binary16 patterns of `source` to float32, exactly.
  ///
  /// - Returns: how many elements it wrote; the rest, fewer than sixteen, is the caller's.
  @Sendable @inline(never)
  public static func widenFloat16(
    _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, _ count: Int
  ) -> Int { FormatLoops<Binary16>.widen(source, target, count) }

  /// The same for bfloat16, which is the upper half of float32.
  @Sendable @inline(never)
  public static func widenBFloat16(
    _ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, _ count: Int
  ) -> Int { FormatLoops<Brain16>.widen(source, target, count) }
}
