import KernelsBaseline

@testable import Kernels

extension FormatKernels {
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
