public import JSON

/// What a caller must know of a method; `GET /methods` and `crop methods` print it.
public struct MethodDescriptor: Sendable, Hashable {
  /// The wire name, lower case: `divprune`.
  public let name: String
  public let summary: String
  /// Authors, venue and arXiv id, or nil for a control.
  public let paper: String?
  /// Tensor names that must be present.
  public let requiredInputs: [String]
  public let optionalInputs: [String]
  public let parameters: [ParameterDescriptor]
  /// Differences from the published algorithm or the authors' code, one sentence each.
  public let deviations: [String]
  public let cost: Cost

  /// How time grows with the number of tokens N at a given feature width.
  public enum Cost: String, Sendable, Hashable {
    /// O(N log N) at most: so little work that it is done where the request arrives.
    case linear
    case quadratic
  }

  public init(
    name: String, summary: String, paper: String? = nil, requiredInputs: [String] = [],
    optionalInputs: [String] = [], parameters: [ParameterDescriptor] = [], deviations: [String] = [],
    cost: Cost = .quadratic
  ) {
    self.name = name
    self.summary = summary
    self.paper = paper
    self.requiredInputs = requiredInputs
    self.optionalInputs = optionalInputs
    self.parameters = parameters
    self.deviations = deviations
    self.cost = cost
  }
}

/// One method parameter: its type, what it may be, and what it is when absent.
public struct ParameterDescriptor: Sendable, Hashable {
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

  public init(_ name: String, _ kind: Kind, default defaultValue: JSONValue, _ summary: String) {
    self.name = name
    self.kind = kind
    self.defaultValue = defaultValue
    self.summary = summary
  }
}
