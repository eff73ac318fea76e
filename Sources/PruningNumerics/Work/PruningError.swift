/// Input that is well-formed but cannot be pruned: the caller's mistake, said where it is.
public struct PruningError: Error, Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    /// Shapes disagree, a value is out of range, a required input is absent.
    case invalidInput
    /// The named method is not registered.
    case unknownMethod
    /// All images, stages and budgets of the request together are more than one request may ask for.
    case workLimit
    /// Nobody waits for the result any more.
    case abandoned
    /// The time that one request may take is over.
    case overdue
  }

  public let kind: Kind
  /// A tensor's name (`image_features`) or a JSON pointer (`/region/box`), RFC 6901.
  public let pointer: String
  public let message: String

  public init(_ kind: Kind = .invalidInput, at pointer: String, _ message: String) {
    self.kind = kind
    self.pointer = pointer
    self.message = message
  }
}
