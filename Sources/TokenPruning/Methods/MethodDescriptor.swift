public import JSON

/// What a caller must know of a method; `GET /methods` and `crop methods` print it.
///
/// Held by reference: methods are asked for it by every request, and a copy would count a reference for each list.
public final class MethodDescriptor: Sendable {
  /// The wire name, lower case: `divprune`.
  public let name: String
  public let summary: String
  /// Authors, venue and arXiv id, or nil for a control.
  public let paper: String?
  /// Tensor names that must be present.
  public let requiredInputs: [String]
  /// Tensors of which one must be there, in the order in which they are looked for; they are among the optional ones.
  public let alternativeInputs: [String]
  public let optionalInputs: [String]
  public let parameters: [ParameterDescriptor]
  /// Differences from the published algorithm or the authors' code, one sentence each.
  public let deviations: [String]
  /// What the number of a budget counts, in one sentence.
  public let budget: String
  /// Budgets for the layers of an LLM that the authors publish; a request names one in `stages`.
  public let schedules: [PublishedSchedule]
  /// What holds with default parameters, in the order of ``Property``'s cases.
  public let properties: [Property]
  public let cost: Cost
  /// Whether the choice depends on what tensors hold, and not on their shapes alone.
  public let readsValues: Bool
  public let memory: MethodMemory
  public let facts: MethodFacts

  /// A law that a method obeys; tests hold it to what it claims.
  public enum Property: String, Sendable, Hashable, CaseIterable {
    /// A larger budget keeps every token that a smaller one kept.
    case nested
    /// Scaling all features, all attention, or all text by one factor changes nothing.
    case scaleInvariant = "scale_invariant"
    /// Reordering the tokens reorders the choice, where no two tokens tie.
    case orderEquivariant = "order_equivariant"
  }

  public static let exactBudget = "The kept tokens, exactly that many."

  /// How time grows with the number of tokens N at a given feature width.
  public enum Cost: String, Sendable, Hashable {
    /// O(N log N) at most: so little work that it is done where the request arrives.
    case linear
    case quadratic
    /// All pairs of tokens are compared whatever they are: no bound rules any out.
    case allPairs
  }

  init(
    name: String, summary: String, paper: String? = nil, requiredInputs: [String] = [],
    alternativeInputs: [String] = [], optionalInputs: [String] = [],
    parameters: [ParameterDescriptor] = [], deviations: [String] = [], budget: String = exactBudget,
    schedules: [PublishedSchedule] = [], properties: Set<Property> = [],
    cost: Cost = .quadratic, readsValues: Bool = true, memory: MethodMemory = .features,
    facts: MethodFacts = MethodFacts(.control, isQuestionAware: nil, cost: "that of the method")
  ) {
    self.name = name
    self.summary = summary
    self.paper = paper
    self.requiredInputs = requiredInputs
    self.alternativeInputs = alternativeInputs
    self.optionalInputs = optionalInputs
    self.parameters = parameters
    self.deviations = deviations
    self.budget = budget
    self.schedules = schedules
    self.properties = Property.allCases.filter(properties.contains)
    self.cost = cost
    self.readsValues = readsValues
    self.memory = memory
    self.facts = facts
  }
}

/// How long a method takes, as far as that follows from shapes and parameters.
public struct MethodWork: Sendable {
  public let cost: MethodDescriptor.Cost
  /// Steps, each roughly a nanosecond, that `cost` does not count.
  public let otherSteps: Double
}

extension MethodWork {
  init(_ method: any PruningMethod, on input: PruningInput) {
    self.init(cost: type(of: method).descriptor.cost, otherSteps: method.otherSteps(on: input))
  }
}

/// What a method is made for; the raw values are the operations' names.
public enum MethodUse: String, Sendable, Hashable {
  /// Choosing tokens.
  case prune
  /// Merging tokens into rows.
  case compress
}

/// One method parameter: its type, what it may be, and what it is when absent.
public struct ParameterDescriptor: Sendable, Equatable {
  public enum Kind: Sendable, Hashable {
    case integer(ClosedRange<Int>)
    case number(ClosedRange<Double>)
    case boolean
    case choice([String])
  }

  public let name: String
  public let kind: Kind
  public let defaultValue: JSONValue
  public let summary: String
  /// The one use that reads it; nil where both do. The other rejects it.
  public let onlyUse: MethodUse?

  public init(
    _ name: String, _ kind: Kind, default defaultValue: JSONValue, only use: MethodUse? = nil,
    _ summary: String
  ) {
    onlyUse = use
    self.name = name
    self.kind = kind
    self.defaultValue = defaultValue
    self.summary = summary
  }
}
