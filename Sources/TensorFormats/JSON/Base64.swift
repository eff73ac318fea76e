/// Base64 with the standard alphabet (RFC 4648 section 4), strict.
///
/// Padding may be complete or absent; white space, the URL alphabet, and non-zero bits behind the last byte
/// are refused, so every byte string has exactly one accepted spelling per padding style.
package enum Base64 {
  package struct Failure: Error, Equatable {
    /// Characters before the offending one.
    package var offset: Int
    package var message: String
  }

  /// - Complexity: one table look-up per character, one check per 32 characters.
  package static func decode(_ text: ArraySlice<UInt8>) throws(Failure) -> [UInt8] {
    let padding = text.suffix(2).reversed().prefix { $0 == UInt8(ascii: "=") }.count
    let digitCount = text.count - padding
    guard padding == 0 || text.count % 4 == 0 else {
      throw Failure(offset: digitCount, message: "padding that does not complete a group of four")
    }
    guard digitCount % 4 != 1 else {
      throw Failure(offset: digitCount, message: "a base64 text cannot have \(digitCount) characters")
    }
    let byteCount = digitCount / 4 * 3 + max(digitCount % 4 - 1, 0)
    var faultyBlock: Int?
    let bytes = text.withUnsafeBufferPointer { source in
      [UInt8](unsafeUninitializedCapacity: byteCount + 1) { target, count in
        faultyBlock = decodeGroups(source, groupCount: digitCount / 4, into: target)
        count = faultyBlock == nil ? digitCount / 4 * 3 : 0
      }
    }
    if let faultyBlock { throw firstFault(in: text, from: faultyBlock) }
    return try finish(bytes, tail: text.dropLast(padding).suffix(digitCount % 4), in: text)
  }

  /// Decodes whole groups of four characters into three bytes each.
  ///
  /// - Returns: the first character of a block that holds a foreign character, or nil.
  private static func decodeGroups(
    _ source: UnsafeBufferPointer<UInt8>, groupCount: Int, into target: UnsafeMutableBufferPointer<UInt8>
  ) -> Int? {
    guard groupCount > 0, let base = UnsafeMutableRawPointer(target.baseAddress) else { return nil }
    return tables.span.withUnsafeBufferPointer { table in
      var group = 0
      while group < groupCount {
        let blockStart = group
        let blockEnd = min(group &+ 8, groupCount)
        var seen: UInt32 = 0
        while group < blockEnd {
          let place = group &* 4
          let bits =
            table[Int(source[place])] | table[256 &+ Int(source[place &+ 1])]
            | table[512 &+ Int(source[place &+ 2])] | table[768 &+ Int(source[place &+ 3])]
          seen |= bits
          // Four bytes are written where three belong; the next group overwrites the fourth, and the target
          // has room for one byte more than it needs.
          base.storeBytes(of: bits.littleEndian, toByteOffset: group &* 3, as: UInt32.self)
          group &+= 1
        }
        if seen & foreign != 0 { return blockStart &* 4 }
      }
      return nil
    }
  }

  /// Appends the one or two bytes of an incomplete last group.
  private static func finish(
    _ bytes: [UInt8], tail: ArraySlice<UInt8>, in text: ArraySlice<UInt8>
  ) throws(Failure) -> [UInt8] {
    guard !tail.isEmpty else { return bytes }
    var bits: UInt32 = 0
    for character in tail {
      let value = values[Int(character)]
      guard value != foreign else { throw firstFault(in: text, from: tail.startIndex - text.startIndex) }
      bits = bits << 6 | value
    }
    let spare: UInt32 = tail.count == 2 ? 4 : 2
    guard bits & (1 << spare - 1) == 0 else {
      throw Failure(
        offset: tail.endIndex - 1 - text.startIndex, message: "the last character carries bits of no byte")
    }
    bits >>= spare
    var bytes = bytes
    if tail.count == 3 { bytes.append(UInt8(truncatingIfNeeded: bits >> 8)) }
    bytes.append(UInt8(truncatingIfNeeded: bits))
    return bytes
  }

  private static func firstFault(in text: ArraySlice<UInt8>, from start: Int) -> Failure {
    let fault = text.dropFirst(start).firstIndex { values[Int($0)] == foreign } ?? text.startIndex + start
    let byte = text[fault]
    let shown =
      (0x21...0x7e).contains(byte) ? "'\(Character(Unicode.Scalar(byte)))'" : "byte \(byte)"
    return Failure(offset: fault - text.startIndex, message: "\(shown) is not a base64 character")
  }

  /// Marks a character outside the alphabet: a bit no three bytes can set.
  private static let foreign: UInt32 = 1 << 31

  private static let values: [UInt32] = {
    var values = [UInt32](repeating: foreign, count: 256)
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for (value, character) in alphabet.utf8.enumerated() { values[Int(character)] = UInt32(value) }
    return values
  }()

  /// Four tables of 256: a character's six bits, placed where its position in the group puts them in three
  /// little-endian bytes.
  private static let tables: [UInt32] = (0..<4).flatMap { position in
    values.map { value in
      guard value != foreign else { return foreign }
      let big = value << UInt32(18 - 6 * position)
      return (big >> 16 & 0xff) | (big & 0xff00) | (big & 0xff) << 16
    }
  }
}
