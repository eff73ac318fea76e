import PruningNumerics
import VisionLayouts

/// Chooses the method by what the request holds, and says why.
///
/// Every method says in its ``AutomaticUse`` for which kind of request it is, which tensors it needs for that, and what
/// its authors report. Kinds are looked for in the order of ``AutomaticUse/Situation``. Of the methods of the first kind
/// that has any, the one that uses most of what was sent is taken; of several, the one with the highest reported
/// accuracy, then the first of the registry. Only names and shapes of tensors and the layout matter, never numbers.
struct Auto: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "auto",
    summary:
      "Chooses the method by the tensors and the layout of the request; the response says which and why.",
    deviations: [
      "The order of kinds is this project's; within a kind the figures of the authors decide, which are not"
        + " measured under the same conditions."
    ],
    facts: MethodFacts(.control, isQuestionAware: nil, cost: "that of the method", automatic: nil))

  private let candidates: [MethodDescriptor]
  private let registry: MethodRegistry

  init(_ parameters: Parameters) { self.init(among: .standard) }

  init(among registry: MethodRegistry) {
    self.registry = registry
    candidates = registry.descriptors
  }

  var choosesMethod: Bool { true }

  func resolved(for input: PruningInput) throws(PruningError) -> any PruningMethod {
    try registry.make(choice(for: input).name)
  }

  func reason(for input: PruningInput) throws(PruningError) -> String? {
    let choice = try choice(for: input)
    return choice.facts.automatic.map { "\($0.situation.sentence): \(choice.name) \($0.evidence)." }
  }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    try resolved(for: input).select(task, from: input)
  }

  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    try resolved(for: input).merge(count, of: input)
  }

  /// The method for this input.
  ///
  /// - Throws: at `/method` where no method is for such a request; the standard registry has one for every request.
  private func choice(for input: PruningInput) throws(PruningError) -> MethodDescriptor {
    for situation in AutomaticUse.Situation.allCases where Self.holds(situation, input) {
      let fitting = candidates.filter { candidate in
        guard let use = candidate.facts.automatic, use.situation == situation else { return false }
        return use.inputs.allSatisfy { input.tensors[$0] != nil }
      }
      // max(by:) would take the last of equals.
      let best = fitting.reversed().max { a, b in
        guard let a = a.facts.automatic, let b = b.facts.automatic else { return false }
        return a.inputs.count != b.inputs.count
          ? a.inputs.count < b.inputs.count : a.retained ?? 0 < b.retained ?? 0
      }
      if let best { return best }
    }
    throw PruningError(at: "/method", "'auto' knows no method for these tensors; name one")
  }

  /// Whether a request is of that kind, whatever tensors a method needs.
  private static func holds(_ situation: AutomaticUse.Situation, _ input: PruningInput) -> Bool {
    switch situation {
    case .pixels: input.tensors["image_features"] == nil && input.tensors["attention"] == nil
    case .video:
      (input.layout?.views.count { $0.role == .frame } ?? 0) > 1
    case .question: input.hasComparableText
    case .languageModel, .image, .positions: true
    }
  }
}

extension MethodRegistry {
  /// The most memory that a method takes; of one that chooses among others, that of the largest.
  public func memory(of name: String) -> MethodMemory? {
    guard name == Auto.name else { return descriptor(named: name)?.memory }
    return descriptors.filter { $0.facts.automatic != nil }.reduce(.scores) { $0.raised(to: $1.memory) }
  }
}
