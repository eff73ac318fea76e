public import PruningNumerics

/// Greedy determinantal selection as OpenVINO GenAI's processor path computes it: float32, on a given kernel.
///
/// The algorithm is that of ``DeterminantalSearch``, eager, with OpenVINO's guards: 1e-6 is added under the root,
/// a gain that is not a number counts as the lowest, and projections below 1e-6 are left out. A row is chosen once
/// at most.
/// - Complexity: O(T^2 N) for T selections.
public enum FloatDeterminantalSearch {
  static let guardTerm: Float = 1e-6

  /// - Parameter kernel: symmetric [size, size], row-major.
  /// - Precondition: 0 <= count <= size.
  /// - Returns: `count` rows in the order of choice; equal gains go by the lower index.
  /// - Throws: when it is more work than the request may still do.
  public static func select(
    _ count: Int, of kernel: [Float], size: Int, _ steps: inout StepCounter
  ) throws(PruningError) -> [Int] {
    precondition(kernel.count == size * size && (0...size).contains(count))
    var gains = (0..<size).map { kernel[$0 * size + $0] }
    assert(gains.allSatisfy { !$0.isNaN }, "a gain is not a number")
    var isChosen = [Bool](repeating: false, count: size)
    var order: [Int] = []
    var projections: [[Float]] = []
    while order.count < count {
      try steps.spend((projections.count + 2) * size)
      var best: Int?
      for row in 0..<size where !isChosen[row] {
        if let leader = best, gains[row] <= gains[leader] { continue }
        best = row
      }
      guard let best else { break }
      let root = (gains[best] + guardTerm).squareRoot()
      var projection = Array(kernel[(best * size)..<((best + 1) * size)])
      for earlier in projections where earlier[best].magnitude >= guardTerm {
        let weight = earlier[best]
        for row in 0..<size { projection[row] -= weight * earlier[row] }
      }
      for row in 0..<size {
        projection[row] /= root
        gains[row] -= projection[row] * projection[row]
        if gains[row].isNaN { gains[row] = -Float.greatestFiniteMagnitude }
      }
      isChosen[best] = true
      order.append(best)
      projections.append(projection)
    }
    return order
  }
}
