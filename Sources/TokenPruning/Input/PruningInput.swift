public import Numerics
public import Tensors
public import VisionLayouts

/// The tensors of one image, validated against each other once; methods and localizers read from here.
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
  /// The tokens that earlier requests left, ascending; nil where all are there.
  public let previous: [Int]?
  /// What the request may still cost; shared with its other images.
  public let stepLimit: StepLimit
  /// Who else may do parts of the work.
  public let sharing: WorkSharing
  /// Where these tokens start among all visual tokens of the request: more than 0 for later images of a layout.
  let firstToken: Int
  /// All visual tokens of the request, those of other images of the layout included.
  let requestTokenCount: Int
  /// Scores of the tokens that localization computed already.
  var found: FoundScores?

  /// One per token [N]: what a method may need that a region was found with.
  enum FoundScores: Sendable {
    /// The mean row of `attention`.
    case meanAttention([Double])
    /// Those of ``Relevance/cosines(of:sign:)`` with a positive sign.
    case meanCosines([Double])
  }

  /// Four to ten seconds of one processor; 2,880 tokens of 4,096 numbers take one or two at worst.
  public static let standardStepLimit = 10_000_000_000

  public init(
    tokenCount: Int, tensors: [String: Tensor], layout: TokenLayout?, seed: UInt64 = 0,
    previous: [Int]? = nil, stepLimit: StepLimit = StepLimit(standardStepLimit),
    sharing: WorkSharing = .none
  ) {
    self.init(
      tokenCount: tokenCount, tensors: tensors, layout: layout, seed: seed, previous: previous,
      stepLimit: stepLimit, sharing: sharing, firstToken: 0, requestTokenCount: tokenCount)
  }

  init(
    tokenCount: Int, tensors: [String: Tensor], layout: TokenLayout?, seed: UInt64, previous: [Int]? = nil,
    stepLimit: StepLimit, sharing: WorkSharing, firstToken: Int,
    requestTokenCount: Int
  ) {
    self.tokenCount = tokenCount
    self.layout = layout
    self.tensors = tensors
    self.seed = seed
    self.previous = previous
    self.stepLimit = stepLimit
    self.sharing = sharing
    self.firstToken = firstToken
    self.requestTokenCount = requestTokenCount
  }

  /// The same with other tensors or another seed.
  func replacing(tensors: [String: Tensor]? = nil, seed: UInt64? = nil) -> PruningInput {
    var other = PruningInput(
      tokenCount: tokenCount, tensors: tensors ?? self.tensors, layout: layout, seed: seed ?? self.seed,
      previous: previous, stepLimit: stepLimit, sharing: sharing, firstToken: firstToken,
      requestTokenCount: requestTokenCount)
    if tensors == nil { other.found = found }
    return other
  }
}
