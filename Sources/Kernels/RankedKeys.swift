/// Scores as integers that ascend where scores descend, ordered by their leading bits.
///
/// A step counts how many keys fall into each of a power of two of equal parts of the range that the keys span.
/// Parts of more than a few keys are divided again by the range that they span, so no distribution takes more than
/// 64 / 6 steps, and the usual ones take one or two. (A radix sort from the most significant digit, the digit
/// fitted to the range.) Keys of one part stay in the order in which they came, which is that of their indices.
public struct RankedKeys {
  private struct Item {
    let key: UInt64
    let index: Int
  }

  private typealias Items = UnsafeMutablePointer<Item>

  private let items: Items
  private let spare: Items
  private let counts: UnsafeMutablePointer<Int32>
  private let count: Int
  /// Of all keys.
  private let least, greatest: UInt64

  /// So many keys are sorted by insertion.
  private static let fewKeys = 16
  private static let partBits = 6...12

  /// The `count` candidates of the highest scores, best first, equal scores by the lower index.
  ///
  /// - Precondition: scores are not NaN; candidates are unique; count <= candidates.count < 2^31.
  /// - Complexity: O(n).
  public static func highest(_ count: Int, of scores: [Double], among candidates: [Int]) -> [Int] {
    precondition(count >= 0 && count <= candidates.count)
    guard count > 0 else { return [] }
    return withKeys(of: scores, contenders(count, scores, candidates) ?? candidates) { keys in
      keys.sort(0, keys.count, count)
      return keys.indices(count)
    }
  }

  /// The same candidates in ascending order.
  ///
  /// - Precondition: as for ``highest(_:of:among:)``.
  /// - Complexity: O(n).
  public static func highestAscending(_ count: Int, of scores: [Double], among candidates: [Int]) -> [Int] {
    precondition(count >= 0 && count <= candidates.count)
    guard count > 0 else { return [] }
    return withKeys(of: scores, contenders(count, scores, candidates) ?? candidates) { keys in
      keys.select(count)
    }
  }

  // MARK: Screening

  private static let sampleSize = 32

  /// The candidates whose scores reach a bound that a sample suggests, in the order of `candidates`.
  ///
  /// The sample's rank of the bound is that of the wanted share plus two standard deviations, so too few reach it in a few
  /// per cent of all cases; which bound is chosen changes nothing but the time that ranking takes.
  /// - Returns: nil where too few reach the bound, or a bound would not rule out much.
  private static func contenders(_ wanted: Int, _ scores: [Double], _ candidates: [Int]) -> [Int]? {
    let count = candidates.count
    guard count >= 8 * sampleSize, wanted <= count / 4 else { return nil }
    let expected = Double(sampleSize * wanted) / Double(count)
    let rank = Int((expected + 2 * expected.squareRoot() + 1).rounded(.up))
    guard let bound = sampled(rank, scores, candidates) else { return nil }
    // Unique candidates, as many as there are scores, are all of them, and their order decides nothing.
    let contenders =
      count == scores.count ? reaching(bound, scores) : reaching(bound, scores, among: candidates)
    return contenders.count >= wanted ? contenders : nil
  }

  /// The indices of all scores from `bound` on, ascending.
  private static func reaching(_ bound: Double, _ scores: [Double]) -> [Int] {
    [Int](room: scores.count) { target, found in
      scores.withUnsafeBufferPointer { scores in
        guard let target = target.baseAddress, let start = scores.baseAddress else { return }
        let whole = scores.count & ~63
        for first in stride(from: 0, to: whole, by: 64) {
          var bits = bitsReaching(bound, start + first)
          while bits != 0 {
            target[found] = first &+ bits.trailingZeroBitCount
            found &+= 1
            bits &= bits &- 1
          }
        }
        for index in whole..<scores.count {
          target[found] = index
          found &+= start[index] >= bound ? 1 : 0
        }
      }
    }
  }

  /// A bit for each of 64 scores: whether it reaches the bound.
  @inline(__always)
  private static func bitsReaching(_ bound: Double, _ scores: UnsafePointer<Double>) -> UInt64 {
    let bound = SIMD2(repeating: bound)
    var bits = SIMD2<Int64>.zero
    var two = SIMD2<Int64>(1, 2)
    for slot in stride(from: 0, to: 64, by: 2) {
      let pair = UnsafeRawPointer(scores + slot).loadUnaligned(as: SIMD2<Double>.self)
      bits |= unsafeBitCast(pair .>= bound, to: SIMD2<Int64>.self) & two
      two &<<= 2
    }
    return UInt64(bitPattern: bits[0] | bits[1])
  }

