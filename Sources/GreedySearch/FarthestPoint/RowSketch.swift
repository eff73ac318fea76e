import Kernels
import PruningNumerics

/// Rows in few coordinates, and what they say of cosines: features that share a mean and a few directions are nearly
/// determined by them.
///
/// The coordinates z are those of unit rows in an orthonormal basis of some rows, the landmarks a_1 ... a_d. With the
/// factor L of their cosines, L L' = A A', they are L^-1 A x. What is left of x has the length r = sqrt(1 - |z|^2), so
///
///     |cos(x, y) - z_x . z_y| <= r_x r_y                                                          (Cauchy-Schwarz)
///
/// - Complexity: O(N d (D + d)), and O(N d) for the bounds of one row. Memory is N numbers for each landmark.
final class RowSketch {
  /// One panel of the widest kernels.
  private static let maximumLandmarks = 48
  /// Rows that landmarks explain but for this share are none: rounding grows with its inverse.
  private static let smallestPivot = 0.1

  /// Fewer rows or columns are compared outright.
  private static let fewest = 2 * maximumLandmarks
  /// Rows with such cosines on average share a mean.
  private static let sharedMean: Float = 0.15

  private let rows: [Int]
  private let kernels: KernelSet
  /// Column 0 is the length of what is left, r; column k the coordinate k.
  private let coordinates: FloatColumns
  public private(set) var dimensions = 0
  /// How far exact cosines can lie above ``bounds(of:into:)``.
  private(set) var boundError: Float = 0
  private var weights: [Float] = []

  /// - Parameter rows: none of them zero.
  /// - Throws: when it is more work than the limit allows.
  init(
    _ space: CosineSpace, _ rows: [Int], sharing: WorkSharing, _ steps: inout StepCounter
  ) throws(PruningError) {
    self.rows = rows
    kernels = space.kernels
    let landmarks = Self.spread(Self.maximumLandmarks, over: rows)
    coordinates = FloatColumns(1 + landmarks.count, of: rows.count)
    try steps.spend(comparingWith: landmarks.count * (rows.count + 8 * landmarks.count), of: space)
    let packed = PackedRows(space, landmarks, sharing: sharing)
    fill(with: packed, sharing)
    orthogonalize(cosines(of: landmarks, space), similarityError: Double(packed.slack) / 2)
  }

  /// Whether rows far from each other are alike, so that landmarks explain them: sixteen of them tell.
  static func promisesMuch(
    _ space: CosineSpace, _ rows: [Int], _ reader: CosineReader, _ steps: inout StepCounter
  ) throws(PruningError) -> Bool {
    guard rows.count > fewest, space.columns > fewest else { return false }
    let some = spread(16, over: rows)
    try steps.spend(comparingWith: some.count * some.count / 2, of: space)
    var sum: Float = 0
    for a in stride(from: 0, to: 16, by: 4) {
      for b in stride(from: a + 4, to: 16, by: 4) {
        let columns = reader.similarities(
          of: SIMD4(some[a], some[a + 1], some[a + 2], some[a + 3]),
          to: SIMD4(some[b], some[b + 1], some[b + 2], some[b + 3])
        ).columns
        sum += (columns.0 + columns.1 + columns.2 + columns.3).sum()
      }
    }
    return sum > sharedMean * 96
  }

  /// Rows at irregular distances: regular ones meet the columns of an image's grid.
  public static func spread(_ count: Int, over rows: [Int]) -> [Int] {
    let count = min(count, rows.count)
    return (0..<count).map { index in
      let golden = 0.618_033_988_749_895 * Double(index)
      let slot = (Double(index) + golden - golden.rounded(.down)) * Double(rows.count) / Double(count)
      return rows[min(rows.count - 1, Int(slot))]
    }
  }

  /// Similarities to all landmarks, each in the column of its coordinate.
  private func fill(with packed: PackedRows, _ sharing: WorkSharing) {
    let perPart = 64
    let target = SharedAddress(coordinates.base)
    let (stride, rows) = (coordinates.stride, rows)
    sharing.forEach((rows.count + perPart - 1) / perPart) { part in
      guard let base = target.pointer else { return }
      var slot = part * perPart
      packed.forEachSimilarities(of: rows[slot..<min(slot + perPart, rows.count)]) { _, similarities in
        for index in similarities.indices { base[(1 + index) * stride + slot] = similarities[index] }
        slot += 1
      }
    }
    for column in 0...packed.rowCount { coordinates.fillPadding(column, with: 0) }
  }

