// Explicit lanes, because the optimiser may not reorder a floating-point sum. Products and sums stay
// separate operations: `addProduct` calls into libm, once per lane, where the target has no fused form.

extension Kernels {
  /// Eight lanes in registers of whatever width the target has (two of SSE2 or NEON on a baseline build).
  static let portable = Kernels(
    name: "portable",
    dot: PortableKernels.dot,
    dotFour: PortableKernels.dotFour,
    preciseDot: PortableKernels.preciseDot,
    widenedDot: PortableKernels.widenedDot,
    scale: PortableKernels.scale,
    accumulate: PortableKernels.accumulate)
}

private enum PortableKernels {
  typealias Row = UnsafePointer<Float>
  typealias Lanes = SIMD8<Float>

  @inline(__always)
  static func load(_ row: Row, _ index: Int) -> Lanes {
    UnsafeRawPointer(row + index).loadUnaligned(as: Lanes.self)
  }

  @inline(__always)
  static func loadWide(_ row: Row, _ index: Int) -> SIMD4<Double> {
    SIMD4<Double>(UnsafeRawPointer(row + index).loadUnaligned(as: SIMD4<Float>.self))
  }

  /// Four accumulators, because one addition must not wait for the previous.
  @Sendable
  static func dot(_ a: Row, _ b: Row, _ count: Int) -> Float {
    var s0 = Lanes.zero
    var s1 = Lanes.zero
    var s2 = Lanes.zero
    var s3 = Lanes.zero
    var index = 0
    while index &+ 32 <= count {
      s0 += load(a, index) * load(b, index)
      s1 += load(a, index &+ 8) * load(b, index &+ 8)
      s2 += load(a, index &+ 16) * load(b, index &+ 16)
      s3 += load(a, index &+ 24) * load(b, index &+ 24)
      index &+= 32
    }
    while index &+ 8 <= count {
      s0 += load(a, index) * load(b, index)
      index &+= 8
    }
    var sum = ((s0 + s1) + (s2 + s3)).sum()
    while index < count {
      sum += a[index] * b[index]
      index &+= 1
    }
    return sum
  }

  @Sendable
  static func dotFour(_ a: Row, _ b0: Row, _ b1: Row, _ b2: Row, _ b3: Row, _ count: Int) -> SIMD4<Float> {
    var s0 = Lanes.zero
    var s1 = Lanes.zero
    var s2 = Lanes.zero
    var s3 = Lanes.zero
    var index = 0
    while index &+ 8 <= count {
      let x = load(a, index)
      s0 += x * load(b0, index)
      s1 += x * load(b1, index)
      s2 += x * load(b2, index)
      s3 += x * load(b3, index)
      index &+= 8
    }
    var sums = SIMD4(s0.sum(), s1.sum(), s2.sum(), s3.sum())
    while index < count {
      sums += SIMD4(b0[index], b1[index], b2[index], b3[index]) * a[index]
      index &+= 1
    }
    return sums
  }

  @Sendable
  static func preciseDot(_ a: Row, _ b: Row, _ count: Int) -> Double {
    var s0 = SIMD4<Double>.zero
    var s1 = SIMD4<Double>.zero
    var s2 = SIMD4<Double>.zero
    var s3 = SIMD4<Double>.zero
    var index = 0
    while index &+ 16 <= count {
      s0 += loadWide(a, index) * loadWide(b, index)
      s1 += loadWide(a, index &+ 4) * loadWide(b, index &+ 4)
      s2 += loadWide(a, index &+ 8) * loadWide(b, index &+ 8)
      s3 += loadWide(a, index &+ 12) * loadWide(b, index &+ 12)
      index &+= 16
    }
    var sum = ((s0 + s1) + (s2 + s3)).sum()
    while index < count {
      sum += Double(a[index]) * Double(b[index])
      index &+= 1
    }
    return sum
  }

  @Sendable
  static func widenedDot(_ a: Row, _ b: UnsafePointer<Double>, _ count: Int) -> Double {
    var s0 = SIMD4<Double>.zero
    var s1 = SIMD4<Double>.zero
    var s2 = SIMD4<Double>.zero
    var s3 = SIMD4<Double>.zero
    let wide = UnsafeRawPointer(b)
    var index = 0
    while index &+ 16 <= count {
      let at = index &* 8
      s0 += loadWide(a, index) * wide.loadUnaligned(fromByteOffset: at, as: SIMD4<Double>.self)
      s1 += loadWide(a, index &+ 4) * wide.loadUnaligned(fromByteOffset: at &+ 32, as: SIMD4<Double>.self)
      s2 += loadWide(a, index &+ 8) * wide.loadUnaligned(fromByteOffset: at &+ 64, as: SIMD4<Double>.self)
      s3 += loadWide(a, index &+ 12) * wide.loadUnaligned(fromByteOffset: at &+ 96, as: SIMD4<Double>.self)
      index &+= 16
    }
    var sum = ((s0 + s1) + (s2 + s3)).sum()
    while index < count {
      sum += Double(a[index]) * b[index]
      index &+= 1
    }
    return sum
  }

  @Sendable
  static func scale(_ source: Row, _ factor: Double, _ target: UnsafeMutablePointer<Float>, _ count: Int) {
    let into = UnsafeMutableRawPointer(target)
    var index = 0
    while index &+ 4 <= count {
      let product = SIMD4<Float>(loadWide(source, index) * factor)
      into.storeBytes(of: product, toByteOffset: index &* 4, as: SIMD4<Float>.self)
      index &+= 4
    }
    while index < count {
      target[index] = Float(Double(source[index]) * factor)
      index &+= 1
    }
  }

  @Sendable
  static func accumulate(_ row: Row, _ sums: UnsafeMutablePointer<Double>, _ count: Int) {
    let into = UnsafeMutableRawPointer(sums)
    var index = 0
    while index &+ 4 <= count {
      let sum = UnsafeRawPointer(into).loadUnaligned(fromByteOffset: index &* 8, as: SIMD4<Double>.self)
      into.storeBytes(of: sum + loadWide(row, index), toByteOffset: index &* 8, as: SIMD4<Double>.self)
      index &+= 4
    }
    while index < count {
      sums[index] += Double(row[index])
      index &+= 1
    }
  }
}
