package import PruningNumerics
package import Tensors

/// Token scores from rows of attention.
package enum AttentionScores {
  /// A reference row below this share of its own mean is raised to it before dividing.
  ///
  /// Attention to a token that neither prompt looks at is noise around 0; divided by another such number it would
  /// outshine the region. One hundredth of the mean leaves every ratio that carries meaning alone.
  static let referenceFloor = 0.01

  /// The mean over heads and queries of `attention`, [N].
  package static func attention(
    of tensors: [String: Tensor], _ tokenCount: Int
  ) throws(PruningError) -> [Double] {
    try meanRow(of: "attention", in: tensors, tokenCount)
  }

  /// Attention divided by the attention of a generic prompt, [N] (ViCrop, arXiv 2502.17422, section 4.1).
  ///
  /// *Deviations*: the authors divide without a floor; see ``referenceFloor``.
  /// - Throws: also at `reference_attention` when it has a negative element or only zeros.
  package static func relativeAttention(
    of tensors: [String: Tensor], _ tokenCount: Int
  ) throws(PruningError) -> [Double] {
    let attention = try meanRow(of: "attention", in: tensors, tokenCount)
    let reference = try meanRow(of: "reference_attention", in: tensors, tokenCount)
    if let index = reference.firstIndex(where: { $0 < 0 }) {
      throw PruningError(
        at: "reference_attention", "is negative at token \(index) (\(reference[index])); attention is not")
    }
    let largest = reference.max() ?? 0
    guard largest > 0 else {
      throw PruningError(at: "reference_attention", "is zero everywhere; nothing can be divided by it")
    }
    // Relative to the largest value first: a mean of tiny or huge numbers stays a normal number.
    let mean = reference.reduce(0) { $0 + $1 / largest } / Double(reference.count)
    let floor = referenceFloor * mean
    return zip(attention, reference).map { $0 / max($1 / largest, floor) }
  }

  /// The mean of [N], [heads, N] or [heads, queries, N] over all axes but the last.
  private static func meanRow(
    of name: String, in tensors: [String: Tensor], _ count: Int
  ) throws(PruningError) -> [Double] {
    let tensor = try LocalizationTensors.present(name, in: tensors)
    guard (1...3).contains(tensor.rank), tensor.shape[tensor.rank - 1] == count, tensor.elementCount > 0
    else {
      throw LocalizationTensors.wrongShape(
        name, expected: "[N], [heads, N] or [heads, queries, N] with N = \(count)", tensor.shape)
    }
    let rows = tensor.elementCount / count
    let mean = tensor.meanRow(count: rows, width: count)
    // One row is read faster than its mean; float64 elements have to fit float32 as well, and 64-bit integers float64.
    if rows == 1 || tensor.elementType.byteWidth == 8 || !mean.allSatisfy(\.isFinite) {
      _ = try LocalizationTensors.finite(name, in: tensors)
    }
    return mean
  }
}
