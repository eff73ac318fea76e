import PruningNumerics

/// One way to choose which visual tokens to keep.
///
/// To add one: a file in `Methods/` and a line in `MethodRegistry.standard`. A method that only decides has
/// nothing more to say; one that merges what it prunes into rows implements ``merge(_:of:)`` too.
protocol PruningMethod: Sendable {
  static var descriptor: MethodDescriptor { get }

  init(_ parameters: Parameters) throws(PruningError)

  /// Chooses exactly `task.count` of `task.candidates`; fewer only where a parameter of the method says so.
  ///
  /// - Returns: the chosen token indices, in the order of choice (best first where the method has an order).
  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int]

  /// Keeps `count` tokens of all and says what becomes of the others.
  ///
  /// - Precondition: 0 <= count <= N.
  /// - Returns: the rows in the order of the authors' code; ``MergedTokens/gathered(_:of:)`` unless the method
  ///   merges.
  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens

  /// The steps (``StepCounter``) that it takes at most for products that `descriptor.cost` does not count: of other rows than
  /// those of the tokens, or with parameters that make them long. Tensors may have any shape yet.
  func otherSteps(on input: PruningInput) -> Double

  /// Whether a parameter lets it choose fewer than asked, by what the tensors hold: counts are not known beforehand
  /// then, and its scores alone do not decide.
  var mayKeepFewer: Bool { get }

  /// Whether ``resolved(for:)`` may return another method, so that little is known of it before there are tensors.
  var choosesMethod: Bool { get }

  /// The name that an answer gives for who decided: the method's own, or that of the method it stands for.
  var decidingName: String { get }

  /// The method as one that gives every token a number; nil for one that does not. Asked for by every request, where a cast
  /// would look for the conformance anew.
  var scoring: (any ScoringMethod)? { get }

  /// Why ``resolved(for:)`` returns that method, in one sentence; nil where there was nothing to choose.
  func reason(for input: PruningInput) throws(PruningError) -> String?

  /// The same method, choosing among those that score tokens alone where it chooses among others.
  var limitedToScores: any PruningMethod { get }

  /// The method that will decide for this input: itself, unless it chooses among others by what is given.
  func resolved(for input: PruningInput) throws(PruningError) -> any PruningMethod
}

extension PruningMethod {
  func otherSteps(on input: PruningInput) -> Double { 0 }

  var mayKeepFewer: Bool { false }

  var choosesMethod: Bool { false }

  var decidingName: String { Self.descriptor.name }

  var scoring: (any ScoringMethod)? { nil }

  func reason(for input: PruningInput) throws(PruningError) -> String? { nil }

  var limitedToScores: any PruningMethod { self }

  func resolved(for input: PruningInput) throws(PruningError) -> any PruningMethod { self }

  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    let kept = try select(SelectionTask(count: count, of: input), from: input).sorted()
    return MergedTokens.gathered(kept, of: try input.features())
  }

  static var name: String { descriptor.name }
}

/// A method that gives every token a number and keeps the highest.
protocol ScoringMethod: PruningMethod {
  /// One finite score per token, [N]; higher is kept first.
  func scores(of input: PruningInput) throws(PruningError) -> [Double]
}

extension ScoringMethod {
  var scoring: (any ScoringMethod)? { self }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    Ranking.highest(task.count, of: try scores(of: input), among: task.candidates)
  }
}

/// A method that listens to some of the prompt's words only.
protocol TextRatingMethod: PruningMethod {
  /// 1 for each query row of `attention` that counts, 0 for the others [M].
  func textRaters(of input: PruningInput) throws(PruningError) -> [Int]
}

extension TextRatingMethod {
  func textRaters(of input: PruningInput) throws(PruningError) -> [Int] {
    let attention = try TextAttention(of: input)
    var marks = [Int](repeating: 0, count: attention.queries)
    for row in try TextRaters.rows(of: input, count: attention.queries) { marks[row] = 1 }
    return marks
  }
}

/// What to choose from. Region policies split one request into such tasks.
struct SelectionTask: Sendable {
  let count: Int
  /// Token indices to choose from, ascending and unique.
  let candidates: [Int]
  /// Tokens kept already, ascending: diversity methods keep their distance from these too.
  let given: [Int]

  /// - Precondition: 0 <= count <= candidates.count.
  init(count: Int, candidates: [Int], given: [Int] = []) {
    precondition(count >= 0 && count <= candidates.count)
    self.count = count
    self.candidates = candidates
    self.given = given
  }

  /// To choose from all tokens.
  init(count: Int, of input: PruningInput) {
    self.init(count: count, candidates: Array(0..<input.tokenCount))
  }

  /// All candidates or none, where that many are wanted; nil where there is something to choose.
  var onlyChoice: [Int]? { count == 0 ? [] : count == candidates.count ? candidates : nil }

  /// `kept`, and as many more of the candidates, best first, as are missing.
  func filled(_ kept: [Int], by scores: [Double]) -> [Int] {
    guard kept.count < count else { return kept }
    let isKept = Set(kept)
    let rest = candidates.filter { !isKept.contains($0) }
    return kept + Ranking.highest(count - kept.count, of: scores, among: rest)
  }
}
