/// `BlockedProducts.multiply` with the same bits at every level: each product is added to its sum in one rounding.
///
/// Processors of x86-64-v3 and arm64 have an instruction for that, and there this is the blocked product itself. At the
/// baseline of x86-64 it is computed in float64, at some five times the operations.
public enum FusedProducts {
  public typealias Row = UnsafePointer<Float>

  /// target[i * stride + j] = row i of `a` times row j of what was packed, for all i < rows and j < count.
  @Sendable @inline(never)
  public static func multiply(
    _ a: Row, _ rows: Int, _ columns: Int, _ panels: Row, _ count: Int,
    _ target: UnsafeMutablePointer<Float>, _ stride: Int
  ) {
    #if FUSED
      BlockedProducts.multiply(a, rows, columns, panels, count, target, stride)
    #else
      var first = 0
      while first < count {
        let width = min(BlockedProducts.panelWidth, count &- first)
        let panel = panels + first &* columns
        var row = 0
        while row < rows {
          let height = min(tileRows, rows &- row)
          tile(
            a + row &* columns, columns, height, panel, target + (row &* stride &+ first), stride, width)
          row &+= tileRows
        }
        first &+= BlockedProducts.panelWidth
      }
    #endif
  }

  #if !FUSED
    private static let tileRows = 4

    /// The sums of a panel for one row, of up to `BlockedProducts.run` products.
    private struct Sums {
      var low = SIMD4<Float>.zero
      var high = SIMD4<Float>.zero

      @inline(__always)
      mutating func add(_ factor: Float, times row: (SIMD4<Float>, SIMD4<Float>)) {
        let lanes = SIMD4<Float>(repeating: factor)
        low.addFused(lanes, times: row.0)
        high.addFused(lanes, times: row.1)
      }

      @inline(__always)
      func put(_ target: UnsafeMutablePointer<Float>, _ width: Int, adding: Bool) {
        let lanes = SIMD8(lowHalf: low, highHalf: high)
        for lane in 0..<width { target[lane] = adding ? lanes[lane] + target[lane] : lanes[lane] }
      }
    }

    @inline(__always)
    private static func tile(
      _ a: Row, _ columns: Int, _ height: Int, _ panel: Row, _ target: UnsafeMutablePointer<Float>,
      _ stride: Int, _ width: Int
    ) {
      // Rows that are missing are the first one again, and nothing is written of them.
      let (a1, a2, a3) = (
        height > 1 ? a + columns : a, height > 2 ? a + 2 &* columns : a, height > 3 ? a + 3 &* columns : a
      )
      var k = 0
      var adding = false
      repeat {
        let end = min(k &+ BlockedProducts.run, columns)
        var (s0, s1, s2, s3) = (Sums(), Sums(), Sums(), Sums())
        while k < end {
          let raw = UnsafeRawPointer(panel + k &* BlockedProducts.panelWidth)
          let row = (
            raw.loadUnaligned(as: SIMD4<Float>.self),
            raw.loadUnaligned(fromByteOffset: 16, as: SIMD4<Float>.self)
          )
          s0.add(a[k], times: row)
          s1.add(a1[k], times: row)
          s2.add(a2[k], times: row)
          s3.add(a3[k], times: row)
          k &+= 1
        }
        s0.put(target, width, adding: adding)
        if height > 1 { s1.put(target + stride, width, adding: adding) }
        if height > 2 { s2.put(target + 2 &* stride, width, adding: adding) }
        if height > 3 { s3.put(target + 3 &* stride, width, adding: adding) }
        adding = true
      } while k < columns
    }
  #endif
}

#if !FUSED
  extension SIMD4<Float> {
    /// self + a b, rounded once.
    @inline(__always)
    mutating func addFused(_ a: Self, times b: Self) {
      #if arch(x86_64)
        self = Self(
          lowHalf: fused(lowHalf, a.lowHalf, b.lowHalf), highHalf: fused(highHalf, a.highHalf, b.highHalf))
      #else
        addProduct(a, b)
      #endif
    }
  }
#endif

#if !FUSED && arch(x86_64)
  /// c + a b, rounded once, without an instruction for it.
  ///
  /// The product is exact in float64. Their sum is rounded to odd, which a later rounding to fewer digits cannot tell from the
  /// exact sum (S. Boldo and G. Melquiond, "Emulation of a FMA and correctly rounded sums", IEEE Transactions on Computers
  /// 57(4), 2008): where it is not exact and its last bit is even, the neighbour on the other side of the exact sum is taken.
  @inline(__always)
  private func fused(_ c: SIMD2<Float>, _ a: SIMD2<Float>, _ b: SIMD2<Float>) -> SIMD2<Float> {
    let product = SIMD2<Double>(widening: a) * SIMD2<Double>(widening: b)
    let term = SIMD2<Double>(widening: c)
    let sum = product + term
    // What the sum lost (D. E. Knuth, "The Art of Computer Programming", volume 2, section 4.2.2, theorem B).
    let part = sum - product
    let lost = (product - (sum - part)) + (term - part)
    let bits = unsafeBitCast(sum, to: SIMD2<Int64>.self)
    let isEven = SIMD2<Int64>.zero &- ((bits & 1) ^ 1)
    // Both have the same sign where the exact sum is larger in magnitude: then one unit up, else one down.
    let direction = ((bits ^ unsafeBitCast(lost, to: SIMD2<Int64>.self)) &>> 63) | 1
    let isInexact = (lost .> SIMD2<Double>.zero) .| (lost .< SIMD2<Double>.zero)
    let change = SIMD2<Int64>.zero.replacing(with: direction & isEven, where: isInexact)
    let odd = unsafeBitCast(bits &+ change, to: SIMD2<Double>.self)
    return SIMD2(Float(odd[0]), Float(odd[1]))
  }
#endif
