/// Numbers as text, written where they are needed.
enum Decimal {
  static func append(_ number: Int, to output: inout [UInt8]) {
    if number < 0 { output.append(UInt8(ascii: "-")) }
    append(number.magnitude, digits: 1, to: &output)
  }

  /// Numbers that are not negative, with commas between, written back to front in one piece of memory.
  static func append(_ numbers: UnsafeBufferPointer<Int32>, to output: inout [UInt8]) {
    let longest = 11 * numbers.count
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: min(longest, maximumPiece)) { piece in
      var start = 0
      while start < numbers.count {
        let end = min(start + piece.count / 11, numbers.count)
        var position = piece.count
        for index in stride(from: end - 1, through: start, by: -1) {
          var rest = UInt32(numbers[index])
          if index < numbers.count - 1 {
            position -= 1
            piece[position] = UInt8(ascii: ",")
          }
          repeat {
            position -= 1
            piece[position] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
          } while rest > 0
        }
        output.append(contentsOf: UnsafeBufferPointer(rebasing: piece[position...]))
        start = end
      }
    }
  }

  /// What a temporary allocation takes from the stack.
  private static let maximumPiece = 1000

  /// At least so many `digits`, zeros in front.
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
