/// The highest scores of a row, found by halving the range between the lowest and the highest; compiled like
/// ``SIMDKernels``, the same indices at every level.
///
/// Scores become whole numbers that order alike, as wide as they are, and how many reach the middle of a range is
/// counted in numbers of that width. Plain loops over pointers: the compiler makes vectors of these, and not of loops
/// over buffers or ranges.
enum SelectionLoops<Key: FixedWidthInteger & SignedInteger> {
  @inline(__always)
  static func highest(
    _ source: UnsafeRawPointer, _ count: Int, _ exponent: Key, _ kept: Int,
    _ keys: UnsafeMutablePointer<Key>, _ flags: UnsafeMutablePointer<UInt8>,
    _ indices: UnsafeMutablePointer<Int32>
  ) -> Bool {
    let (least, greatest) = fill(keys, from: source, count)
    guard greatest < exponent, least > -exponent else { return false }
    let (lowest, ties) = threshold(kept, keys, count, least, greatest)
    flag(above: lowest, ties, of: keys, count, in: flags)
    write(flags, count, into: indices)
    return true
  }

  /// Fills in numbers that order as the scores do, the same one for both zeros, and returns the extremes.
  @inline(__always)
  private static func fill(
    _ keys: UnsafeMutablePointer<Key>, from source: UnsafeRawPointer, _ count: Int
  ) -> (least: Key, greatest: Key) {
    var least = Key.max
    var greatest = Key.min
    var index = 0
    while index < count {
      let bits = source.loadUnaligned(fromByteOffset: index &* MemoryLayout<Key>.size, as: Key.self)
      let sign = bits &>> Key(truncatingIfNeeded: Key.bitWidth - 1)
      let key = ((bits & .max) ^ sign) &- sign
      least = key < least ? key : least
      greatest = key > greatest ? key : greatest
      keys[index] = key
      index &+= 1
    }
    return (least, greatest)
  }

  /// All keys above `lowest` are kept, and `ties` of those equal to it.
  @inline(__always)
  private static func threshold(
    _ kept: Int, _ keys: UnsafePointer<Key>, _ count: Int, _ least: Key, _ greatest: Key
  ) -> (lowest: Key, ties: Int) {
    guard kept > 0 else { return (.max, 0) }
    // At least `kept` keys are `low` or higher, and fewer are higher than `high`.
    var (low, high) = (least, greatest)
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

  /// How many keys are `lowest` or higher.
  @inline(__always)
  private static func number(of keys: UnsafePointer<Key>, _ count: Int, from lowest: Key) -> Int {
    var total = 0
    var index = 0
    while index < count {
      // So many can be counted in 16 bits.
      let end = min(index &+ (1 << 14), count)
      var found: Key = 0
      while index < end {
        found = found &+ (keys[index] >= lowest ? 1 : 0)
        index &+= 1
      }
      total &+= Int(truncatingIfNeeded: found)
    }
    return total
  }

  /// A one for each key that is kept, of equal ones the first, and zeros up to the next multiple of 64.
  @inline(__always)
  private static func flag(
    above lowest: Key, _ ties: Int, of keys: UnsafePointer<Key>, _ count: Int,
    in flags: UnsafeMutablePointer<UInt8>
  ) {
    var index = 0
    while index < count {
      flags[index] = keys[index] > lowest ? 1 : 0
      index &+= 1
    }
    while index & 63 != 0 {
      flags[index] = 0
      index &+= 1
    }
    var tiesLeft = ties
    index = 0
    while tiesLeft > 0, index < count {
      if keys[index] == lowest {
        flags[index] = 1
        tiesLeft &-= 1
      }
      index &+= 1
    }
  }

  /// Sixty-four flags become a word: which scores are high is as good as random, and a branch for each would be
  /// guessed wrong as often.
  @inline(__always)
  private static func write(
    _ flags: UnsafePointer<UInt8>, _ count: Int, into indices: UnsafeMutablePointer<Int32>
  ) {
    var found = 0
    var start = 0
    while start < count {
      let eights = UnsafeRawPointer(flags + start)
      let low =
        bits(eights) | bits(eights + 8) &<< 8 | bits(eights + 16) &<< 16 | bits(eights + 24) &<< 24
      let high =
        bits(eights + 32) | bits(eights + 40) &<< 8 | bits(eights + 48) &<< 16 | bits(eights + 56) &<< 24
      var word = low | high &<< 32
      while word != 0 {
        indices[found] = Int32(truncatingIfNeeded: start &+ word.trailingZeroBitCount)
        found &+= 1
        word &= word &- 1
      }
      start &+= 64
    }
  }

  /// Eight bytes of zero or one as eight bits, the first one lowest: the product moves each to its slot.
  @inline(__always)
  private static func bits(_ eight: UnsafeRawPointer) -> UInt64 {
    (UInt64(littleEndian: eight.loadUnaligned(as: UInt64.self)) &* 0x0102_0408_1020_4080) &>> 56
  }
}

/// ``SelectionLoops`` of each width, for the table.
public enum SelectionKernels {
  @Sendable @inline(never)
  public static func highest16(
    _ source: UnsafeRawPointer, _ count: Int, _ exponent: Int16, _ kept: Int,
    _ keys: UnsafeMutablePointer<Int16>, _ flags: UnsafeMutablePointer<UInt8>,
    _ indices: UnsafeMutablePointer<Int32>
  ) -> Bool { SelectionLoops.highest(source, count, exponent, kept, keys, flags, indices) }

  @Sendable @inline(never)
  public static func highest32(
    _ source: UnsafeRawPointer, _ count: Int, _ exponent: Int32, _ kept: Int,
    _ keys: UnsafeMutablePointer<Int32>, _ flags: UnsafeMutablePointer<UInt8>,
    _ indices: UnsafeMutablePointer<Int32>
  ) -> Bool { SelectionLoops.highest(source, count, exponent, kept, keys, flags, indices) }

  @Sendable @inline(never)
  public static func highest64(
    _ source: UnsafeRawPointer, _ count: Int, _ exponent: Int64, _ kept: Int,
    _ keys: UnsafeMutablePointer<Int64>, _ flags: UnsafeMutablePointer<UInt8>,
    _ indices: UnsafeMutablePointer<Int32>
  ) -> Bool { SelectionLoops.highest(source, count, exponent, kept, keys, flags, indices) }
}
