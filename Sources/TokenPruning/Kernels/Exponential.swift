/// e to the power x, within 1 unit in the last place, without a mathematics library.
///
/// x = k ln 2 + r with |r| <= ln 2 / 2 (ln 2 in two parts, Cody and Waite 1980), then the Taylor series of
/// e^r to r^14, whose remainder is below 2^-60, then an exact scaling by 2^k.
func exponential(_ x: Double) -> Double {
  guard !x.isNaN else { return x }
  if x > 709.782712893384 { return .infinity }
  if x < -745.2 { return 0 }
  let k = (x * 1.4426950408889634).rounded()
  let r = (x - k * 0x1.62e42feep-1) - k * 0x1.a39ef35793c76p-33
  var sum = 0.0
  for divisor in stride(from: 14.0, through: 2, by: -1) { sum = (sum + 1) * (r / divisor) }
  let mantissa = 1 + (r + r * sum)
  // In two steps, so that neither factor leaves the exponent range before the product does.
  let half = (k / 2).rounded(.down)
  return mantissa * powerOfTwo(Int(half)) * powerOfTwo(Int(k - half))
}

private func powerOfTwo(_ exponent: Int) -> Double {
  Double(bitPattern: UInt64(exponent + 1023) << 52)
}
