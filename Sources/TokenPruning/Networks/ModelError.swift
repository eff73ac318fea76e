/// What is wrong with the weights of a model: said of a tensor, or of the configuration.
public struct ModelError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A tensor's name or a place in the configuration, `crop.config/width`; nil for the whole file.
  public let place: String?
  public let message: String

  public init(at place: String? = nil, _ message: String) {
    self.place = place
    self.message = message
  }

  public var description: String { (place.map { "\($0): " } ?? "") + message }
}
