package import PruningNumerics

/// Attention divided by that of a generic prompt (ViCrop, arXiv 2502.17422, section 4.1).
package enum RelativeAttention {
  /// A reference row below this share of its own mean is raised to it before dividing.
  ///
  /// Attention to a token that neither prompt looks at is noise around 0; divided by another such number it would
  /// outshine the region. One hundredth of the mean leaves every ratio that carries meaning alone.
  static let referenceFloor = 0.01

  /// One score per token [N].
  ///
  /// *Deviations*: the authors divide without a floor; see ``referenceFloor``.
  /// - Parameter reference: `reference_attention`, averaged as `attention` is.
  /// - Throws: at `reference_attention` when it has a negative element or only zeros.
  package static func scores(
    _ attention: [Double], to reference: [Double]
  ) throws(PruningError) -> [Double] {
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
}