  /// The exact cosines of landmarks with those before them.
  private func cosines(of landmarks: [Int], _ space: CosineSpace) -> [[Double]] {
    stride(from: 0, to: landmarks.count, by: 4).flatMap { first in
      let four = Array(landmarks[first..<min(first + 4, landmarks.count)])
      let width = first + four.count
      let values = space.exactSimilarities(of: four, to: Array(landmarks[..<width]))
      return four.indices.map { Array(values[($0 * width)..<(($0 + 1) * width)]) }
    }
  }

  /// Makes coordinates of similarities, L^-1 of them, and drops landmarks that others explain.
  private func orthogonalize(_ cosines: [[Double]], similarityError: Double) {
    var kept: [Int] = []
    /// The rows of L^-1.
    var inverse: [[Double]] = []
    var squaredError = 0.0
    let squares = FloatColumns(1, of: rows.count)
    squares.fill(0, with: 0)
    for (index, row) in cosines.enumerated() {
      let entries = inverse.map { zip($0, kept).reduce(0.0) { $0 + $1.0 * row[$1.1] } }
      let square = 1 - entries.reduce(0) { $0 + $1 * $1 }
      guard square >= Self.smallestPivot else { continue }
      let pivot = square.squareRoot()
      let target = coordinates.column(1 + dimensions)
      if dimensions != index {
        target.update(from: coordinates.column(1 + index), count: coordinates.stride)
      }
      weights = entries.map { Float(-$0 / pivot) } + [Float(1 / pivot)]
      kernels.search.combine(
        weights, weights.count, coordinates.column(1), coordinates.stride, target, coordinates.stride)
      for slot in 0..<rows.count { squares[slot] += target[slot] * target[slot] }
      var inverted = [Double](repeating: 0, count: dimensions + 1)
      for (entry, other) in zip(entries, inverse) {
        for column in other.indices { inverted[column] -= entry * other[column] / pivot }
      }
      inverted[dimensions] = 1 / pivot
      // Each similarity and each sum of the recurrence is off by so much, and L^-1 adds that up.
      let error = similarityError + Double(2 * dimensions + 32) * 0x1p-24
      let total = error * inverted.reduce(0) { $0 + $1.magnitude }
      squaredError += total * total
      inverse.append(inverted)
      kept.append(index)
      dimensions += 1
    }
    boundError = Float(4 * squaredError.squareRoot() + 4 * squaredError) + 0x1p-18
    let left = coordinates.column(0)
    for slot in 0..<rows.count { left[slot] = (max(0, 1 - squares[slot]) + boundError).squareRoot() }
  }

  /// Upper bounds for the cosines of the row in a slot with all rows.
  ///
  /// - Parameter target: one number for each row, padded.
  public func bounds(of slot: Int, into target: UnsafeMutablePointer<Float>) {
    weights.removeAll(keepingCapacity: true)
    for column in 0...dimensions { weights.append(coordinates.column(column)[slot]) }
    kernels.search.combine(
      weights, weights.count, coordinates.base, coordinates.stride, target, coordinates.stride)
  }

  /// For each row the slot of the other one that seems most similar, by coordinates alone, of those before it and few
  /// behind it: whoever meets that one is met by it.
  ///
  /// - Precondition: there are two rows.
  /// - Complexity: O(N^2 d / 2).
  func likelyNearest(sharing: WorkSharing, _ steps: inout StepCounter) throws(PruningError) -> [Int] {
    let (count, width) = (rows.count, dimensions)
    try steps.spend(count * (count / 4 + 1) * StepCounter.comparison(columns: width))
    let transposed = [Float](unsafeUninitializedCapacity: count * width) { target, written in
      written = count * width
      for column in 0..<width {
        let source = coordinates.column(1 + column)
        for slot in 0..<count { target[slot * width + column] = source[slot] }
      }
    }
    let kernels = self.kernels
    let size = kernels.packedCount(rows: count, columns: width)
    let packed = [Float](unsafeUninitializedCapacity: size) { target, written in
      written = size
      guard let target = target.baseAddress else { return }
      kernels.pack(transposed, count, width, 0..<kernels.panelCount(rows: count), target)
    }
    let perPart = 32
    return sharing.map((count + perPart - 1) / perPart) { part in
      let some = part * perPart..<min((part + 1) * perPart, count)
      let reach = some.upperBound
      let room = FloatColumns(some.count, of: reach)
      transposed.withUnsafeBufferPointer { transposed in
        guard let base = transposed.baseAddress else { return }
        kernels.multiply(
          base + some.lowerBound * width, some.count, width, packed, reach, room.base, room.stride)
      }
      return some.map { slot in
        let similarities = room.column(slot - some.lowerBound)
        (similarities + reach).update(repeating: -.infinity, count: room.stride - reach)
        similarities[slot] = -.infinity
        return kernels.search.highest(similarities, room.stride)
      }
    }.flatMap { $0 }
  }
}
