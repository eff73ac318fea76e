/// Finds a short pattern in a long body (Horspool, Practical fast searching in strings, 1980): most steps skip the whole
/// pattern, which for the boundaries of common clients is 40 bytes and more.
struct DelimiterSearch: Sendable {
  let pattern: [UInt8]
  /// By the byte under the pattern's end: how far the pattern may move.
  private let shifts: [Int]

  /// - Precondition: the pattern is not empty.
  init(_ pattern: [UInt8]) {
    precondition(!pattern.isEmpty, "an empty pattern is everywhere")
    var shifts = [Int](repeating: pattern.count, count: 256)
    for (index, byte) in pattern.dropLast().enumerated() { shifts[Int(byte)] = pattern.count - 1 - index }
    self.pattern = pattern
    self.shifts = shifts
  }

  /// The index in `bytes` of the first occurrence at or after `start`.
  /// - Complexity: O(n / m) for tensors, O(n m) at worst, m at most 74.
  func first(in bytes: ArraySlice<UInt8>, from start: Int) -> Int? {
    let base = bytes.startIndex
    let found = bytes.withUnsafeBufferPointer { text -> Int? in
      let last = pattern.count - 1
      var end = start - base + last
      while end < text.count {
        let byte = text[end]
        if byte == pattern[last] {
          var index = 0
          while index < last, text[end - last + index] == pattern[index] { index += 1 }
          if index == last { return end - last }
        }
        end += shifts[Int(byte)]
      }
      return nil
    }
    return found.map { base + $0 }
  }
}
