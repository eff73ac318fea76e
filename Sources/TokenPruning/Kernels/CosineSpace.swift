import Kernels

/// The rows of a matrix compared by the cosine of their angle: fast in binary32, exact in binary64 on demand.
///
/// The fast similarity of two rows lies within half of ``slack`` of the exact one, so rows whose fast values
/// differ by more than ``slack`` are in that order, and closer ones are compared exactly. A choice made so is
/// the binary64 one, whatever kernels computed it. The cosine with a zero row is 0.
struct CosineSpace: Sendable {
  private let features: Matrix
  private let unit: Matrix
  private let norms: [Double]
  private let kernels: KernelSet
  let slack: Float

  /// - Complexity: O(rows x columns).
  init(_ features: Matrix, kernels: KernelSet = .active) {
    self.features = features
    self.kernels = kernels
    norms = features.norms(kernels)
    unit = features.normalized(norms: norms, kernels)
    slack = 2 * KernelSet.tolerance(columns: features.columns)
  }

  var rows: Int { features.rows }

  var columns: Int { features.columns }

  func isZero(_ row: Int) -> Bool { norms[row] == 0 }

  func exactSimilarity(_ a: Int, _ b: Int) -> Double {
    guard norms[a] > 0, norms[b] > 0 else { return 0 }
    return features.values.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return 0 }
      let columns = features.columns
      return kernels.preciseDot(base + a * columns, base + b * columns, columns) / (norms[a] * norms[b])
    }
  }

  /// The fast similarities of one row to four.
  func similarities(of row: Int, to others: SIMD4<Int>) -> SIMD4<Float> {
    unit.values.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return .zero }
      let columns = unit.columns
      return kernels.dotFour(
        base + row * columns, base + others[0] * columns, base + others[1] * columns,
        base + others[2] * columns, base + others[3] * columns, columns)
    }
  }

  /// The largest fast similarity of one row to others; minus infinity when there are none.
  func largestSimilarity(of row: Int, to others: ArraySlice<Int>) -> Float {
    var largest = -Float.infinity
    forEachSimilarity(of: row, to: others) { _, similarity in largest = max(largest, similarity) }
    return largest
  }

  /// The position in `others` of the row most similar to `row`; the first of equals.
  ///
  /// - Precondition: `others` is not empty.
  /// - Complexity: O(others x columns).
  func mostSimilar(to row: Int, among others: [Int]) -> Int {
    precondition(!others.isEmpty)
    var best = -Float.infinity
    var contenders: [(position: Int, similarity: Float)] = []
    forEachSimilarity(of: row, to: others[...]) { position, similarity in
      if similarity >= best - slack { contenders.append((position, similarity)) }
      best = max(best, similarity)
    }
    contenders.removeAll { $0.similarity < best - slack }
    guard contenders.count > 1 else { return contenders[0].position }
    var choice = contenders[0].position
    var largest = -Double.infinity
    for contender in contenders {
      let similarity = exactSimilarity(row, others[contender.position])
      if similarity > largest {
        largest = similarity
        choice = contender.position
      }
    }
    return choice
  }

  private func forEachSimilarity(
    of row: Int, to others: ArraySlice<Int>, _ body: (_ position: Int, _ similarity: Float) -> Void
  ) {
    var position = others.startIndex
    while position + 4 <= others.endIndex {
      let four = SIMD4(
        others[position], others[position + 1], others[position + 2], others[position + 3])
      let similarities = similarities(of: row, to: four)
      for lane in 0..<4 { body(position + lane, similarities[lane]) }
      position += 4
    }
    let columns = unit.columns
    unit.values.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      while position < others.endIndex {
        body(position, kernels.dot(base + row * columns, base + others[position] * columns, columns))
        position += 1
      }
    }
  }
}
