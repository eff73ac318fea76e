/// One use of a learned network that a request makes, so that its memory is known before any of it is taken.
///
/// The figures are upper bounds, of numbers of eight bytes where four are enough: d is the model's width, n tokens and m rows
/// of text are read, h heads.
public struct ModelUse: Sendable, Hashable {
  enum Network: Sendable, Hashable {
    /// Of a question with this number of rows.
    case localizer(texts: Int)
    case resampler
  }

  let network: Network
  /// As the request names it; nil for the only one of its kind.
  let name: String?
  let tokens: Int

  /// A localizer reads all tokens of an image and a question of this number of rows.
  package static func localizing(_ tokens: Int, texts: Int, with name: String?) -> ModelUse {
    ModelUse(network: .localizer(texts: texts), name: name, tokens: tokens)
  }

  /// A resampler reads the tokens of the whole image, in one or two parts.
  public static func resampling(_ tokens: Int, with name: String?) -> ModelUse {
    ModelUse(network: .resampler, name: name, tokens: tokens)
  }

  /// The most bytes that it takes beside the features that it reads; 0 where there is no such model, which is refused.
  public func bytes(_ models: ModelSet) -> Int {
    switch network {
    case .localizer(let texts):
      guard let model = try? models.localizer(named: name, at: "").model else { return 0 }
      return model.workBytes(tokens: tokens, texts: texts)
    case .resampler:
      guard let model = try? models.resampler(named: name, at: "").model else { return 0 }
      return model.workBytes(tokens: tokens)
    }
  }

  /// Rows that are read and rows that are made of them, each a few times at once: residual stream, normalised, queries or
  /// keys, values, context, result; with what positions are made from, seven.
  fileprivate static let copies = 7
  /// Logits and shares of a group of rows.
  fileprivate static let groupBytes = 2 * FloatRows.groupSize * 4
  /// Rows of a group at each width between layers.
  fileprivate static let widthBytes = FloatRows.groupSize * 8
}

extension LocalizerModel {
  func workBytes(tokens: Int, texts: Int) -> Int {
    // The learned row is one of them.
    let rows = texts &+ 1
    // What is spread over heads: keys, values, their products with weights, packed.
    let spread = 6 &* 4 &* heads &* rows &* width
    let own = ModelUse.copies &* 8 &* (tokens &+ rows) &* width
    return own &+ spread &+ ModelUse.groupBytes &* max(tokens, heads &* rows)
      &+ ModelUse.widthBytes &* (imageWidth &+ textWidth &+ 2 &* width &+ hiddenWidth)
  }
}

extension ResamplerModel {
  /// Of as many rows as there are queries, or tokens.
  func workBytes(tokens: Int) -> Int {
    let rows = min(queryCount, tokens)
    let own = ModelUse.copies &* 8 &* (tokens &+ 2 &* rows) &* width
    // A part's features and the same packed; rows as sums, as results of the layer and as the answer of two parts.
    let features = 8 &* tokens &* imageWidth &+ 40 &* rows &* imageWidth
    // The attention of every row to every token.
    let shares = 4 &* rows &* tokens &+ ModelUse.groupBytes &* tokens
    return own &+ features &+ shares &+ ModelUse.widthBytes &* (imageWidth &+ width)
  }
}
