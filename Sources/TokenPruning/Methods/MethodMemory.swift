/// How much memory a method takes at most beside the tensors of a request: known from shapes, before anything is made.
///
/// The figures are upper bounds of what `tools/memory.py` measures over shapes, element types and formats.
public struct MethodMemory: Sendable, Hashable {
  /// Bytes for each element of features and keys, whatever their type: widened copies, scaled copies, sums.
  public let perElement: Int
  /// Bytes for each pair of tokens that are compared all with all, where there are few enough for a matrix.
  public let perPair: Int
  /// Bytes for each token and each kept one.
  public let perKept: Int
  /// Bytes for each token and each row of text that it is compared with.
  public let perTextPair: Int
  /// Bytes for each element of attention.
  public let perScore: Int

  /// Beyond this number of tokens no method makes a matrix of all pairs.
  public static let maximumPaired = 4096

  public init(perElement: Int, perPair: Int = 0, perKept: Int = 0, perTextPair: Int = 0, perScore: Int = 0) {
    self.perElement = perElement
    self.perPair = perPair
    self.perKept = perKept
    self.perTextPair = perTextPair
    self.perScore = perScore
  }

  /// Reads rows of scores one after the other, and no features.
  public static let scores = MethodMemory(perElement: 0)
  /// Widens its features, and scales and packs them to compare them.
  public static let features = MethodMemory(perElement: 16, perPair: 4)

  /// What is enough for both.
  public func raised(to other: MethodMemory) -> MethodMemory {
    MethodMemory(
      perElement: max(perElement, other.perElement), perPair: max(perPair, other.perPair),
      perKept: max(perKept, other.perKept), perTextPair: max(perTextPair, other.perTextPair),
      perScore: max(perScore, other.perScore))
  }

  /// The most bytes that choosing `kept` of `tokens` takes, beside `texts` rows of text; `elements` are those of features and keys,
  /// `scores` those of attention.
  public func bytes(elements: Int, scores: Int, tokens: Int, kept: Int, texts: Int) -> Int {
    let paired = min(tokens, Self.maximumPaired)
    return elements &* perElement &+ paired &* paired &* perPair &+ tokens &* kept &* perKept
      &+ tokens &* texts &* perTextPair &+ scores &* perScore
  }
}
