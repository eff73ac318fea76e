import PruningNumerics
import Tensors

/// The tokens that earlier requests left, for methods that look at these alone.
///
/// After a first stage an engine holds fewer tokens than the layout has places. Methods then see what it holds, as the
/// authors' code does at later stages; budgets, regions and answers stay in the numbers of the original tokens.
struct RemainingTokens: Sendable {
  /// Original indices, ascending.
  let kept: [Int]
  /// Of each original token its place among those that are left; nil where it is gone.
  private let slots: [Int?]

  init(_ kept: [Int], of tokenCount: Int) {
    self.kept = kept
    var slots = [Int?](repeating: nil, count: tokenCount)
    for (slot, token) in kept.enumerated() { slots[token] = slot }
    self.slots = slots
  }

  func slots(of tokens: [Int]) -> [Int] { tokens.compactMap { slots[$0] } }

  /// What is left of an input: its tensors are over all tokens, or over those that are left.
  func input(_ input: PruningInput) -> PruningInput {
    var tensors = input.tensors
    if input.tokenCount != kept.count {
      for (name, tensor) in tensors {
        guard let axis = TokenAxis.of(name, rank: tensor.rank), tensor.shape[axis] == input.tokenCount else {
          continue
        }
        tensors[name] = tensor.gather(kept, axis: axis)
      }
    }
    return PruningInput(
      tokenCount: kept.count, tensors: tensors, layout: nil, seed: input.seed,
      stepLimit: input.stepLimit, sharing: input.sharing)
  }
}

/// A method that sees the tokens that are left, and answers in the numbers of all.
struct RemainingMethod: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "remaining", summary: "Another method, over the tokens that earlier requests left.")

  let method: any PruningMethod
  let tokens: RemainingTokens

  init(_ method: any PruningMethod, _ tokens: RemainingTokens) {
    self.method = method
    self.tokens = tokens
  }

  init(_ parameters: Parameters) {
    self.init(GivenScores([]), RemainingTokens([], of: 0))
  }

  var mayKeepFewer: Bool { method.mayKeepFewer }

  var choosesMethod: Bool { method.choosesMethod }

  var decidingName: String { method.decidingName }

  func reason(for input: PruningInput) throws(PruningError) -> String? {
    method.choosesMethod ? try method.reason(for: tokens.input(input)) : nil
  }

  func resolved(for input: PruningInput) throws(PruningError) -> any PruningMethod {
    let resolved = try method.resolved(for: tokens.input(input))
    if let scoring = resolved.scoring, !scoring.mayKeepFewer {
      return RemainingScores(scoring, tokens)
    }
    return RemainingMethod(resolved, tokens)
  }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let own = SelectionTask(
      count: task.count, candidates: tokens.slots(of: task.candidates), given: tokens.slots(of: task.given))
    return try method.select(own, from: tokens.input(input)).map { tokens.kept[$0] }
  }
}

/// The same where the method scores tokens; those that are gone have the lowest score.
struct RemainingScores: ScoringMethod {
  static let descriptor = RemainingMethod.descriptor

  let method: any ScoringMethod
  private let tokens: RemainingTokens

  init(_ method: any ScoringMethod, _ tokens: RemainingTokens) {
    self.method = method
    self.tokens = tokens
  }

  init(_ parameters: Parameters) { self.init(GivenScores([]), RemainingTokens([], of: 0)) }

  var decidingName: String { method.decidingName }

  func scores(of input: PruningInput) throws(PruningError) -> [Double] {
    let own = try method.scores(of: tokens.input(input))
    var scores = [Double](repeating: own.min() ?? 0, count: input.tokenCount)
    for (token, score) in zip(tokens.kept, own) { scores[token] = score }
    return scores
  }
}

extension PruningMethod {
  /// The method over the tokens that earlier requests left of an input; itself where all are there.
  func remaining(in input: PruningInput) -> any PruningMethod {
    input.previous.map { RemainingMethod(self, RemainingTokens($0, of: input.tokenCount)) } ?? self
  }
}

extension Quotas {
  /// - Parameter left: how many tokens earlier requests left of each group.
  /// - Throws: at the budget where the first step would keep more than that.
  func checkFirst(_ request: PruneRequest, left: [Int]) throws(PruningError) {
    guard let step = steps.first else { return }
    for (count, left) in zip(step.counts, left) where count > left {
      let name = step.stage?.budget.name ?? request.budget?.name ?? "keep_tokens"
      throw PruningError(
        at: step.stage == nil ? "/\(name)" : "/stages/0/\(name)",
        "keeps \(count) tokens, more than the \(left) that are left")
    }
  }

  /// The one budget of several images.
  ///
  /// - Throws: where it asks for more than all of them have, or have left.
  init(_ request: PruneRequest, sharedBy traces: [PruningTrace]) throws(PruningError) {
    try self.init(request, sizes: [traces.reduce(0) { $0 + $1.groups.candidateCount }])
    try checkFirst(request, left: [traces.reduce(0) { $0 + $1.survivors[0].count }])
  }
}
