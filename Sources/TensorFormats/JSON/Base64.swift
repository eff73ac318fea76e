/// Base64 with the standard alphabet (RFC 4648 section 4), strict.
///
/// ``decodeWrapped(_:)`` also takes what encoders of mail and browsers make of it.
///
/// Padding may be complete or absent; white space, the URL alphabet, and non-zero bits behind the last byte
/// are rejected, so every byte string has exactly one accepted spelling per padding style.
package enum Base64 {
  package struct Failure: Error, Equatable {
    /// Characters before the offending one.
    package var offset: Int
    package var message: String
  }

  /// - Complexity: one table look-up per two characters, one check per 32 characters.
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

  /// The same, of a text that may be a data: URL (RFC 2397) or broken into lines (RFC 2045 section 6.8).
  package static func decodeWrapped(_ text: ArraySlice<UInt8>) throws(Failure) -> [UInt8] {
    do throws(Failure) {
      return try decode(text)
    } catch {
      let isURL = text.starts(with: "data:".utf8)
      var content = text
      if isURL {
        // The media type in front is short.
        let head = text.prefix(256).prefix { $0 != UInt8(ascii: ",") }
        guard head.count < text.count, String(decoding: head, as: UTF8.self).hasSuffix(";base64") else {
          throw Failure(offset: 0, message: "a data: URL of a tensor has ';base64,' before its content")
        }
        content = text.dropFirst(head.count + 1)
      }
      let lines = content.filter { $0 != 0x0a && $0 != 0x0d && $0 != 0x20 && $0 != 0x09 }
      guard isURL || lines.count < content.count else { throw error }
      return try decode(lines[...])
    }
  }

  /// How many characters a text of that many bytes has, with padding and without; nothing beyond any text.
  package static func lengths(ofByteCount count: Int) -> [Int] {
    guard count < Int.max / 2 else { return [] }
    let (groups, rest) = (count / 3, count % 3)
    return rest == 0 ? [groups * 4] : [groups * 4 + 4, groups * 4 + rest + 1]
  }

  /// Decodes whole groups of four characters into three bytes each.
  ///
  /// - Returns: the first character of a block that holds a foreign character, or nil.
  private static func decodeGroups(
    _ source: UnsafeBufferPointer<UInt8>, groupCount: Int, into target: UnsafeMutableBufferPointer<UInt8>
  ) -> Int? {
    guard groupCount > 0, let text = UnsafeRawPointer(source.baseAddress),
      let base = UnsafeMutableRawPointer(target.baseAddress)
    else { return nil }
    return pairs.span.withUnsafeBufferPointer { pairs in
      var group = 0
      // Eight bytes are written where six belong; what follows overwrites the other two, so a group behind the
      // block makes room for them.
      while groupCount &- group > 8 {
        let from = text + group &* 4
        let into = base + group &* 3
        var seen = sixBytes(from, into, pairs)
        seen |= sixBytes(from + 8, into + 6, pairs)
        seen |= sixBytes(from + 16, into + 12, pairs)
        seen |= sixBytes(from + 24, into + 18, pairs)
        if seen & foreignPair != 0 { return group &* 4 }
        group &+= 8
      }
      while group < groupCount {
        let from = text + group &* 4
        let (first, second) = (pair(from, pairs), pair(from + 2, pairs))
        if (first | second) & foreignPair != 0 { return group &* 4 }
        let bits = first &<< 12 | second
        for place in 0..<3 {
          let byte = UInt8(truncatingIfNeeded: bits &>> UInt64(16 &- 8 &* place))
          base.storeBytes(of: byte, toByteOffset: group &* 3 &+ place, as: UInt8.self)
        }
        group &+= 1
      }
      return nil
    }
  }

  /// Decodes eight characters, and writes two bytes more than theirs.
  ///
  /// - Returns: bits among which ``foreignPair`` is set if one of them is foreign.
  @inline(__always)
  private static func sixBytes(
    _ text: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, _ pairs: UnsafeBufferPointer<UInt16>
  ) -> UInt64 {
    let (a, b) = (pair(text, pairs), pair(text + 2, pairs))
    let (c, d) = (pair(text + 4, pairs), pair(text + 6, pairs))
    target.storeBytes(of: (a &<< 52 | b &<< 40 | c &<< 28 | d &<< 16).bigEndian, as: UInt64.self)
    return a | b | c | d
  }

  @inline(__always)
  private static func pair(_ text: UnsafeRawPointer, _ pairs: UnsafeBufferPointer<UInt16>) -> UInt64 {
    UInt64(pairs[Int(UInt16(littleEndian: text.loadUnaligned(as: UInt16.self)))])
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

  private static let foreignPair: UInt64 = 1 << 15

  /// The twelve bits of every two characters, the first in the low byte of the index.
  ///
  /// Of its 128 KiB valid texts touch 14: a few cache lines in each of 64 rows.
  private static let pairs: [UInt16] = (0..<1 << 16).map { index in
    let (first, second) = (values[index & 0xff], values[index >> 8])
    return (first | second) & foreign == 0
      ? UInt16(truncatingIfNeeded: first << 6 | second) : UInt16(truncatingIfNeeded: foreignPair)
  }
}
