import KernelsBaseline

@testable public import Kernels

extension KernelSet {
  /// The obvious loops with float64 accumulators: what every other set is compared with.
  public static let reference = KernelSet(
    name: "reference",
    dot: { a, b, count in Float(ReferenceKernels.dot(a, b, count)) },
    preciseDot: ReferenceKernels.dot,
    widenedDot: { a, b, count in
      var sum = 0.0
      for index in 0..<count { sum += Double(a[index]) * b[index] }
      return sum
    },
    measuredDot: { a, b, count in
      (0..<count).reduce(SIMD2<Double>.zero) { $0 + SIMD2(Double(a[$1]), b[$1]) * Double(a[$1]) }
    },
    absoluteSums: { a, b, c, d, count in
      let sums = [a, b, c, d].map { row in
        // The order of the fast ones, so that ties are the same.
        let turns = (0..<8).map { lane in
          stride(from: lane, to: count / 8 * 8, by: 8).reduce(0.0) { $0 + Double(row[$1].magnitude) }
        }
        let whole = turns.reduce(0, +)
        return (count / 8 * 8..<count).reduce(whole) { $0 + Double(row[$1].magnitude) }
      }
      return SIMD4(sums[0], sums[1], sums[2], sums[3])
    },
    scale: { source, factor, target, count in
      for index in 0..<count { target[index] = Float(Double(source[index]) * factor) }
    },
    tiles: .reference,
    factors: .reference,
    search: .reference,
    coverage: .reference,
    widenFloat16: { _, _, _ in 0 },
    widenBFloat16: { _, _, _ in 0 },
    float32: .reference(Binary32.self),
    float16: .reference(Binary16.self),
    bfloat16: .reference(Brain16.self),
    panelWidth: 1,
    pack: { rows, _, columns, range, target in
      for index in (range.lowerBound * columns)..<(range.upperBound * columns) {
        target[index] = rows[index]
      }
    },
    multiply: { a, rows, columns, panels, count, target, stride in
      for i in 0..<rows {
        for j in 0..<count {
          let product = ReferenceKernels.dot(a + i * columns, panels + j * columns, columns)
          target[i * stride + j] = Float(product)
        }
      }
    },
    symmetricProducts: { rows, _, columns, _, range, target, stride, adding, _ in
      for i in range {
        for j in 0...i {
          var product = Float(ReferenceKernels.dot(rows + i * columns, rows + j * columns, columns))
          if adding { product += target[i * stride + j] }
          target[i * stride + j] = product
          target[j * stride + i] = product
        }
      }
    },
    addWideProducts: { left, leftStride, rows, panel, panelStride, depth, target, targetStride, columns in
      for i in 0..<rows {
        for c in 0..<columns {
          for k in 0..<depth {
            target[i * targetStride + c] += left[i * leftStride + k] * Double(panel[k * panelStride + c])
          }
        }
      }
    },
    wideRows: .reference,
    networks: .reference)
}

public enum ReferenceKernels {
  @Sendable
  public static func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Double {
    var sum = 0.0
    for index in 0..<count { sum += Double(a[index]) * Double(b[index]) }
    return sum
  }
}
