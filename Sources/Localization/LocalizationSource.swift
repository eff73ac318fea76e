package import PruningNumerics
package import Tensors

/// Where a region comes from, cheapest last; the raw values are wire names.
package enum LocalizationSource: String, Sendable, Hashable, CaseIterable {
  /// `attention` divided by `reference_attention`, the row of a generic prompt.
  case relativeAttention = "relative_attention"
  /// A row of attention over the visual tokens.
  case attention
  /// Cosine of `relevance_features`, or without them `image_features`, against `text_features`.
  case similarity
  /// The attention row computed from `query` and `key` of one layer.
  case queryKey = "query_key"
  /// A learned network reads `image_features` and `text_features`, ``LocalizerModel``.
  case model
  /// Boxes or blocks that the caller gave.
  case boxes
  /// Boxes read from a model's text.
  case text

  /// The tensors a score map of this source is made of.
  var requiredTensors: [String] {
    switch self {
    case .relativeAttention: ["attention", "reference_attention"]
    case .attention: ["attention"]
    case .similarity, .model: ["image_features", "text_features"]
    case .queryKey: ["query", "key"]
    case .boxes, .text: []
    }
  }

  /// Those that a request may name.
  static let ofScores = unasked + [.model]

  /// Those that are tried without being named. A model is not among them: what is loaded on a server must not
  /// change the answers to requests that do not speak of it.
  private static let unasked: [LocalizationSource] = [.relativeAttention, .attention, .similarity, .queryKey]

  /// The tokens' features in the space of the text: `relevance_features` where they are given, else `image_features`.
  package static func comparedFeatures(in tensors: [String: Tensor]) -> String {
    tensors[embeddingsName] == nil ? "image_features" : embeddingsName
  }

  /// The tensor that shares a space with `text_features`, where `image_features` does not.
  package static let embeddingsName = "relevance_features"

  /// The named source, or the first of the unasked ones whose tensors are all present.
  ///
  /// - Throws: at `/localize/source` for a source that needs a `region`; at the missing tensor for one whose
  ///   tensors are absent; at `/localize` when no source is possible, listing what each needs.
  package static func chosen(
    _ named: LocalizationSource?, from tensors: [String: Tensor]
  ) throws(PruningError) -> LocalizationSource {
    func missing(_ source: LocalizationSource) -> String? {
      var required = source.requiredTensors
      if source == .similarity { required[0] = comparedFeatures(in: tensors) }
      return required.first { tensors[$0] == nil }
    }
    if let named {
      guard ofScores.contains(named) else {
        throw PruningError(
          at: "/localize/source",
          "'\(named.rawValue)' means a region given by the caller, but there is no 'region'")
      }
      if let name = missing(named) {
        throw PruningError(at: name, "is missing; source '\(named.rawValue)' needs it")
      }
      return named
    }
    if let source = unasked.first(where: { missing($0) == nil }) { return source }
    let needs = unasked.map { "\($0.rawValue): \($0.requiredTensors.joined(separator: " and "))" }
    let present = tensors.keys.sorted().joined(separator: ", ")
    throw PruningError(
      at: "/localize",
      "no region can be found: give 'region', or the tensors of one source (\(needs.joined(separator: "; "))); "
        + "the request has \(present.isEmpty ? "no tensors" : present)")
  }
}
