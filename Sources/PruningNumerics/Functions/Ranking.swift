import Kernels

/// The one order in which scores are ranked: higher first, equal scores by the lower index.
public enum Ranking {
  /// The `count` highest-scoring of `candidates`, best first.
  ///
  /// - Precondition: scores are not NaN; candidates are unique; count <= candidates.count.
  /// - Complexity: O(n).
  public static func highest(_ count: Int, of scores: [Double], among candidates: [Int]) -> [Int] {
    RankedKeys.highest(count, of: scores, among: candidates)
  }

  /// The same candidates in ascending order, for callers who do not ask which of them is better.
  public static func highestAscending(_ count: Int, of scores: [Double], among candidates: [Int]) -> [Int] {
    RankedKeys.highestAscending(count, of: scores, among: candidates)
  }

  /// 0..<bound as an array, without the steps that the standard library takes through a range.
  public static func indices(below bound: Int) -> [Int] {
    [Int](room: bound) { target, count in
      for index in 0..<bound { target.initializeElement(at: index, to: index) }
      count = bound
    }
  }

  /// 0..<bound without the given indices.
  ///
  /// - Precondition: these ascend, are unique and lie in 0..<bound.
  /// - Complexity: O(bound).
  public static func indices(below bound: Int, without left: [Int]) -> [Int] {
    [Int](room: bound - left.count) { target, count in
      var (next, slot) = (0, 0)
      for index in left {
        precondition(next <= index && index < bound)
        while next < index {
          target.initializeElement(at: slot, to: next)
          slot &+= 1
          next &+= 1
        }
        next &+= 1
      }
      while next < bound {
        target.initializeElement(at: slot, to: next)
        slot &+= 1
        next &+= 1
      }
      count = slot
    }
  }

  /// Indices in ascending order.
  ///
  /// - Precondition: they are unique and lie in 0..<bound.
  /// - Complexity: O(bound / 64 + n), a bit for each index; O(n) where they ascend already.
  public static func ascending(_ indices: [Int], below bound: Int) -> [Int] {
    guard zip(indices, indices.dropFirst()).contains(where: { $0 > $1 }) else { return indices }
    var words = Array(uniform: UInt64(0), count: (bound + 63) / 64)
    for index in indices { words[index >> 6] |= 1 << UInt64(index & 63) }
    let sorted = Self.indices(ofBits: words)
    precondition(sorted.count == indices.count, "indices are unique")
    return sorted
  }

  /// Two ascending lists as one.
  ///
  /// - Complexity: O(n).
  public static func merged(_ a: [Int], _ b: [Int]) -> [Int] {
    if a.isEmpty { return b }
    if b.isEmpty { return a }
    return [Int](room: a.count + b.count) { target, count in
      var (first, second) = (0, 0)
      for slot in 0..<(a.count + b.count) {
        let takesFirst = second == b.count || (first < a.count && a[first] <= b[second])
        target.initializeElement(at: slot, to: takesFirst ? a[first] : b[second])
        if takesFirst { first += 1 } else { second += 1 }
      }
      count = a.count + b.count
    }
  }

  /// The indices of the bits that are set, ascending: bit i of word w is index 64 w + i.
  ///
  /// - Complexity: O(words + n).
  public static func indices(ofBits words: [UInt64]) -> [Int] {
    let count = words.reduce(0) { $0 + $1.nonzeroBitCount }
    return [Int](room: count) { target, found in
      for (slot, bits) in words.enumerated() {
        var rest = bits
        while rest != 0 {
          target[found] = slot << 6 + rest.trailingZeroBitCount
          found &+= 1
          rest &= rest &- 1
        }
      }
    }
  }
}
