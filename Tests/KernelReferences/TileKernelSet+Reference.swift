@testable public import Kernels

extension TileKernelSet {
  /// The obvious loops; `preciseTile` adds in the order that all levels share.
  public static let reference = TileKernelSet(
    preciseTile: { a0, a1, a2, a3, b0, b1, b2, b3, count, sums in
      for (j, b) in [b0, b1, b2, b3].enumerated() {
        for (i, a) in [a0, a1, a2, a3].enumerated() { sums[4 * j + i] = inTurns(a, b, count) }
      }
    },
    preciseColumn: { a0, a1, a2, a3, b, count, sums in
      for (i, a) in [a0, a1, a2, a3].enumerated() { sums[i] = inTurns(a, b, count) }
    })

  /// Eight running sums that take elements in turn, added half onto half; then what is left.
  static func inTurns(_ a: Row, _ b: Row, _ count: Int) -> Double {
    var sums = [Double](repeating: 0, count: 8)
    let whole = count / 8 * 8
    for index in 0..<whole { sums[index % 8] += Double(a[index]) * Double(b[index]) }
    for half in [4, 2, 1] { for lane in 0..<half { sums[lane] += sums[lane + half] } }
    return (whole..<count).reduce(sums[0]) { $0 + Double(a[$1]) * Double(b[$1]) }
  }
}
