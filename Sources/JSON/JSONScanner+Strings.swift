extension JSONScanner {
  /// Reads a string.
  public mutating func readString() throws(JSONError) -> String {
    guard peek() == UInt8(ascii: "\"") else { throw mismatch("a string") }
    let opening = offset
    cursor += 1
    let start = cursor
    cursor += bytes[start...].withUnsafeBufferPointer { Self.plainLength($0) }
    guard cursor < bytes.endIndex else { throw unexpected("'\"' to end the string") }
    switch bytes[cursor] {
    case UInt8(ascii: "\""):
      let content = bytes[start..<cursor]
      cursor += 1
      return try Self.text(content, openedAt: opening)
    case UInt8(ascii: "\\"): return try readEscaped(from: start, openedAt: opening)
    default: throw controlCharacter
    }
  }

  /// Reads the rest of a string from its first escape on.
  private mutating func readEscaped(from start: Int, openedAt opening: Int) throws(JSONError) -> String {
    var content = Array(bytes[start..<cursor])
    while cursor < bytes.endIndex {
      let byte = bytes[cursor]
      switch byte {
      case UInt8(ascii: "\""):
        cursor += 1
        return try Self.text(content[...], openedAt: opening)
      case UInt8(ascii: "\\"):
        cursor += 1
        try readEscape(into: &content)
      case 0..<0x20: throw controlCharacter
      default:
        content.append(byte)
        cursor += 1
      }
    }
    throw unexpected("'\"' to end the string")
  }

  private mutating func readEscape(into content: inout [UInt8]) throws(JSONError) {
    guard cursor < bytes.endIndex else { throw unexpected("an escape") }
    let byte = bytes[cursor]
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(byte)
    case UInt8(ascii: "b"): content.append(0x08)
    case UInt8(ascii: "f"): content.append(0x0c)
    case UInt8(ascii: "n"): content.append(0x0a)
    case UInt8(ascii: "r"): content.append(0x0d)
    case UInt8(ascii: "t"): content.append(0x09)
    case UInt8(ascii: "u"):
      cursor += 1
      let scalar = try readEscapedScalar()
      content.append(contentsOf: Character(scalar).utf8)
      return
    default: throw unexpected("one of \" \\ / b f n r t u after the backslash")
    }
    cursor += 1
  }

  /// Reads the four digits of `\u`, and a second `\u` when the first holds a high surrogate.
  private mutating func readEscapedScalar() throws(JSONError) -> Unicode.Scalar {
    let start = offset
    let first = try readHexadecimal()
    if let scalar = Unicode.Scalar(first) { return scalar }
    let unpaired = JSONError(offset: start, "an unpaired surrogate in a string")
    guard first < 0xdc00, bytes[cursor...].starts(with: [UInt8(ascii: "\\"), UInt8(ascii: "u")]) else {
      throw unpaired
    }
    cursor += 2
    let second = try readHexadecimal()
    guard (0xdc00...0xdfff).contains(second),
      let scalar = Unicode.Scalar(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    else { throw unpaired }
    return scalar
  }

  private mutating func readHexadecimal() throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard cursor < bytes.endIndex else { throw unexpected("a hexadecimal digit") }
      let byte = bytes[cursor]
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(byte - 0x30)
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt32(byte - 0x61 + 10)
      case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt32(byte - 0x41 + 10)
      default: throw unexpected("a hexadecimal digit")
      }
      cursor += 1
    }
    return value
  }

  /// Reads a string without escapes as its bytes, for content that is checked otherwise (base64).
  ///
  /// - Complexity: no copy is made.
  public mutating func readUnescapedString() throws(JSONError) -> ArraySlice<UInt8> {
    guard peek() == UInt8(ascii: "\"") else { throw mismatch("a string") }
    cursor += 1
    let start = cursor
    let length = bytes[start...].withUnsafeBufferPointer { Self.plainLength($0) }
    cursor += length
    guard cursor < bytes.endIndex else { throw unexpected("'\"' to end the string") }
    guard bytes[cursor] != UInt8(ascii: "\\") else { throw unexpected("a string without escapes") }
    guard bytes[cursor] == UInt8(ascii: "\"") else { throw controlCharacter }
    cursor += 1
    return bytes[start..<(cursor - 1)]
  }

  /// The `length` bytes of a string that ends behind them, unchecked: the caller must know that none of them is a
  /// quote, a backslash or a control character, or read the string again otherwise.
  ///
  /// - Returns: nil, with nothing read but white space, when no quotes stand at both ends.
  public mutating func readUncheckedString(ofLength length: Int) -> ArraySlice<UInt8>? {
    guard peek() == UInt8(ascii: "\""), length >= 0, length < bytes.endIndex - cursor - 1 else { return nil }
    let content = bytes[(cursor + 1)..<(cursor + 1 + length)]
    guard bytes[content.endIndex] == UInt8(ascii: "\"") else { return nil }
    cursor = content.endIndex + 1
    return content
  }

  /// How many bytes come before the first quote, backslash or control character, eight at a time.
  private static func plainLength(_ rest: UnsafeBufferPointer<UInt8>) -> Int {
    let raw = UnsafeRawBufferPointer(rest)
    let (ones, tops) = (0x0101_0101_0101_0101 as UInt64, 0x8080_8080_8080_8080 as UInt64)
    var index = 0
    while index &+ 8 <= raw.count {
      let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: index, as: UInt64.self))
      let (quotes, slashes) = (word ^ (ones &* 0x22), word ^ (ones &* 0x5c))
      // Subtraction sets the top bit of what was too small; a borrow spoils only bytes behind such a one.
      let hits =
        ((quotes &- ones) & ~quotes | (slashes &- ones) & ~slashes | (word &- ones &* 0x20) & ~word) & tops
      if hits != 0 { return index &+ hits.trailingZeroBitCount &>> 3 }
      index &+= 8
    }
    while index < rest.count {
      let byte = rest[index]
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte < 0x20 { break }
      index &+= 1
    }
    return index
  }

  private var controlCharacter: JSONError {
    JSONError(offset: offset, "a raw control character in a string; write it as an escape")
  }

  private static func text(_ content: ArraySlice<UInt8>, openedAt offset: Int) throws(JSONError) -> String {
    // Most strings are ASCII, which needs no validation and takes a shorter way.
    let ascii = content.withUnsafeBufferPointer { bytes in
      bytes.allSatisfy { $0 < 0x80 } ? String(decoding: bytes, as: UTF8.self) : nil
    }
    guard let text = ascii ?? String(validating: content, as: UTF8.self) else {
      throw JSONError(offset: offset, "a string is not valid UTF-8")
    }
    guard ascii != nil || StreamSafeText.accepts(text) else {
      throw JSONError(
        offset: offset, "a string has more than \(StreamSafeText.longestRun) combining marks in a row")
    }
    return text
  }
}
