public import Tensors

/// One row of scores as a body holds it, for the choice that needs nothing else: the highest ones.
///
/// The same choice as ``Ranking/highest(_:of:among:)`` over all of them, in ascending order and without an
/// allocation: scores become whole numbers that order alike, and halving their range finds the lowest that is kept.
public struct ScoreRow {
  private let bytes: ArraySlice<UInt8>
  private let type: ElementType
  public let count: Int

  /// - Returns: nil for element types other than F16, BF16 and F32, and for bytes that are no whole number of them.
  public init?(_ bytes: ArraySlice<UInt8>, _ type: ElementType) {
    switch type {
    case .float16, .bfloat16, .float32: break
    default: return nil
    }
    guard bytes.count % type.byteWidth == 0 else { return nil }
    self.bytes = bytes
    self.type = type
    count = bytes.count / type.byteWidth
  }

  /// Memory for one choice after another.
  public struct Scratch: Sendable {
    fileprivate var short: [Int16] = []
    fileprivate var long: [Int32] = []
    fileprivate var indices: [Int32] = []

    public init() {}
  }

  /// Calls `body` with the indices of the `kept` highest scores, ascending; of equal scores the lower index stays.
  ///
  /// - Precondition: 0 <= kept <= ``count``.
  /// - Returns: false, without a call, when a score is not finite.
  /// - Complexity: O(``count`` log r), r being the number of different scores that the type can express between the
  ///   lowest and the highest.
  public func withHighest(
    _ kept: Int, _ scratch: inout Scratch, _ body: (UnsafeBufferPointer<Int32>) -> Void
  ) -> Bool {
    precondition(kept >= 0 && kept <= count)
    // One place more: the index behind the last one found is written, and not counted.
    if scratch.indices.count <= count { scratch.indices = [Int32](repeating: 0, count: count + 1) }
    let isFinite =
      switch type {
      case .float32: choose(kept, &scratch.long, exponent: 0x7f80_0000, into: &scratch.indices)
      case .float16: choose(kept, &scratch.short, exponent: 0x7c00, into: &scratch.indices)
      default: choose(kept, &scratch.short, exponent: 0x7f80, into: &scratch.indices)
      }
    if isFinite {
      scratch.indices.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[..<kept])) }
    }
    return isFinite
  }

  /// - Parameters:
  ///   - storage: room for the keys, which grows as needed.
  ///   - exponent: the bits that are all set in a number that is not finite.
  @inline(__always)
  private func choose<Key: FixedWidthInteger & SignedInteger>(
    _ kept: Int, _ storage: inout [Key], exponent: Key, into indices: inout [Int32]
  ) -> Bool {
    if storage.count < count { storage = [Key](repeating: 0, count: count) }
    return storage.withUnsafeMutableBufferPointer { storage in
      guard let keys = storage.baseAddress else { return true }
      let most = fill(keys)
      guard most < exponent else { return false }
      let (lowest, ties) = Self.threshold(kept, keys, count, -most...most)
      indices.withUnsafeMutableBufferPointer { indices in
        if let indices = indices.baseAddress {
          Self.write(above: lowest, ties, of: keys, count, into: indices)
        }
      }
      return true
    }
  }

  // Plain loops over pointers: the compiler makes vectors of these, and not of loops over buffers or ranges.

  /// Fills in numbers that order as the scores do, the same one for both zeros, and returns the largest magnitude.
  @inline(__always)
  private func fill<Key: FixedWidthInteger & SignedInteger>(_ keys: UnsafeMutablePointer<Key>) -> Key {
    bytes.withUnsafeBytes { source in
      var largest: Key = 0
      guard let scores = source.baseAddress else { return largest }
      var index = 0
      while index < count {
        let bits = Key(
          littleEndian: scores.loadUnaligned(fromByteOffset: index &* MemoryLayout<Key>.size, as: Key.self))
        let magnitude = bits & .max
        let sign = bits &>> Key(truncatingIfNeeded: Key.bitWidth - 1)
        largest = magnitude > largest ? magnitude : largest
        keys[index] = (magnitude ^ sign) &- sign
        index &+= 1
      }
      return largest
    }
  }

  /// The lowest key that is kept, and how many equal to it are.
  @inline(__always)
  private static func threshold<Key: FixedWidthInteger & SignedInteger>(
    _ kept: Int, _ keys: UnsafePointer<Key>, _ count: Int, _ range: ClosedRange<Key>
  ) -> (lowest: Key, ties: Int) {
    guard kept > 0 else { return (.max, 0) }
    // At least `kept` keys are `low` or higher, and fewer are higher than `high`.
    var (low, high) = (range.lowerBound, range.upperBound)
    while low < high {
      // Rounded up, by a mean that cannot overflow.
      let middle = (low | high) &- ((low ^ high) &>> 1)
      let found = number(of: keys, count, from: middle)
      // Neither tie nor gap: one less is below all of them.
      if found == kept { return (middle &- 1, 0) }
      if found > kept { low = middle } else { high = middle &- 1 }
    }
    return (low, kept - number(of: keys, count, from: low &+ 1))
  }

  /// How many keys are `lowest` or higher, counted in numbers as narrow as the keys, for vectors of many.
  @inline(__always)
  private static func number<Key: FixedWidthInteger & SignedInteger>(
    of keys: UnsafePointer<Key>, _ count: Int, from lowest: Key
  ) -> Int {
    var total = 0
    var index = 0
    while index < count {
      let end = min(index &+ (1 << 14), count)
      var found: Key = 0
      while index < end {
        found = found &+ (keys[index] >= lowest ? 1 : 0)
        index &+= 1
      }
      total &+= Int(found)
    }
    return total
  }

  /// Writes the indices of keys above `lowest`, and of the first `ties` equal to it.
  @inline(__always)
  private static func write<Key: FixedWidthInteger>(
    above lowest: Key, _ ties: Int, of keys: UnsafePointer<Key>, _ count: Int,
    into indices: UnsafeMutablePointer<Int32>
  ) {
    var tiesLeft = ties
    var found = 0
    var index = 0
    // Without a branch on the score: which of them are high is as good as random.
    while index < count, tiesLeft > 0 {
      tiesLeft &-= keys[index] == lowest ? 1 : 0
      indices[found] = Int32(truncatingIfNeeded: index)
      found &+= keys[index] >= lowest ? 1 : 0
      index &+= 1
    }
    while index < count {
      indices[found] = Int32(truncatingIfNeeded: index)
      found &+= keys[index] > lowest ? 1 : 0
      index &+= 1
    }
  }
}
