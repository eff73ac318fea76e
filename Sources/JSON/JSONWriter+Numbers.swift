extension JSONWriter {
  // JSON has no NaN and no infinity: they are written as null, as ECMAScript does. A trap here would let a
  // number that overflowed somewhere end the whole server.

  public mutating func write(_ value: Double) { writeNumber { $0.append(value) } }

  public mutating func write(_ value: Float) { writeNumber { $0.append(value) } }

  public mutating func write(_ value: Int) { writeNumber { $0.append(value) } }

  public mutating func write(_ value: some BinaryInteger) {
    if let small = Int(exactly: value) {
      write(small)
    } else {
      writeNumber { $0.bytes.append(contentsOf: String(value).utf8) }
    }
  }

  // Arrays of numbers stay on one line: a line per element would make a tensor unreadable.

  /// Digits of all of them go into one piece of memory that is as large as the longest needs.
  public mutating func write(_ values: [Int]) {
    separate()
    let longest = Self.digitCount(values.reduce(0) { max($0, $1.magnitude) })
    bytes.append(addingCapacity: values.count &* (longest &+ 2) &+ 6) { target in
      target.withUnsafeMutableBufferPointer { buffer, count in
        guard let text = buffer.baseAddress else { return }
        text[0] = UInt8(ascii: "[")
        var end = 1
        Self.shortNumbers.withUnsafeBufferPointer { short in
          for value in values {
            guard value.magnitude < UInt(short.count) && value >= 0 else {
              Self.write(value, to: text, &end)
              text[end] = UInt8(ascii: ",")
              end &+= 1
              continue
            }
            // Four bytes are written, whatever count of them is meant.
            let entry = short[value]
            UnsafeMutableRawPointer(text + end).storeBytes(
              of: UInt32(truncatingIfNeeded: entry).littleEndian, as: UInt32.self)
            end &+= Int(truncatingIfNeeded: entry &>> 56)
          }
        }
        // The last bracket takes the place of the last comma.
        if !values.isEmpty { end &-= 1 }
        text[end] = UInt8(ascii: "]")
        count = end &+ 1
      }
    }
    needsComma = true
  }

  /// Of each number below a thousand, as most indices are, its digits and a comma as they lie in memory, and in the highest of
  /// the eight bytes how many bytes that are.
  private static let shortNumbers: [UInt64] = (0..<1000).map { number in
    let text = Array("\(number),".utf8)
    return text.reversed().reduce(0) { $0 << 8 | UInt64($1) } | UInt64(text.count) << 56
  }

  @inline(__always)
  private mutating func writeNumber(_ append: (inout JSONWriter) -> Void) {
    separate()
    append(&self)
    needsComma = true
  }

  private mutating func append(_ value: Double) {
    if let millionths = Self.millionths(value) { return appendDecimal(millionths) }
    bytes.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
  }

  /// A value that six decimals denote, in millionths; nil for any other, and for those that are written with an exponent.
  ///
  /// A decimal of at most fifteen digits that reads back as the value is the only one of so few digits, hence without its
  /// zeros the shortest. Most ratios and corners of boxes have few decimals, and the search for the shortest takes some
  /// hundred instructions.
  static func millionths(_ value: Double) -> Int? {
    let magnitude = abs(value)
    guard magnitude >= 1e-4, magnitude < 1e9 else { return nil }
    // Whole numbers below 2^53, so the quotient is the value that the decimal denotes, correctly rounded.
    let scaled = Int(magnitude * 1e6 + 0.5)
    guard Double(scaled) / 1e6 == magnitude else { return nil }
    return value < 0 ? -scaled : scaled
  }

  private mutating func appendDecimal(_ millionths: Int) {
    if millionths < 0 { bytes.append(UInt8(ascii: "-")) }
    let (whole, rest) = Int(millionths.magnitude).quotientAndRemainder(dividingBy: 1_000_000)
    append(whole)
    bytes.append(UInt8(ascii: "."))
    var fraction = rest
    // One decimal at least, as the standard library writes it.
    repeat {
      let (digit, left) = (fraction * 10).quotientAndRemainder(dividingBy: 1_000_000)
      bytes.append(0x30 &+ UInt8(truncatingIfNeeded: digit))
      fraction = left
    } while fraction > 0
  }

  private mutating func append(_ value: Float) {
    bytes.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
  }

  private mutating func append(_ value: Int) {
    bytes.append(addingCapacity: Self.digitCount(value.magnitude) &+ 1) { target in
      target.withUnsafeMutableBufferPointer { buffer, count in
        guard let text = buffer.baseAddress else { return }
        Self.write(value, to: text, &count)
      }
    }
  }

  /// Decimal digits of `magnitude`, 1 to 19.
  @inline(__always)
  private static func digitCount(_ magnitude: UInt) -> Int {
    var length = 1
    var bound: UInt = 10
    while length < 19, magnitude >= bound {
      length &+= 1
      bound &*= 10
    }
    return length
  }

  /// Writes decimal digits from the last one back.
  ///
  /// - Precondition: there is room for them and a sign behind `end`.
  @inline(__always)
  private static func write(_ value: Int, to text: UnsafeMutablePointer<UInt8>, _ end: inout Int) {
    if value < 0 {
      text[end] = UInt8(ascii: "-")
      end &+= 1
    }
    var rest = value.magnitude
    let length = digitCount(rest)
    var slot = end &+ length
    repeat {
      let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
      slot &-= 1
      text[slot] = 0x30 &+ UInt8(truncatingIfNeeded: digit)
      rest = quotient
    } while slot > end
    end &+= length
  }
}
