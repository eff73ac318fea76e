/// e to the power `x`, within 2 units in the last place.
///
/// Argument reduction to |r| <= ln(2)/2 with ln(2) in two parts (W. J. Cody and W. Waite, "Software Manual for
/// the Elementary Functions", 1980), then the Taylor polynomial of degree 14. Above 709.78 the result is
/// infinity, below -745.14 it is 0, and subnormal results are rounded once.
public func exponential(_ x: Double) -> Double {
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
public func naturalLogarithm(_ x: Double) -> Double {
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
  public static let high = Double(bitPattern: 0x3fe6_2e42_fee0_0000)
  public static let low = Double(bitPattern: 0x3dea_39ef_3579_3c76)
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

/// exp((x - max) / temperature), divided by their sum; no finite input overflows.
public func softmax(_ values: [Double], _ temperature: Double = 1) -> [Double] {
  guard let highest = values.max() else { return [] }
  let powers = values.map { exponential(($0 - highest) / temperature) }
  let sum = powers.reduce(0, +)
  return powers.map { $0 / sum }
}
