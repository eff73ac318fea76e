import KernelsBaseline

/// Inner loops over rows of one format of floats as tensors hold them, at any alignment.
public struct FormatKernels: Sendable {
  /// Widens `count` elements to float32.
  public let widen:
    @Sendable (_ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int) -> Void
  /// Widens `count` elements and returns the sum of their squares, the bits of `preciseDot` of the result with
  /// itself: finite exactly when every element is.
  public let measure:
    @Sendable (_ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int) -> Double
  /// ``measure`` of four rows of `count` elements that lie one after the other.
  public let measureFour:
    @Sendable (_ source: UnsafeRawPointer, _ target: UnsafeMutablePointer<Float>, _ count: Int)
      -> SIMD4<Double>
  /// ``measure`` of four rows of `count` elements that lie one after the other and, in the same pass, their inner products
  /// with `direction` in float64: the bits of ``KernelSet/measuredDot``, squares at `sums` and products at sums[4].
  ///
  /// `room` has room for the four rows in float32.
  public let measureWith:
    @Sendable (
      _ direction: UnsafePointer<Double>, _ source: UnsafeRawPointer, _ room: UnsafeMutablePointer<Float>,
      _ count: Int, _ sums: UnsafeMutablePointer<Double>
    ) -> Void
  /// Whether the processor widens this format as fast as it reads it, so that ``column`` and ``tile`` need no copy in
  /// float32.
  public let isDirect: Bool
  /// sums[i] += Double(row 0 [i]), then that of row 1 and so on; rows lie `stride` elements apart.
  public let accumulate:
    @Sendable (
      _ source: UnsafeRawPointer, _ rows: Int, _ stride: Int, _ sums: UnsafeMutablePointer<Double>,
      _ count: Int
    ) -> Void

  /// sums[j] = the inner product of a and b_j, in float32 and within ``KernelSet/tolerance(columns:)``.
  public let column:
    @Sendable (
      _ a: UnsafeRawPointer, _ b0: UnsafeRawPointer, _ b1: UnsafeRawPointer, _ b2: UnsafeRawPointer,
      _ b3: UnsafeRawPointer, _ count: Int, _ sums: UnsafeMutablePointer<Float>
    ) -> Void
  /// sums[4 j + i] = the inner product of a_i and b_j, likewise.
  public let tile:
    @Sendable (
      _ a0: UnsafeRawPointer, _ a1: UnsafeRawPointer, _ a2: UnsafeRawPointer, _ a3: UnsafeRawPointer,
      _ b0: UnsafeRawPointer, _ b1: UnsafeRawPointer, _ b2: UnsafeRawPointer, _ b3: UnsafeRawPointer,
      _ count: Int, _ sums: UnsafeMutablePointer<Float>
    ) -> Void

  /// The inner product of two rows, likewise.
  public let product: @Sendable (_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Float

  /// The obvious loops.
  static func reference<Format: FloatFormat>(_: Format.Type) -> FormatKernels {
    @Sendable func product(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ count: Int) -> Float {
      Float(
        (0..<count).reduce(0.0) {
          $0 + Double(Format.one(a + $1 * Format.byteWidth)) * Double(Format.one(b + $1 * Format.byteWidth))
        })
    }
    return FormatKernels(
      widen: { source, target, count in
        for index in 0..<count { target[index] = Format.one(source + index * Format.byteWidth) }
      },
      measure: { source, target, count in
        for index in 0..<count { target[index] = Format.one(source + index * Format.byteWidth) }
        return ReferenceKernels.dot(target, target, count)
      },
      measureFour: { source, target, count in
        for index in 0..<(4 * count) { target[index] = Format.one(source + index * Format.byteWidth) }
        let squares = (0..<4).map { ReferenceKernels.dot(target + $0 * count, target + $0 * count, count) }
        return SIMD4(squares[0], squares[1], squares[2], squares[3])
      },
      measureWith: { direction, source, _, count, sums in
        for row in 0..<4 {
          var both = SIMD2<Double>.zero
          for index in 0..<count {
            let element = Double(Format.one(source + (row * count + index) * Format.byteWidth))
            both += SIMD2(element, direction[index]) * element
          }
          sums[row] = both[0]
          sums[4 + row] = both[1]
        }
      },
      isDirect: true,
      accumulate: { source, rows, stride, sums, count in
        for row in 0..<rows {
          for index in 0..<count {
            sums[index] += Double(Format.one(source + (row * stride + index) * Format.byteWidth))
          }
        }
      },
      column: { a, b0, b1, b2, b3, count, sums in
        for (j, b) in [b0, b1, b2, b3].enumerated() { sums[j] = product(a, b, count) }
      },
      tile: { a0, a1, a2, a3, b0, b1, b2, b3, count, sums in
        for (j, b) in [b0, b1, b2, b3].enumerated() {
          for (i, a) in [a0, a1, a2, a3].enumerated() { sums[4 * j + i] = product(a, b, count) }
        }
      },
      product: product)
  }
}

extension KernelSet {
  /// sums[i] += Double(row[i]).
  public func accumulate(_ row: Row, _ sums: UnsafeMutablePointer<Double>, _ count: Int) {
    float32.accumulate(row, 1, count, sums, count)
  }

  /// The inner products of one row with four others, in float32.
  public func column(_ a: Row, _ b0: Row, _ b1: Row, _ b2: Row, _ b3: Row, _ count: Int) -> SIMD4<Float> {
    var sums = SIMD4<Float>.zero
    withUnsafeMutableBytes(of: &sums) { bytes in
      bytes.withMemoryRebound(to: Float.self) { sums in
        if let into = sums.baseAddress { float32.column(a, b0, b1, b2, b3, count, into) }
      }
    }
    return sums
  }
}
