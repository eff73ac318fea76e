/// Numbers as text, written where they are needed.
enum Decimal {
  static func append(_ number: Int, to output: inout [UInt8]) {
    if number < 0 { output.append(UInt8(ascii: "-")) }
    append(number.magnitude, digits: 1, to: &output)
  }

  /// At least that many `digits`, zeros in front.
  static func append(_ number: UInt, digits: Int, to output: inout [UInt8]) {
    var divisor: UInt = 1
    for _ in 1..<digits { divisor *= 10 }
    while number / divisor >= 10 { divisor *= 10 }
    var rest = number
    while divisor > 0 {
      output.append(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest / divisor))
      rest %= divisor
      divisor /= 10
    }
  }

  /// Milliseconds with three decimals: `0.041`.
  static func appendMilliseconds(_ nanoseconds: Int64, to output: inout [UInt8]) {
    let microseconds = UInt(max(0, nanoseconds) / 1000)
    append(microseconds / 1000, digits: 1, to: &output)
    output.append(UInt8(ascii: "."))
    append(microseconds % 1000, digits: 3, to: &output)
  }
}

extension Duration {
  /// Saturating: more than 292 years are as good as that.
  var wholeNanoseconds: Int64 { Int64(clamping: attoseconds / 1_000_000_000) }
}
