public import JSON
import Parameters
import PruningNumerics
import VisionLayouts

/// What a model is, as `crop.config` in the metadata of its weights says.
///
/// Every number is bounded, so that none of the tensor shapes made of them can overflow, and nothing unknown is
/// accepted: a model of a later version must not be read as one of this.
public struct ModelConfiguration: Sendable, Equatable {
  public enum Kind: String, Sendable, CaseIterable {
    /// Finds the region: patch and text features to a score per token, ``LocalizerModel``.
    case localizer
    /// Compresses: learned queries read the tokens of a part, ``ResamplerModel``.
    case resampler
  }

  public let kind: Kind
  /// D of `image_features`.
  public let imageWidth: Int
  /// E of `text_features`; 0 for a resampler.
  public let textWidth: Int
  /// d, the width inside.
  public let width: Int
  public let heads: Int
  /// Blocks of a localizer; 0 for a resampler.
  public let layers: Int
  /// The hidden width of each block's perceptron; 0 for a resampler.
  public let hiddenWidth: Int
  /// Learned queries per part; 0 for a localizer.
  public let queries: Int
  /// As it was read, for listings.
  public let json: JSONObject

  /// The one version of the equations so far (docs/models.md).
  public static let version = 1

  static let commonNames = [
    "kind", "version", "image_width", "width", "heads", "position", "description", "training",
  ]
  static let localizerNames = ["text_width", "layers", "mlp_width", "grid"]
  static let resamplerNames = ["queries"]

  /// - Throws: at `crop.config/<member>`, for the first member that is missing, unknown or out of range.
  init(_ json: JSONObject) throws(ModelError) {
    do throws(PruningError) {
      try self.init(reading: ParameterReading(json, at: "crop.config"))
    } catch {
      throw ModelError(at: error.pointer, error.message)
    }
  }

  private init(reading given: ParameterReading) throws(PruningError) {
    func required<Value>(_ name: String, _ value: Value?, _ what: String) throws(PruningError) -> Value {
      guard let value else { throw PruningError(at: given.path(name), "is missing; \(what) is needed") }
      return value
    }
    let kinds = Kind.allCases.map(\.rawValue).joined(separator: " or ")
    kind = try required("kind", try given.choice("kind", Kind.self), kinds)
    let version = try given.requiredInteger("version", in: 1...1_000_000)
    guard version == Self.version else {
      throw PruningError(
        at: given.path("version"), "is \(version); this program reads version \(Self.version)")
    }
    let ownNames = kind == .localizer ? Self.localizerNames : Self.resamplerNames
    try given.refuseUnknown(besides: Self.commonNames + ownNames, of: "a \(kind.rawValue)")
    imageWidth = try given.requiredInteger("image_width", in: 1...65_536)
    width = try given.requiredInteger("width", in: 4...8_192)
    heads = try given.requiredInteger("heads", in: 1...64)
    guard width % 4 == 0, width % heads == 0 else {
      throw PruningError(
        at: given.path("width"),
        "must be a multiple of 4 (position encoding) and of heads (\(heads)), not \(width)")
    }
    _ = try required("position", try given.name("position", among: ["sine"]), "'sine'")
    _ = try given.string("description")
    _ = try given.nested("training")
    let isLocalizer = kind == .localizer
    textWidth = isLocalizer ? try given.requiredInteger("text_width", in: 1...65_536) : 0
    layers = isLocalizer ? try given.requiredInteger("layers", in: 1...16) : 0
    hiddenWidth = isLocalizer ? try given.requiredInteger("mlp_width", in: 1...32_768) : 0
    queries = isLocalizer ? 0 : try given.requiredInteger("queries", in: 1...8_192)
    if isLocalizer {
      let side = JSONValue.integer(BlockRegion.side)
      guard given.member("grid") == [side, side] else {
        throw PruningError(
          at: given.path("grid"), "must be [\(BlockRegion.side), \(BlockRegion.side)], the grid of regions")
      }
    }
    json = given.object
  }
}
