import PruningNumerics

/// Token scores from the mean cosine of the tokens' features with the rows of the text features.
package enum SimilarityScores {
  package enum Sign: String, CaseIterable {
    /// Similar is salient.
    case positive
    /// Dissimilar is salient: the raw cosines of some CLIP towers are inverted (CDPruner, TRIM).
    case negative
  }

  /// Cosines [N] as scores.
  ///
  /// - Parameter temperature: nil for the cosines as they are, else softmax(cosine / temperature) over tokens.
  package static func saliency(_ cosines: [Double], sign: Sign, temperature: Double?) -> [Double] {
    let signed = sign == .positive ? cosines : cosines.map { -$0 }
    return temperature.map { temperature in softmax(signed.map { $0 / temperature }) } ?? signed
  }
}
