/// Bounds for what a candidate can still gain, from the few selections nearest to it in the sequence.
///
/// Neighbours resemble each other, so a candidate beside a selection is mostly explained by it. What any few
/// selections explain, all of them explain at least, so a candidate can be ruled out without meeting the others.
///
/// A class, so that no question has to ask whether it owns the memory; it is never copied.
final class NearSelections {
  /// Farther away in the sequence no selection is looked for.
  static let reach = 32
  private static let maximum = 4
  /// Selections that those before them explain but for this share are left out: they bring little, and rounding
  /// grows with the inverse of the share.
  private static let smallestShare = 0.05

  private struct Record {
    /// Selections that were looked at for the nearest.
    public var looked: Int32 = 0
    public var count: Int32 = 0
    public var members = SIMD4<Int32>.zero
    public var cosines = SIMD4<Double>.zero
  }

  private let rows: Int
  private let records: UnsafeMutablePointer<Record>
  /// By row: which selection it is, or -1.
  private let selections: UnsafeMutablePointer<Int32>
  /// By group of as many rows as are in reach: the latest selection of it, or -1; a group more at each end.
  private let latest: UnsafeMutablePointer<Int32>
  /// Cosines between selections, by pair; NaN for what nobody asked for yet.
  private var known: [Double] = []
  private var count = 0
  /// How far below the computed residual a bound could lie, as a share of the diagonal.
  private let slack: Double

  /// - Parameters:
  ///   - slots: how many candidates there are.
  ///   - rows: how many rows, of which some are candidates and selections.
  init(slots: Int, rows: Int, columns: Int, capacity: Int) {
    self.rows = rows
    records = .allocate(capacity: slots)
    records.initialize(repeating: Record(), count: slots)
    selections = .allocate(capacity: rows)
    selections.initialize(repeating: -1, count: rows)
    let groups = rows / Self.reach + 3
    latest = .allocate(capacity: groups)
    latest.initialize(repeating: -1, count: groups)
    // Rows of the computed factor reproduce the kernel's entries within n u q_i q_j, n a little more than columns +
    // capacity and u = 2^-53, however ill conditioned the selections are (Higham, Accuracy and Stability of Numerical
    // Algorithms, 2nd ed., sections 3.1, 8.1 and 10.1). So, as vectors, they explain of a candidate at least what a
    // few of them do, and that is off by (2 |w|_1 + |w|_1^2) n u of the diagonal, w = G^-1 c: at most 10^5 n u with
    // shares of `smallestShare` or more.
    slack = Double(columns + capacity + 64) * 0x1p-33
  }

  deinit {
    records.deallocate()
    selections.deallocate()
    latest.deallocate()
  }

  /// Tells of the next selection.
  public func append(row: Int) {
    selections[row] = Int32(count)
    latest[row / Self.reach + 1] = Int32(count)
    known.append(contentsOf: repeatElement(.nan, count: count))
    count += 1
  }

  /// The selection nearest to a candidate's row of those it was not told of before; nil where none is in reach, or
  /// the candidate has enough of them.
  public func next(for slot: Int, at row: Int) -> Int? {
    let looked = records[slot].looked
    guard looked < count, records[slot].count < Self.maximum else { return nil }
    records[slot].looked = Int32(count)
    let group = row / Self.reach
    guard max(latest[group], latest[group + 1], latest[group + 2]) >= looked else { return nil }
    for distance in 1...Self.reach {
      if row >= distance, selections[row - distance] >= looked { return Int(selections[row - distance]) }
      if row + distance < rows, selections[row + distance] >= looked {
        return Int(selections[row + distance])
      }
    }
    return nil
  }

  /// The selections that a candidate's bound is made of.
  public func members(of slot: Int) -> (selections: SIMD4<Int32>, count: Int) {
    (records[slot].members, Int(records[slot].count))
  }

  func knows(_ a: Int, _ b: Int) -> Bool { !known[Self.pair(a, b)].isNaN }

  /// Tells the cosine of two selections, in float64 but for as many roundings as their rows of the factor have.
  public func learn(_ cosine: Double, of a: Int, _ b: Int) { known[Self.pair(a, b)] = cosine }

  /// What share of a candidate's diagonal is left at most, by the selections it was told of and one more.
  ///
  /// - Precondition: the cosines of these with each other are known.
  /// - Parameters:
  ///   - cosine: of the candidate and the selection.
  ///   - error: how far that one, and those before, can lie from the exact value.
  func shareLeft(of slot: Int, with selection: Int, cosine: Double, error: Double) -> Double {
    let last = Int(records[slot].count)
    records[slot].members[last] = Int32(selection)
    records[slot].cosines[last] = cosine
    let (left, isUseful) = shareLeft(records[slot], upTo: last, error)
    if isUseful { records[slot].count += 1 }
    return left + slack
  }

  private static func pair(_ a: Int, _ b: Int) -> Int { max(a, b) * (max(a, b) - 1) / 2 + min(a, b) }

  /// By the Cholesky factorisation L L' of the cosines between members; without the last of them where those before
  /// explain it.
  ///
  /// With cosines c, what is explained is |L^-1 c|^2, and more than that less 2 e |w|_1 when each cosine is off by
  /// e at most, w = (L L')^-1 c: what is left out of the expansion is a square.
  private func shareLeft(_ record: Record, upTo last: Int, _ error: Double) -> (share: Double, isUseful: Bool)
  {
    if last == 0 {
      let cosine = record.cosines[0]
      return (1 - cosine * cosine + 2 * error * cosine.magnitude, true)
    }
    // Row i of the factor at 4 i.
    var factor = SIMD16<Double>.zero
    var entries = SIMD4<Double>.zero
    var left = 1.0
    for i in 0...last {
      var share = 1.0
      var entry = record.cosines[i]
      for j in 0..<i {
        var product = known[Self.pair(Int(record.members[i]), Int(record.members[j]))]
        for k in 0..<j { product -= factor[4 * i + k] * factor[4 * j + k] }
        product /= factor[5 * j]
        factor[4 * i + j] = product
        share -= product * product
        entry -= product * entries[j]
      }
      guard share >= Self.smallestShare else { return (1, false) }
      factor[5 * i] = share.squareRoot()
      entries[i] = entry / factor[5 * i]
      left -= entries[i] * entries[i]
    }
    var weights = 0.0
    for i in (0...last).reversed() {
      for j in (i + 1)..<max(last + 1, i + 1) { entries[i] -= factor[4 * j + i] * entries[j] }
      entries[i] /= factor[5 * i]
      weights += entries[i].magnitude
    }
    return (left + 2 * error * weights, true)
  }
}
