/// The cosine and sine of an angle in radians, each within 2 units in the last place of 1.
///
/// Reduction to |r| <= pi/4 by a multiple of pi/2 in three parts (Cody and Waite), then Taylor polynomials.
/// - Precondition: |angle| < 2^30, beyond which the products of the reduction are no longer exact.
public func cosineAndSine(_ angle: Double) -> (cosine: Double, sine: Double) {
  precondition(angle.magnitude < 0x1p30)
  let quarter = (angle * 0.6366197723675814).rounded(.toNearestOrEven)
  let r =
    ((angle - quarter * HalfPi.high) - quarter * HalfPi.middle) - quarter * HalfPi.low
  let square = r * r
  var sine = 0.0
  var cosine = 0.0
  for n in stride(from: 17, through: 3, by: -2) {
    sine = (1 + sine) * -square / Double(n * (n - 1))
    cosine = (1 + cosine) * -square / Double((n - 1) * (n - 2))
  }
  sine = r + r * sine
  cosine += 1
  switch Int(quarter) & 3 {
  case 0: return (cosine, sine)
  case 1: return (-sine, cosine)
  case 2: return (-cosine, -sine)
  default: return (sine, -cosine)
  }
}

/// pi/2 as a sum whose upper parts have few enough bits that their products with up to 2^30 are exact.
private enum HalfPi {
  public static let high = 0x1.921fb4p0
  public static let middle = 0x1.4442dp-24
  public static let low = 0x1.8469898cc5170p-48
}

/// Rotary position embedding (Su et al., arXiv 2104.09864): the frequencies base^(-2 i / d), i < d / 2.
public struct RotaryFrequencies {
  public let frequencies: [Double]

  /// - Precondition: `width` is even and positive; base >= 1.
  public init(width: Int, base: Double) {
    let logarithm = naturalLogarithm(base)
    frequencies = (0..<(width / 2)).map { exponential(-2 * Double($0) / Double(width) * logarithm) }
  }

  /// Turns one head's vector to a position, element i together with element i + d / 2, as LLaMA does.
  public func rotated(_ vector: [Double], to position: Int) -> [Double] {
    let half = frequencies.count
    var result = vector
    for (index, frequency) in frequencies.enumerated() {
      let (cosine, sine) = cosineAndSine(frequency * Double(position))
      result[index] = vector[index] * cosine - vector[index + half] * sine
      result[index + half] = vector[index + half] * cosine + vector[index] * sine
    }
    return result
  }
}
