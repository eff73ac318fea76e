import Numerics
import Tensors

/// Token scores from the cosine of the tokens' features and text features.
enum SimilarityScores {
  enum Sign: String, CaseIterable {
    /// Similar is salient.
    case positive
    /// Dissimilar is salient: the raw cosines of some CLIP towers are inverted (CDPruner, TRIM).
    case negative
  }

  /// Cosine of each row of `relevance_features` [N, D], or without them of `image_features`, with `text_features` [D]
  /// or [M, D], mean over M, [N].
  ///
  /// A row of zeros has cosine 0 with everything.
  /// - Complexity: O((N + M) D).
  static func cosines(of input: PruningInput) throws(PruningError) -> [Double] {
    let name = LocalizationSource.comparedFeatures(in: input)
    let image = try LocalizationTensors.present(name, in: input)
    let text = try LocalizationTensors.present("text_features", in: input)
    let count = input.tokenCount
    guard image.rank == 2, image.shape[0] == count, image.shape[1] > 0 else {
      throw LocalizationTensors.wrongShape(
        name, expected: "[N, D] with N = \(count) and D >= 1", image.shape)
    }
    let width = image.shape[1]
    guard (1...2).contains(text.rank), text.shape[text.rank - 1] == width, text.elementCount > 0 else {
      throw LocalizationTensors.wrongShape(
        "text_features", expected: "[D] or [M, D] with D = \(width) as in \(name)", text.shape)
    }
    return try Relevance.cosines(of: input, sign: .positive)
  }

  /// Cosines as a map.
  ///
  /// - Parameter temperature: nil for the cosines as they are, else softmax(cosine / temperature) over tokens.
  static func saliency(_ cosines: [Double], sign: Sign, temperature: Double?) -> [Double] {
    let signed = sign == .positive ? cosines : cosines.map { -$0 }
    return temperature.map { temperature in RowArithmetic.softmax(signed.map { $0 / temperature }) } ?? signed
  }
}
