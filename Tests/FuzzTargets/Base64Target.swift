import TensorFormats

extension FuzzTarget {
  /// Base64 texts, against a decoder that knows one character at a time.
  static let base64 = FuzzTarget("base64", maximumBytes: 512) { bytes throws(BrokenLaw) in
    let decoded: [UInt8]?
    do throws(Base64.Failure) {
      decoded = try Base64.decode(tail(bytes, behind: "A=="))
    } catch {
      try require((0...bytes.count).contains(error.offset), "an error lies in the text")
      decoded = nil
    }
    try require(decoded == reference(bytes), "a simple decoder says the same")
  }

  private static let values: [UInt32?] = {
    var values = [UInt32?](repeating: nil, count: 256)
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for (value, digit) in alphabet.utf8.enumerated() { values[Int(digit)] = UInt32(value) }
    return values
  }()

  private static func reference(_ text: [UInt8]) -> [UInt8]? {
    var digits = text[...]
    while digits.last == UInt8(ascii: "="), text.count - digits.count < 2 { digits = digits.dropLast() }
    guard digits.count == text.count || text.count % 4 == 0, digits.count % 4 != 1 else { return nil }
    var (bits, bitCount, bytes): (UInt32, Int, [UInt8]) = (0, 0, [])
    for digit in digits {
      guard let value = values[Int(digit)] else { return nil }
      bits = bits << 6 | value
      bitCount += 6
      if bitCount >= 8 {
        bitCount -= 8
        bytes.append(UInt8(bits >> UInt32(bitCount) & 0xff))
        bits &= 1 << UInt32(bitCount) - 1
      }
    }
    return bits == 0 ? bytes : nil
  }
}
