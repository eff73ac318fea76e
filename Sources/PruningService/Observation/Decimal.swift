/// Numbers as text, written where they are needed.
enum Decimal {
  static func append(_ number: Int, to output: inout [UInt8]) {
    if number < 0 { output.append(UInt8(ascii: "-")) }
    append(number.magnitude, digits: 1, to: &output)
  }

  /// Numbers that are not negative, with commas between.
  ///
  /// A table holds the digits of numbers below a thousand, as most indices are.
  static func append(_ numbers: UnsafeBufferPointer<Int32>, to output: inout [UInt8]) {
    guard let first = numbers.baseAddress else { return }
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: maximumPiece) { piece in
      guard let start = piece.baseAddress else { return }
      digits.withUnsafeBufferPointer { digits in
        var index = 0
        while index < numbers.count {
          var place = start
          while index < numbers.count, place - start <= maximumPiece - longest {
            let number = UInt32(bitPattern: first[index])
            if number < 1000 {
              place = put(digits[Int(number)], at: place)
            } else {
              place = putLong(number, at: place)
            }
            index += 1
          }
          // Behind the last one there is no comma.
          let written = place - start - (index == numbers.count ? 1 : 0)
          output.append(contentsOf: UnsafeBufferPointer(start: start, count: written))
        }
      }
    }
  }

  /// Of each number below a thousand, its digits and a comma as they lie in memory, and in the highest byte of the
  /// eight how many bytes that are.
  private static let digits: [UInt64] = (0..<1000).map { number in
    let text = Array("\(number),".utf8)
    return text.reversed().reduce(0) { $0 << 8 | UInt64($1) } | UInt64(text.count) << 56
  }

  @inline(__always)
  private static func put(_ entry: UInt64, at place: UnsafeMutablePointer<UInt8>) -> UnsafeMutablePointer<
    UInt8
  > {
    // Four bytes are written, whatever count of them is meant.
    UnsafeMutableRawPointer(place).storeBytes(
      of: UInt32(truncatingIfNeeded: entry).littleEndian, as: UInt32.self)
    return place + Int(truncatingIfNeeded: entry &>> 56)
  }

  private static func putLong(
    _ number: UInt32, at start: UnsafeMutablePointer<UInt8>
  ) -> UnsafeMutablePointer<UInt8> {
    var count = 1
    var power: UInt32 = 10
    while count < 10, number >= power {
      count += 1
      power = count < 10 ? power * 10 : power
    }
    var rest = number
    for place in stride(from: count - 1, through: 0, by: -1) {
      start[place] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    }
    start[count] = UInt8(ascii: ",")
    return start + count + 1
  }

  /// Ten digits and a comma, or what ``put(_:at:)`` writes.
  private static let longest = 11

  /// What a temporary allocation takes from the stack.
  private static let maximumPiece = 1000

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
