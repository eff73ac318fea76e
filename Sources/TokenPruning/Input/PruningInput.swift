public import PruningNumerics
public import Tensors
public import VisionLayouts

/// The tensors of one image, validated against each other once; methods and localizers read from here.
///
/// N is the number of visual tokens. Names and shapes are those of the wire: `image_features` [N, D],
/// `attention` and `reference_attention` [N], [heads, N] or [heads, queries, N], `text_features` [D] or [M, D],
/// `query` and `key` of one layer.
public struct PruningInput: Sendable {
  /// What is known of an image before there are tensors: made once for all requests that differ in these alone, and held by
  /// reference, so that a copy of an input counts few references.
  public final class Image: Sendable {
    public let tokenCount: Int
    public let layout: TokenLayout?
    /// Feeds every pseudo-random choice, so that the same request gives the same answer.
    public let seed: UInt64
    /// The tokens that earlier requests left, ascending; nil where all are there.
    public let previous: [Int]?
    /// Where these tokens start among all visual tokens of the request: more than 0 for later images of a layout.
    let firstToken: Int
    /// All visual tokens of the request, those of other images of the layout included.
    let requestTokenCount: Int

    /// - Parameters:
    ///   - firstToken: of one image of several.
    ///   - requestTokenCount: nil where these are all.
    public init(
      tokenCount: Int, layout: TokenLayout?, seed: UInt64 = 0, previous: [Int]? = nil, firstToken: Int = 0,
      requestTokenCount: Int? = nil
    ) {
      self.tokenCount = tokenCount
      self.layout = layout
      self.seed = seed
      self.previous = previous
      self.firstToken = firstToken
      self.requestTokenCount = requestTokenCount ?? tokenCount
    }
  }

  public let image: Image
  public let tensors: [String: Tensor]
  /// What the request may still cost; shared with its other images.
  public let stepLimit: StepLimit
  /// Who else may do parts of the work.
  public let sharing: WorkSharing
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
      Image(tokenCount: tokenCount, layout: layout, seed: seed, previous: previous), tensors: tensors,
      stepLimit: stepLimit, sharing: sharing)
  }

  public init(
    _ image: Image, tensors: [String: Tensor], stepLimit: StepLimit, sharing: WorkSharing
  ) {
    self.image = image
    self.tensors = tensors
    self.stepLimit = stepLimit
    self.sharing = sharing
  }

  public var tokenCount: Int { image.tokenCount }
  public var layout: TokenLayout? { image.layout }
  public var seed: UInt64 { image.seed }
  public var previous: [Int]? { image.previous }
  var firstToken: Int { image.firstToken }
  var requestTokenCount: Int { image.requestTokenCount }

  /// The same with other tensors or another seed.
  func replacing(tensors: [String: Tensor]? = nil, seed: UInt64? = nil) -> PruningInput {
    let image =
      seed.map {
        Image(
          tokenCount: tokenCount, layout: layout, seed: $0, previous: previous, firstToken: firstToken,
          requestTokenCount: requestTokenCount)
      } ?? image
    var other = PruningInput(image, tensors: tensors ?? self.tensors, stepLimit: stepLimit, sharing: sharing)
    if tensors == nil { other.found = found }
    return other
  }
}
