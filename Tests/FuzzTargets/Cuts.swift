/// Ways to deliver an input in pieces: what a network does to a stream.
enum Cuts {
  /// Ascending lengths of prefixes, the last of them the whole: chosen by a hash of the input, so that the input
  /// alone decides and every mutation tries other cuts.
  static func chosen(by bytes: [UInt8]) -> [Int] {
    var state = fingerprint(bytes)
    var ends = [bytes.count]
    for _ in 0..<Int(state % 5) {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      ends.append(Int((state >> 33) % UInt64(bytes.count + 1)))
    }
    return ends.sorted()
  }

  /// One byte at a time.
  static func bytewise(_ bytes: [UInt8]) -> ClosedRange<Int> { 0...bytes.count }

  /// FNV-1a (Fowler, Noll and Vo).
  static func fingerprint(_ bytes: [UInt8]) -> UInt64 {
    bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
  }
}

/// Bytes behind others, in an array that ends where they do: the address sanitizer then sees a read beyond them.
///
/// (Appending would leave room for more, and reading that is no fault to it.)
func tail(_ bytes: [UInt8], behind prefix: String) -> ArraySlice<UInt8> {
  let length = prefix.utf8.count
  let array = [UInt8](unsafeUninitializedCapacity: length + bytes.count) { target, count in
    count = length + bytes.count
    _ = target.initialize(from: prefix.utf8)
    for index in bytes.indices { target.initializeElement(at: length + index, to: bytes[index]) }
  }
  return array[length...]
}
