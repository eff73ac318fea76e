/// Products and softmax of rows of Doubles.
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

  /// exp(x - max) / sum, which no finite input overflows.
  package static func softmax(_ logits: [Double]) -> [Double] {
    guard let largest = logits.max() else { return [] }
    let powers = logits.map { exponential($0 - largest) }
    let sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
  }
}
