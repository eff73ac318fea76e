/// Products of rows of Doubles.
package enum RowArithmetic {
  /// The sum of products of two rows of equal length.
  package static func dot(_ a: ArraySlice<Double>, _ b: ArraySlice<Double>) -> Double {
    var sum = 0.0
    var j = b.startIndex
    for value in a {
      sum += value * b[j]
      j += 1
    }
    return sum
  }
}
