/// The one order in which scores are ranked: higher first, equal scores by the lower index.
enum Ranking {
  /// The `count` highest-scoring of `candidates`, best first.
  ///
  /// - Precondition: scores are not NaN; count <= candidates.count.
  /// - Complexity: O(n + k log k) on average: a quickselect, then a sort of what it selected.
  static func highest(_ count: Int, of scores: [Double], among candidates: [Int]) -> [Int] {
    precondition(count >= 0 && count <= candidates.count)
    guard count > 0 else { return [] }
    var ranked = candidates.map { Ranked(score: scores[$0], index: $0) }
    if count < ranked.count { partition(&ranked, keeping: count) }
    ranked.removeLast(ranked.count - count)
    ranked.sort()
    return ranked.map(\.index)
  }

  /// Reorders so that the first `count` elements are the `count` first in order.
  private static func partition(_ items: inout [Ranked], keeping count: Int) {
    var low = 0
    var high = items.count - 1
    while low < high {
      let pivot = medianOfThree(items[low], items[(low + high) / 2], items[high])
      var left = low
      var right = high
      while left <= right {
        while items[left] < pivot { left += 1 }
        while pivot < items[right] { right -= 1 }
        if left <= right {
          items.swapAt(left, right)
          left += 1
          right -= 1
        }
      }
      if count - 1 <= right { high = right } else if count - 1 >= left { low = left } else { return }
    }
  }

  private static func medianOfThree(_ a: Ranked, _ b: Ranked, _ c: Ranked) -> Ranked {
    max(min(a, b), min(max(a, b), c))
  }

  private struct Ranked: Comparable {
    let score: Double
    let index: Int

    static func < (a: Ranked, b: Ranked) -> Bool {
      a.score != b.score ? a.score > b.score : a.index < b.index
    }
  }
}
