public import JSON
import Parameters
package import PruningNumerics
public import Tensors

/// A network with its weights, ready to run.
public struct LearnedModel: Sendable, Equatable {
  enum Network: Sendable, Equatable {
    case localizer(LocalizerModel)
    case resampler(ResamplerModel)
  }

  public let configuration: ModelConfiguration
  /// How many numbers it has learned.
  public let parameterCount: Int
  let network: Network

  /// - Parameters:
  ///   - configuration: the object `crop.config`.
  ///   - tensors: all tensors of the file.
  /// - Throws: at the first member or tensor that is wrong. Weights are trusted no more than a request is.
  public init(configuration: JSONObject, tensors: [String: Tensor]) throws(ModelError) {
    let configuration = try ModelConfiguration(configuration)
    var remaining = ModelTensors(tensors)
    switch configuration.kind {
    case .localizer: network = .localizer(try LocalizerModel(configuration, &remaining))
    case .resampler: network = .resampler(try ResamplerModel(configuration, &remaining))
    }
    try remaining.refuseLeftovers()
    parameterCount = remaining.parameterCount
    self.configuration = configuration
  }
}

/// The learned models that requests may name. A value: whoever holds one keeps it, whatever is loaded later.
public struct ModelSet: Sendable, Equatable {
  private let models: [String: LearnedModel]

  public init(_ models: [String: LearnedModel] = [:]) { self.models = models }

  /// Ascending by name.
  public var all: [(name: String, model: LearnedModel)] {
    models.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  public var count: Int { models.count }

  package func localizer(
    named name: String?, at pointer: String
  ) throws(PruningError) -> (name: String, model: LocalizerModel) {
    try chosen(name, .localizer, at: pointer) { if case .localizer(let model) = $0 { model } else { nil } }
  }

  package func resampler(
    named name: String?, at pointer: String
  ) throws(PruningError) -> (name: String, model: ResamplerModel) {
    try chosen(name, .resampler, at: pointer) { if case .resampler(let model) = $0 { model } else { nil } }
  }

  /// The named model, or the only one of its kind.
  ///
  /// - Throws: naming the models of that kind.
  private func chosen<Model>(
    _ name: String?, _ kind: ModelConfiguration.Kind, at pointer: String,
    _ model: (LearnedModel.Network) -> Model?
  ) throws(PruningError) -> (name: String, model: Model) {
    let candidates = all.compactMap { entry in model(entry.model.network).map { (entry.name, $0) } }
    let available =
      candidates.isEmpty
      ? "no \(kind.rawValue) is loaded (--models)"
      : "available: \(candidates.map(\.0).joined(separator: ", "))"
    guard let name else {
      guard candidates.count == 1 else {
        throw PruningError(
          at: pointer, candidates.isEmpty ? available : "is missing, and there are several; \(available)")
      }
      return candidates[0]
    }
    guard let found = candidates.first(where: { $0.0 == name }) else {
      let other = models[name].map { "'\(name)' is a \($0.configuration.kind.rawValue)" }
      throw PruningError(
        at: pointer,
        (other ?? "there is no \(kind.rawValue) '\(name.excerpt)'") + "; \(available)")
    }
    return found
  }
}
