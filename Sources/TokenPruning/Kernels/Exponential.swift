/// e to the power `x`, within 2 units in the last place.
///
/// Argument reduction to |r| <= ln(2)/2 with ln(2) in two parts (W. J. Cody and W. Waite, "Software Manual for
/// the Elementary Functions", 1980), then the Taylor polynomial of degree 14. Above 709.78 the result is
/// infinity, below -745.14 it is 0, and subnormal results are rounded once.
func exponential(_ x: Double) -> Double {
  guard x.isFinite else { return x.isNaN ? x : (x > 0 ? .infinity : 0) }
  if x > 709.782712893384 { return .infinity }
  if x < -745.1332191019412 { return 0 }
  let k = (x * 1.4426950408889634).rounded(.toNearestOrEven)
  // k has at most 11 bits and the upper part of ln(2) ends in 21 zero bits, so the product is exact.
  let high = x - k * LogarithmOfTwo.high
  let low = k * LogarithmOfTwo.low
  let r = high - low
  let lost = (high - r) - low
  var tail = 0.0
  for coefficient in reciprocalFactorials { tail = tail * r + coefficient }
  let significand = 1 + (r + (lost + r * r * tail))
  return scaled(significand, byPowerOfTwo: Int(k))
}

/// The natural logarithm of a positive finite number, within 2 units in the last place of the larger summand.
///
/// - Precondition: `x` is finite and greater than 0.
func naturalLogarithm(_ x: Double) -> Double {
  precondition(x > 0 && x.isFinite)
  var significand = x.significand
  var exponent = Double(x.exponent)
  if significand > 2.0.squareRoot() {
    significand /= 2
    exponent += 1
  }
  // ln(m) = 2 atanh(s) with s = (m - 1) / (m + 1), |s| <= 0.1716: s^25 / 25 is below 1e-20.
  let s = (significand - 1) / (significand + 1)
  var series = 0.0
  for odd in stride(from: 23.0, through: 3, by: -2) { series = (series + 1 / odd) * (s * s) }
  return exponent * LogarithmOfTwo.high + (2 * s + (2 * s * series + exponent * LogarithmOfTwo.low))
}

/// ln(2) as a sum; the upper part has 21 trailing zero bits.
private enum LogarithmOfTwo {
  static let high = Double(bitPattern: 0x3fe6_2e42_fee0_0000)
  static let low = Double(bitPattern: 0x3dea_39ef_3579_3c76)
}

/// 1/14!, 1/13!, ..., 1/2!.
private let reciprocalFactorials: [Double] = {
  var values: [Double] = []
  var factorial = 1.0
  for n in 2...14 {
    factorial *= Double(n)
    values.append(1 / factorial)
  }
  return values.reversed()
}()

/// Two steps, because 2^-1074 and 2^1024 are not both reachable with one normal factor.
private func scaled(_ value: Double, byPowerOfTwo exponent: Int) -> Double {
  if exponent > 1000 {
    return value * Double(sign: .plus, exponent: 1000, significand: 1)
      * Double(sign: .plus, exponent: exponent - 1000, significand: 1)
  }
  if exponent < -1000 {
    return value * Double(sign: .plus, exponent: exponent + 1000, significand: 1)
      * Double(sign: .plus, exponent: -1000, significand: 1)
  }
  return value * Double(sign: .plus, exponent: exponent, significand: 1)
}

/// Replaces every x by e to the power (x - offset) * factor, within 1e-6 of its size and what rounding the exponent
/// costs; what a normal binary32 number cannot hold becomes 0 or infinity.
///
/// The same reduction with the Taylor polynomial of degree 6: 0.3466^7 / 7! < 2e-7.
func fastExponentials(_ values: inout [Float], minus offset: Float, times factor: Float) {
  values.withUnsafeMutableBytes { bytes in
    let whole = bytes.count / 32
    for block in 0..<whole {
      let x = bytes.loadUnaligned(fromByteOffset: 32 * block, as: SIMD8<Float>.self)
      bytes.storeBytes(
        of: fastExponential((x - offset) * factor), toByteOffset: 32 * block, as: SIMD8<Float>.self)
    }
    for place in stride(from: 32 * whole, to: bytes.count, by: 4) {
      let x = SIMD8<Float>(repeating: bytes.loadUnaligned(fromByteOffset: place, as: Float.self))
      bytes.storeBytes(of: fastExponential((x - offset) * factor)[0], toByteOffset: place, as: Float.self)
    }
  }
}

@inline(__always)
private func fastExponential(_ exponent: SIMD8<Float>) -> SIMD8<Float> {
  let x = exponent.replacing(with: 88, where: exponent .> 88).replacing(with: -87, where: exponent .< -87)
  // Adding and taking away 1.5 x 2^23 rounds to a whole number, which the low bits of the sum hold.
  let shifted = x * 1.4426950408889634 + 0x1.8p23
  let k = shifted - 0x1.8p23
  let r = (x - k * 0x1.62e4p-1) - k * 0x1.7f7d1cp-20
  var power = SIMD8<Float>(repeating: 1 / 720)
  power = power * r + 1 / 120
  power = power * r + 1 / 24
  power = power * r + 1 / 6
  power = power * r + 0.5
  power = power * r + 1
  power = power * r + 1
  let bits = unsafeBitCast(shifted, to: SIMD8<UInt32>.self) &<< 23 &+ 0x3f80_0000
  let scaled = power * unsafeBitCast(bits, to: SIMD8<Float>.self)
  return scaled.replacing(with: 0, where: exponent .< -87).replacing(with: .infinity, where: exponent .> 88)
}
