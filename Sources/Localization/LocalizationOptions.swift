public import JSON
import Parameters
public import PruningNumerics
import VisionLayouts

/// How to find the region: the request's `localize` member, checked.
///
/// | name | values | default |
/// |---|---|---|
/// | `source` | `relative_attention`, `attention`, `similarity`, `query_key`, `model` | the first whose tensors are there, never `model` |
/// | `model` | a loaded localizer's name, for source `model` | the only one there is |
/// | `objective` | `separation`, `coverage`, `contrast`, `vicrop` | `separation` |
/// | `coverage` | 0.01...1: share of the mass that `coverage` must hold | 0.6 |
/// | `baseline` | `mean`, `minimum`: what `coverage` subtracts first | `mean` |
/// | `area_power` | 0...1: exponent of the area in `contrast` | 0.5 |
/// | `max_regions` | 1...16 | 1 |
/// | `minimum_contrast` | 0...1000: below it the answer is the whole image; 0 never rejects a varying map | 5 |
/// | `minimum_overlap` | 0...0.99: share of a token's cell that must lie in the region | 0 |
/// | `similarity_sign` | `positive`, `negative` | `positive` |
/// | `temperature` | 0.0001...100: softmax over the cosines | none |
/// | `image_size` | [width, height] in pixels, for `vicrop` | the layout's |
/// | `base` | 14...4096: side of the tower's input in pixels, for `vicrop` | 336 |
/// | `faithful` | whether `vicrop` answers a window without cells as the authors' code does | false |
public struct LocalizationOptions: Sendable, Hashable {
  enum Objective: Sendable, Hashable {
    case rectangle(RectangleObjective)
    /// A square crop box, ``ViCrop``; always one region.
    case vicrop(base: Double, faithful: Bool = false)
  }

  package private(set) var source: LocalizationSource?
  package private(set) var model: String?
  var objective: Objective
  package var maximumRegions: Int
  var minimumContrast: Double
  var minimumOverlap: Double
  var imageSize: ImageSize?
  package private(set) var sign: SimilarityScores.Sign
  package private(set) var temperature: Double?

  /// How many rectangle searches one map takes at most, as a measure of their cost; nil for searches whose cost depends on
  /// the size of the image.
  package var searchCount: Int? { if case .rectangle = objective { maximumRegions } else { nil } }

  enum ObjectiveName: String, CaseIterable { case separation, coverage, contrast, vicrop }

  static let names = [
    "source", "model", "objective", "coverage", "baseline", "area_power", "max_regions", "minimum_contrast",
    "minimum_overlap", "similarity_sign", "temperature", "image_size", "base", "faithful",
  ]

  /// What counts under one objective only.
  private static let owners: [(name: String, objective: ObjectiveName)] = [
    ("coverage", .coverage), ("baseline", .coverage), ("area_power", .contrast), ("base", .vicrop),
    ("image_size", .vicrop), ("faithful", .vicrop),
  ]

  /// - Throws: at `/localize/<name>` for an unknown name (naming the nearest), a wrong type or range, or a member
  ///   that the objective or the named source does not read.
  public init(_ json: JSONObject? = nil) throws(PruningError) {
    let given = ParameterReading(json ?? [:], at: "/localize")
    try given.refuseUnknown(besides: Self.names, of: "localize")
    model = try given.string("model")
    // A model's name alone says which source is meant.
    source = try given.choice("source", LocalizationSource.self) ?? (model == nil ? nil : .model)
    let share = try given.number("coverage", in: 0.01...1) ?? 0.6
    let baseline = try given.choice("baseline", RectangleObjective.Baseline.self) ?? .mean
    let power = try given.number("area_power", in: 0...1) ?? 0.5
    let base = try given.number("base", in: 14...4096) ?? 336
    let isFaithful = try given.boolean("faithful") ?? false
    let objectiveName = try given.choice("objective", ObjectiveName.self) ?? .separation
    objective =
      switch objectiveName {
      case .separation: .rectangle(.separation)
      case .coverage: .rectangle(.coverage(share: share, baseline))
      case .contrast: .rectangle(.contrast(areaPower: power))
      case .vicrop: .vicrop(base: base, faithful: isFaithful)
      }
    maximumRegions = try given.integer("max_regions", in: 1...16) ?? 1
    minimumContrast =
      try given.number("minimum_contrast", in: 0...1000) ?? FlatMapTest.defaultMinimumContrast
    minimumOverlap = try given.number("minimum_overlap", in: 0...0.99) ?? 0
    sign = try given.choice("similarity_sign", SimilarityScores.Sign.self) ?? .positive
    temperature = try given.number("temperature", in: 0.0001...100)
    imageSize = try given.size("image_size")
    for (name, objective) in Self.owners where objective != objectiveName && given.member(name) != nil {
      throw PruningError(
        at: given.path(name),
        "only applies to objective '\(objective.rawValue)', not '\(objectiveName.rawValue)'")
    }
    if objectiveName == .vicrop, maximumRegions > 1 {
      throw PruningError(
        at: given.path("max_regions"), "must be 1 with objective 'vicrop', which finds one window")
    }
    if let source, source != .model, model != nil {
      throw PruningError(at: given.path("model"), "only applies to source 'model', not '\(source.rawValue)'")
    }
    if let source, source != .similarity {
      try given.refuse(
        ["similarity_sign", "temperature"], "only applies to source 'similarity', not '\(source.rawValue)'")
    }
  }
}
