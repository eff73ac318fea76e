/// Eight bytes of text and how many decimal digits they begin with.
///
/// Digits are found and valued without a branch, since their number is what a predictor cannot know.
struct DigitRun {
  /// The bytes with the character code of zero taken away: those in front of the first other byte are 0 to 9.
  private let bytes: UInt64
  /// 0 to 8.
  let count: Int

  /// - Precondition: eight bytes can be read at `place`.
  @inline(__always)
  init(at place: UnsafeRawPointer) {
    bytes = UInt64(littleEndian: place.loadUnaligned(as: UInt64.self)) ^ 0x3030_3030_3030_3030
    // Adding 0x76 sets the top bit of whatever exceeds 9. A carry out of a byte, which only a byte that is no
    // digit can cause, spoils those behind it, where nobody looks.
    let others = ((bytes &+ 0x7676_7676_7676_7676) | bytes) & 0x8080_8080_8080_8080
    count = others.trailingZeroBitCount &>> 3
  }

  /// The value of the first `count` digits, 1 to 8 of those there are; anything for 0.
  @inline(__always)
  func value(ofFirst count: Int) -> UInt64 {
    Self.value(bytes &<< UInt64(truncatingIfNeeded: 64 &- 8 &* count))
  }

  /// The value of the first `count` digits, 0 to 8 of those there are.
  @inline(__always)
  func value(ofFirstOrNone count: Int) -> UInt64 {
    // Twice half the way, since the whole of it may be 64 bits, which a shift takes for 0.
    let half = UInt64(truncatingIfNeeded: 32 &- 4 &* count)
    return Self.value((bytes &<< half) &<< half)
  }

  /// The value of eight digits, the first in the lowest byte: pairs first, then pairs of pairs.
  @inline(__always)
  static func value(_ digits: UInt64) -> UInt64 {
    let pairs = (digits &* 10) &+ (digits &>> 8)
    let low = (pairs & 0x0000_00ff_0000_00ff) &* (100 &+ (1_000_000 &<< 32))
    let high = ((pairs &>> 16) & 0x0000_00ff_0000_00ff) &* (1 &+ (10_000 &<< 32))
    return (low &+ high) &>> 32
  }

  /// 10^count for 0 to 8.
  @inline(__always)
  static func power(_ count: Int) -> UInt64 { powers[unchecked: count & 15] }

  /// The largest significand that `count` more digits keep below 2^63, 0 to 8.
  @inline(__always)
  static func room(_ count: Int) -> UInt64 { rooms[unchecked: count & 15] }

  // Sixteen entries, so that a masked index needs no check.
  private static let powers: InlineArray<16, UInt64> = [
    1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 0, 0, 0, 0, 0, 0, 0,
  ]

  private static let rooms: InlineArray<16, UInt64> = [
    9_223_372_036_854_775_806, 922_337_203_685_477_579, 92_233_720_368_547_757, 9_223_372_036_854_774,
    922_337_203_685_476, 92_233_720_368_546, 9_223_372_036_853, 922_337_203_684, 92_233_720_367, 0, 0, 0, 0,
    0, 0, 0,
  ]
}
