extension [Int] {
  /// Where the numbers of a range stand in a list that ascends.
  ///
  /// - Complexity: O(log count).
  public func indices(within range: Range<Int>) -> Range<Int> {
    firstIndex(from: range.lowerBound)..<firstIndex(from: range.upperBound)
  }

  /// The numbers of a range in a list that ascends, counted from the start of the range.
  ///
  /// - Complexity: O(log count), and the numbers found.
  public func offsets(within range: Range<Int>) -> [Int] {
    self[indices(within: range)].map { $0 - range.lowerBound }
  }

  private func firstIndex(from bound: Int) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if self[middle] < bound { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
