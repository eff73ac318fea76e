/// A priority queue of candidates by an upper bound of their gain; equal bounds come out by the lower index.
///
/// In the lazy greedy algorithm (Minoux 1978) gains only shrink, so a stale gain is such a bound: a candidate
/// whose refreshed gain still tops the queue is the true maximum, and the others were never touched.
struct BoundHeap {
  public struct Entry {
    public var bound: Double
    public let index: Int

    public func precedes(_ other: Entry) -> Bool {
      bound != other.bound ? bound > other.bound : index < other.index
    }
  }

  private var entries: [Entry]

  /// - Precondition: no bound is NaN, which would have no place in any order.
  /// - Complexity: O(n).
  init(_ entries: [Entry]) {
    assert(entries.allSatisfy { !$0.bound.isNaN }, "a bound is not a number")
    self.entries = entries
    for parent in stride(from: entries.count / 2 - 1, through: 0, by: -1) { siftDown(parent) }
  }

  public var first: Entry? { entries.first }

  /// The entry in a slot of the heap: 1 and 2 are below the first, the next four below those, and so on.
  public func entry(at slot: Int) -> Entry? { slot < entries.count ? entries[slot] : nil }

  /// - Complexity: O(log n).
  public mutating func popFirst() -> Entry? {
    guard let top = entries.first, let last = entries.popLast() else { return nil }
    if !entries.isEmpty {
      entries[0] = last
      siftDown(0)
    }
    return top
  }

  /// Gives the first entry a lower bound, see ``lower(at:to:)``.
  mutating func lowerFirst(to bound: Double) { lower(at: 0, to: bound) }

  /// Gives the entry in a slot of the heap a lower bound; one that is not lower, or not a number, changes nothing.
  public mutating func lower(at slot: Int, to bound: Double) {
    assert(!bound.isNaN, "a bound is not a number")
    guard bound < entries[slot].bound else { return }
    entries[slot].bound = bound
    siftDown(slot)
  }

  private mutating func siftDown(_ start: Int) {
    entries.withUnsafeMutableBufferPointer { entries in
      let moved = entries[start]
      var hole = start
      while true {
        var child = 2 * hole + 1
        guard child < entries.count else { break }
        if child + 1 < entries.count, entries[child + 1].precedes(entries[child]) { child += 1 }
        guard entries[child].precedes(moved) else { break }
        entries[hole] = entries[child]
        hole = child
      }
      entries[hole] = moved
    }
  }
}
