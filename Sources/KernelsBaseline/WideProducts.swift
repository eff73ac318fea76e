/// Products of float64 rows with float32 panels, in float64: the layers of a network.
///
/// Every result is what was there plus its products one after the other, k ascending, each rounded before it is
/// added: the bits are the same at every level, in whatever tile a result falls. (The processors that multiply and
/// add in one step do both at once in two as well.)
public enum WideProducts {
  /// Columns of a panel.
  public static let panelWidth = 16

  #if WIDE
    private typealias Lanes = SIMD8<Double>
    private typealias Narrow = SIMD8<Float>
    private static let tileRows = 8
  #elseif FUSED
    private typealias Lanes = SIMD4<Double>
    private typealias Narrow = SIMD4<Float>
    private static let tileRows = 4
  #else
    private typealias Lanes = SIMD2<Double>
    private typealias Narrow = SIMD2<Float>
    private static let tileRows = 4
  #endif
  private static let width = Lanes.scalarCount

  /// target[i * targetStride + c] += the sum over k < depth of left[i * leftStride + k] * panel[k * panelStride + c],
  /// for all i < rows and c < columns.
  @Sendable @inline(never)
  public static func addProducts(
    _ left: UnsafePointer<Double>, _ leftStride: Int, _ rows: Int, _ panel: UnsafePointer<Float>,
    _ panelStride: Int, _ depth: Int, _ target: UnsafeMutablePointer<Double>, _ targetStride: Int,
    _ columns: Int
  ) {
    var column = 0
    while column &+ 2 &* width <= columns {
      var row = 0
      while row &+ tileRows <= rows {
        tile(
          left + row &* leftStride, leftStride, panel + column, panelStride, depth,
          target + (row &* targetStride &+ column), targetStride)
        row &+= tileRows
      }
      while row < rows {
        strip(
          left + row &* leftStride, panel + column, panelStride, depth,
          target + (row &* targetStride &+ column))
        row &+= 1
      }
      column &+= 2 &* width
    }
    while column < columns {
      for row in 0..<rows {
        let factors = left + row &* leftStride
        var sum = target[row &* targetStride &+ column]
        for k in 0..<depth { sum += factors[k] * Double(panel[k &* panelStride &+ column]) }
        target[row &* targetStride &+ column] = sum
      }
      column &+= 1
    }
  }

  private struct Pair {
    var low: Lanes
    var high: Lanes

    @inline(__always)
    init(_ source: UnsafePointer<Float>) {
      let raw = UnsafeRawPointer(source)
      low = Lanes(widening: raw.loadUnaligned(as: Narrow.self))
      high = Lanes(widening: raw.loadUnaligned(fromByteOffset: width &* 4, as: Narrow.self))
    }

    @inline(__always)
    init(sums: UnsafePointer<Double>) {
      let raw = UnsafeRawPointer(sums)
      low = raw.loadUnaligned(as: Lanes.self)
      high = raw.loadUnaligned(fromByteOffset: width &* 8, as: Lanes.self)
    }

    @inline(__always)
    mutating func add(_ factor: Double, times other: Pair) {
      low += Lanes(repeating: factor) * other.low
      high += Lanes(repeating: factor) * other.high
    }

    @inline(__always)
    func store(_ target: UnsafeMutablePointer<Double>) {
      let raw = UnsafeMutableRawPointer(target)
      raw.storeBytes(of: low, as: Lanes.self)
      raw.storeBytes(of: high, toByteOffset: width &* 8, as: Lanes.self)
    }
  }

  @inline(__always)
  private static func strip(
    _ left: UnsafePointer<Double>, _ panel: UnsafePointer<Float>, _ panelStride: Int, _ depth: Int,
    _ target: UnsafeMutablePointer<Double>
  ) {
    var sums = Pair(sums: target)
    var k = 0
    while k < depth {
      sums.add(left[k], times: Pair(panel + k &* panelStride))
      k &+= 1
    }
    sums.store(target)
  }

  @inline(__always)
  private static func tile(
    _ left: UnsafePointer<Double>, _ leftStride: Int, _ panel: UnsafePointer<Float>, _ panelStride: Int,
    _ depth: Int, _ target: UnsafeMutablePointer<Double>, _ stride: Int
  ) {
    var r0 = Pair(sums: target)
    var r1 = Pair(sums: target + stride)
    var r2 = Pair(sums: target + 2 &* stride)
    var r3 = Pair(sums: target + 3 &* stride)
    #if WIDE
      var r4 = Pair(sums: target + 4 &* stride)
      var r5 = Pair(sums: target + 5 &* stride)
      var r6 = Pair(sums: target + 6 &* stride)
      var r7 = Pair(sums: target + 7 &* stride)
    #endif
    var k = 0
    while k < depth {
      let row = Pair(panel + k &* panelStride)
      let factors = left + k
      r0.add(factors[0], times: row)
      r1.add(factors[leftStride], times: row)
      r2.add(factors[2 &* leftStride], times: row)
      r3.add(factors[3 &* leftStride], times: row)
      #if WIDE
        r4.add(factors[4 &* leftStride], times: row)
        r5.add(factors[5 &* leftStride], times: row)
        r6.add(factors[6 &* leftStride], times: row)
        r7.add(factors[7 &* leftStride], times: row)
      #endif
      k &+= 1
    }
    r0.store(target)
    r1.store(target + stride)
    r2.store(target + 2 &* stride)
    r3.store(target + 3 &* stride)
    #if WIDE
      r4.store(target + 4 &* stride)
      r5.store(target + 5 &* stride)
      r6.store(target + 6 &* stride)
      r7.store(target + 7 &* stride)
    #endif
  }
}
