// Sixteen floats of a row at a time.

@inline(__always)
func load(_ row: UnsafePointer<Float>, _ index: Int) -> SIMD16<Float> {
  UnsafeRawPointer(row + index).loadUnaligned(as: SIMD16<Float>.self)
}

@inline(__always)
func store(_ lanes: SIMD16<Float>, _ row: UnsafeMutablePointer<Float>, _ index: Int) {
  UnsafeMutableRawPointer(row + index).storeBytes(of: lanes, as: SIMD16<Float>.self)
}

/// `count` elements, the other lanes `filling`.
@inline(__always)
func loadPart(
  _ row: UnsafePointer<Float>, _ index: Int, _ count: Int, _ filling: Float = 0
) -> SIMD16<Float> {
  var lanes = SIMD16(repeating: filling)
  for lane in 0..<count { lanes[lane] = row[index &+ lane] }
  return lanes
}

/// Halves onto halves.
@inline(__always)
func total(_ lanes: SIMD16<Float>) -> Float {
  let eight = lanes.lowHalf + lanes.highHalf
  let four = eight.lowHalf + eight.highHalf
  let two = four.lowHalf + four.highHalf
  return two[0] + two[1]
}

@inline(__always)
func total(_ lanes: SIMD8<Double>) -> Double {
  let four = lanes.lowHalf + lanes.highHalf
  let two = four.lowHalf + four.highHalf
  return two[0] + two[1]
}
