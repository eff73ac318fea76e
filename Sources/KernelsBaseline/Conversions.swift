// Conversions lane by lane, which become one instruction each, and sums of products.
//
// Not the standard library's generic conversions: where the compiler does not inline those, it makes a function of them that
// all modules share, and the linker keeps that of one processor level for all.

extension SIMD2<Double> {
  @inline(__always)
  init(widening lanes: SIMD2<Float>) { self.init(Double(lanes[0]), Double(lanes[1])) }
}

extension SIMD4<Double> {
  @inline(__always)
  init(widening lanes: SIMD4<Float>) {
    self.init(Double(lanes[0]), Double(lanes[1]), Double(lanes[2]), Double(lanes[3]))
  }
}

extension SIMD8<Double> {
  @inline(__always)
  init(widening lanes: SIMD8<Float>) {
    self.init(
      Double(lanes[0]), Double(lanes[1]), Double(lanes[2]), Double(lanes[3]), Double(lanes[4]),
      Double(lanes[5]), Double(lanes[6]), Double(lanes[7]))
  }
}

extension SIMD8<Float> {
  @inline(__always)
  init(narrowing lanes: SIMD8<Double>) {
    self.init(
      Float(lanes[0]), Float(lanes[1]), Float(lanes[2]), Float(lanes[3]), Float(lanes[4]), Float(lanes[5]),
      Float(lanes[6]), Float(lanes[7]))
  }
}

// Of each kind of lanes its own, since a generic function might be shared as well. (At the baseline `addProduct` would
// call into libm, lane by lane.)

extension SIMD4<Float> {
  @inline(__always)
  mutating func add(_ a: Self, times b: Self) {
    #if FUSED
      addProduct(a, b)
    #else
      self += a * b
    #endif
  }
}

extension SIMD8<Float> {
  @inline(__always)
  mutating func add(_ a: Self, times b: Self) {
    #if FUSED
      addProduct(a, b)
    #else
      self += a * b
    #endif
  }
}

extension SIMD16<Float> {
  @inline(__always)
  mutating func add(_ a: Self, times b: Self) {
    #if FUSED
      addProduct(a, b)
    #else
      self += a * b
    #endif
  }
}

extension SIMD8<Double> {
  /// For products of numbers that were float32, which are exact in float64: fusing them with the sum changes no bit.
  @inline(__always)
  mutating func add(exact a: Self, times b: Self) {
    #if FUSED
      addProduct(a, b)
    #else
      self += a * b
    #endif
  }
}

#if FUSED
  extension SIMD8<Float> {
    @inline(__always)
    init(widening lanes: SIMD8<Float16>) {
      self.init(
        Float(lanes[0]), Float(lanes[1]), Float(lanes[2]), Float(lanes[3]), Float(lanes[4]), Float(lanes[5]),
        Float(lanes[6]), Float(lanes[7]))
    }
  }
#endif
