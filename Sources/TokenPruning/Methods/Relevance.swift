import Kernels

/// How relevant each token is to the text: the mean cosine with the text rows.
enum Relevance {
  enum Sign: Sendable { case negative, positive }

  /// The tensor that shares a space with `text_features`, where `image_features` does not.
  static let embeddingsName = "relevance_features"

  /// The signed mean cosine of every token with the rows of `text_features` [N].
  ///
  /// A zero row, of image or text, has cosine 0 with everything.
  /// - Throws: when the widths of the two sides differ.
  /// - Complexity: O(N M D).
  static func cosines(
    of input: PruningInput, _ features: Matrix, sign: Sign
  ) throws(PruningError) -> [Double] {
    let hasOwn = input.tensors[embeddingsName] != nil
    let image = hasOwn ? try input.features(named: embeddingsName) : features
    let text = try input.textFeatures()
    guard text.columns == image.columns else {
      throw PruningError(
        at: "text_features",
        "has \(text.columns) columns, but \(hasOwn ? embeddingsName : "image_features") has \(image.columns); "
          + "the cosine needs equal widths (\(embeddingsName) [N, E] may carry the tokens in the text's space)"
      )
    }
    // The mean of cosines is the product with the mean of the normalised text rows.
    var mean = [Double](repeating: 0, count: text.columns)
    let textNorms = text.norms()
    for row in 0..<text.rows where textNorms[row] > 0 {
      for (column, value) in text.row(row).enumerated() { mean[column] += Double(value) / textNorms[row] }
    }
    let factor = (sign == .negative ? -1 : 1) / Double(text.rows)
    let norms = image.norms()
    return image.values.withUnsafeBufferPointer { rows in
      mean.withUnsafeBufferPointer { mean in
        (0..<image.rows).map { row in
          guard norms[row] > 0, let a = rows.baseAddress, let b = mean.baseAddress else { return 0 }
          return KernelSet.active.widenedDot(a + row * image.columns, b, image.columns) * factor / norms[row]
        }
      }
    }
  }

  /// (q - min + 1e-6) / (max - min), as CDPruner scales; all 1 where all are equal.
  static func scaled(_ relevance: [Double]) -> [Double] {
    guard let lowest = relevance.min(), let highest = relevance.max(), highest > lowest else {
      return relevance.map { _ in 1 }
    }
    return relevance.map { ($0 - lowest + 1e-6) / (highest - lowest) }
  }
}
