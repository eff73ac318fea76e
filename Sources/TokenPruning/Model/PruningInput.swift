public import Tensors

/// The tensors of one image, validated against each other once; methods and localisers read from here.
///
/// N is the number of visual tokens. Names and shapes are those of the wire: `image_features` [N, D],
/// `attention` and `reference_attention` [N], [heads, N] or [heads, queries, N], `text_features` [D] or [M, D],
/// `query` and `key` of one layer.
public struct PruningInput: Sendable {
  public let tokenCount: Int
  public let layout: TokenLayout?
  public let tensors: [String: Tensor]
  /// Feeds every pseudo-random choice, so that the same request gives the same answer.
  public let seed: UInt64

  public init(tokenCount: Int, tensors: [String: Tensor], layout: TokenLayout?, seed: UInt64 = 0) {
    self.tokenCount = tokenCount
    self.layout = layout
    self.tensors = tensors
    self.seed = seed
  }
}
