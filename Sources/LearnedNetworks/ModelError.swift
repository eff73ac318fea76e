/// What is wrong with the weights of a model: said of a tensor, or of the configuration.
public struct ModelError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A tensor's name or a place in the configuration, `crop.config/width`; nil for the whole file.
  public let slot: String?
  public let message: String

  public init(at slot: String? = nil, _ message: String) {
    self.slot = slot
    self.message = message
  }

  public var description: String { (slot.map { "\($0): " } ?? "") + message }
}
