extension KernelSet {
  /// The obvious loops with binary64 accumulators: what every other set is compared with.
  public static let reference = KernelSet(
    name: "reference",
    dot: { a, b, count in Float(ReferenceKernels.dot(a, b, count)) },
    dotFour: { a, b0, b1, b2, b3, count in
      SIMD4(
        Float(ReferenceKernels.dot(a, b0, count)), Float(ReferenceKernels.dot(a, b1, count)),
        Float(ReferenceKernels.dot(a, b2, count)), Float(ReferenceKernels.dot(a, b3, count)))
    },
    preciseDot: ReferenceKernels.dot,
    widenedDot: { a, b, count in
      var sum = 0.0
      for index in 0..<count { sum += Double(a[index]) * b[index] }
      return sum
    },
    widenedDotFour: { a, b0, b1, b2, b3, count in
      var sums = SIMD4<Double>.zero
      for index in 0..<count {
        sums += SIMD4(b0[index], b1[index], b2[index], b3[index]) * Double(a[index])
      }
      return sums
    },
    scale: { source, factor, target, count in
      for index in 0..<count { target[index] = Float(Double(source[index]) * factor) }
    },
    accumulate: { row, sums, count in
      for index in 0..<count { sums[index] += Double(row[index]) }
    },
    widenFloat16: { _, _, _ in 0 },
    widenBFloat16: { _, _, _ in 0 },
    tiles: .reference)
}

public enum ReferenceKernels {
  @Sendable
  public static func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Double {
    var sum = 0.0
    for index in 0..<count { sum += Double(a[index]) * Double(b[index]) }
    return sum
  }
}
