package import PruningNumerics
package import Tensors

/// Token scores from the mean cosine of the tokens' features with the rows of the text features.
package enum SimilarityScores {
  package enum Sign: String, CaseIterable {
    /// Similar is salient.
    case positive
    /// Dissimilar is salient: the raw cosines of some CLIP towers are inverted (CDPruner, TRIM).
    case negative
  }

  /// Rejects tensors that have no cosines: those compared are the rows of `relevance_features` [N, D], or without them
  /// of `image_features`, with `text_features` [D] or [M, D].
  package static func validate(_ tensors: [String: Tensor], _ count: Int) throws(PruningError) {
    let name = LocalizationSource.comparedFeatures(in: tensors)
    let image = try LocalizationTensors.present(name, in: tensors)
    let text = try LocalizationTensors.present("text_features", in: tensors)
    guard image.rank == 2, image.shape[0] == count, image.shape[1] > 0 else {
      throw LocalizationTensors.wrongShape(name, expected: "[N, D] with N = \(count) and D >= 1", image.shape)
    }
    let width = image.shape[1]
    guard (1...2).contains(text.rank), text.shape[text.rank - 1] == width, text.elementCount > 0 else {
      throw LocalizationTensors.wrongShape(
        "text_features", expected: "[D] or [M, D] with D = \(width) as in \(name)", text.shape)
    }
  }

  /// Cosines [N] as scores.
  ///
  /// - Parameter temperature: nil for the cosines as they are, else softmax(cosine / temperature) over tokens.
  package static func saliency(_ cosines: [Double], sign: Sign, temperature: Double?) -> [Double] {
    let signed = sign == .positive ? cosines : cosines.map { -$0 }
    return temperature.map { temperature in softmax(signed.map { $0 / temperature }) } ?? signed
  }
}