  /// Those of `candidates` whose scores reach `bound`, in their order.
  private static func reaching(_ bound: Double, _ scores: [Double], among candidates: [Int]) -> [Int] {
    [Int](room: candidates.count) { target, found in
      scores.withUnsafeBufferPointer { scores in
        candidates.withUnsafeBufferPointer { candidates in
          guard let target = target.baseAddress, let start = scores.baseAddress else { return }
          for index in candidates {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: scores.count))
            target[found] = index
            found &+= start[index] >= bound ? 1 : 0
          }
        }
      }
    }
  }

  /// The score of that rank, from 1, among a few candidates at equal distances.
  private static func sampled(_ rank: Int, _ scores: [Double], _ candidates: [Int]) -> Double? {
    var best = InlineArray<32, Double>(repeating: -.infinity)
    guard rank <= sampleSize / 2 else { return nil }
    let stride = candidates.count / sampleSize
    for number in 0..<sampleSize {
      let score = scores[candidates[number &* stride &+ stride / 2]]
      guard score > best[rank - 1] else { continue }
      var slot = rank - 1
      while slot > 0, best[slot - 1] < score {
        best[slot] = best[slot - 1]
        slot -= 1
      }
      best[slot] = score
    }
    return best[rank - 1]
  }

  private static func withKeys(
    of scores: [Double], _ candidates: [Int], _ body: (RankedKeys) -> [Int]
  ) -> [Int] {
    let count = candidates.count
    precondition(count <= Int(Int32.max))
    return withUnsafeTemporaryAllocation(of: Item.self, capacity: 2 * count + 1) { room in
      withUnsafeTemporaryAllocation(of: Int32.self, capacity: 1 << partBits.upperBound) { counts in
        guard let items = room.baseAddress, let counts = counts.baseAddress else { return [] }
        let (isAscending, least, greatest) = fill(items, from: scores, candidates)
        if !isAscending {
          var all = UnsafeMutableBufferPointer(start: items, count: count)
          all.sort { $0.index < $1.index }
        }
        let keys = RankedKeys(
          items: items, spare: items + count, counts: counts, count: count, least: least, greatest: greatest)
        return body(keys)
      }
    }
  }

  /// - Returns: whether the candidates ascend, and the range of the keys.
  private static func fill(
    _ items: Items, from scores: [Double], _ candidates: [Int]
  ) -> (isAscending: Bool, least: UInt64, greatest: UInt64) {
    var previous = -1
    // Negative while every index is above the one before it.
    var distances = -1
    var least = UInt64.max
    var greatest = UInt64.min
    scores.withUnsafeBufferPointer { scores in
      candidates.withUnsafeBufferPointer { candidates in
        guard let start = scores.baseAddress else { return precondition(candidates.isEmpty) }
        for slot in candidates.indices {
          let index = candidates[slot]
          precondition(UInt(bitPattern: index) < UInt(bitPattern: scores.count))
          distances &= previous &- index
          previous = index
          let key = key(of: start[index])
          least = key < least ? key : least
          greatest = key > greatest ? key : greatest
          (items + slot).initialize(to: Item(key: key, index: index))
        }
      }
    }
    return (distances < 0, least, greatest)
  }

  /// Ascends where scores descend; equal for the two zeros.
  @inline(__always)
  private static func key(of score: Double) -> UInt64 {
    // The sum with zero makes a zero positive. The bits of positive numbers ascend with them, and those of
    // negative numbers, which come last, descend.
    let bits = (score + 0).bitPattern
    return bits >> 63 == 0 ? bits ^ 0x7fff_ffff_ffff_ffff : bits
  }

  /// The indices of the first items.
  private func indices(_ count: Int) -> [Int] {
    [Int](room: count) { target, done in
      for slot in 0..<count { target.initializeElement(at: slot, to: items[slot].index) }
      done = count
    }
  }

  // MARK: Parts

  /// Equal parts of the range of some keys, and how many keys each holds.
  private struct Parts {
    let least: UInt64
    let shift: UInt64
    let count: Int

    @inline(__always)
    func part(of key: UInt64) -> Int { Int(truncatingIfNeeded: (key &- least) &>> shift) }
  }

  /// Divides items and counts those of each part.
  ///
  /// - Returns: nil when all keys are equal.
  private func parts(_ items: Items, _ size: Int) -> Parts? {
    var (least, greatest) = (self.least, self.greatest)
    if size < count {
      (least, greatest) = (.max, .min)
      for slot in 0..<size {
        least = min(least, items[slot].key)
        greatest = max(greatest, items[slot].key)
      }
    }
    guard least < greatest else { return nil }
    let sizeBits = Int.bitWidth - size.leadingZeroBitCount
    let bits = max(Self.partBits.lowerBound, min(Self.partBits.upperBound, sizeBits))
    let rangeBits = UInt64.bitWidth - (greatest - least).leadingZeroBitCount
    let parts = Parts(least: least, shift: UInt64(max(0, rangeBits - bits)), count: 1 << bits)
    counts.update(repeating: 0, count: parts.count)
    for slot in 0..<size { counts[parts.part(of: items[slot].key)] &+= 1 }
    return parts
  }

  // MARK: Sorting

  /// Brings the first `wanted` of some items in order to their front; what lies behind them is undefined afterwards.
  private func sort(_ start: Int, _ size: Int, _ wanted: Int) {
    guard size > Self.fewKeys else { return Self.insertionSort(items + start, size) }
    guard let parts = parts(items + start, size) else { return }
    // Counts become slots, as far as wanted items go.
    var covered = 0
    var last = 0
    while covered < wanted {
      let size = Int(counts[last])
      counts[last] = Int32(truncatingIfNeeded: covered)
      covered += size
      last += 1
    }
    let from = items + start
    let into = spare + start
    for slot in 0..<size {
      let item = from[slot]
      let part = parts.part(of: item.key)
      if part < last {
        into[Int(counts[part])] = item
        counts[part] &+= 1
      }
    }
    from.update(from: into, count: covered)
    sortParts(parts, start, covered, wanted)
  }

  /// Sorts items that lie part after part.
  private func sortParts(_ parts: Parts, _ start: Int, _ size: Int, _ wanted: Int) {
    var first = 0
    while first < wanted {
      let part = parts.part(of: items[start + first].key)
      var end = first + 1
      while end < size, parts.part(of: items[start + end].key) == part { end += 1 }
      if end - first > 1 { sort(start + first, end - first, min(end, wanted) - first) }
      first = end
    }
  }

  private static func insertionSort(_ items: Items, _ size: Int) {
    var sorted = 1
    while sorted < size {
      let item = items[sorted]
      var slot = sorted
      while slot > 0, items[slot - 1].key > item.key {
        items[slot] = items[slot - 1]
        slot -= 1
      }
      items[slot] = item
      sorted += 1
    }
  }

  // MARK: Selecting

  /// The indices of the first `wanted` items in order, ascending.
  private func select(_ wanted: Int) -> [Int] {
    guard wanted < count else { return indices(count) }
    let limit = threshold(wanted)
    return [Int](room: wanted + 1) { target, done in
      guard let target = target.baseAddress else { return }
      var taken = 0
      var ties = limit.ties
      var slot = 0
      while taken < wanted {
        // The slot behind the last is there to be written to.
        let item = items[slot]
        target[taken] = item.index
        let isTie = item.key == limit.key
        let isTaken = item.key < limit.key || (isTie && ties > 0)
        taken &+= isTaken ? 1 : 0
        ties &-= isTie ? 1 : 0
        slot &+= 1
      }
      done = wanted
    }
  }

  /// The key of the last wanted item, and how many with this key are wanted.
  private func threshold(_ wanted: Int) -> (key: UInt64, ties: Int) {
    var (group, size, wanted) = (items, count, wanted)
    while size > Self.fewKeys {
      guard let parts = parts(group, size) else { return (group[0].key, wanted) }
      var part = 0
      while Int(counts[part]) < wanted {
        wanted -= Int(counts[part])
        part += 1
      }
      var found = 0
      for slot in 0..<size {
        let item = group[slot]
        if parts.part(of: item.key) == part {
          spare[found] = item
          found += 1
        }
      }
      (group, size) = (spare, found)
    }
    if group != spare { spare.update(from: group, count: size) }
    Self.insertionSort(spare, size)
    let key = spare[wanted - 1].key
    var below = 0
    while spare[below].key < key { below += 1 }
    return (key, wanted - below)
  }
}
