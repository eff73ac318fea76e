public import LearnedNetworks
public import Localization
public import PruningNumerics
import Tensors
import VisionLayouts

/// Finds the contextual region of an image from its tensors, or of each image of a layout with several.
///
/// Scores of the tokens (``LocalizationSource``) become an 8 x 8 map over the original image; a map too flat to
/// decide (``FlatMapTest``) gives the whole image and the reason, never a made-up box.
/// - Throws: at the tensor or `/localize` member that is wrong; at `/layout` when the tokens' places are unknown.
/// - Complexity: O(elements of the tensors + 1,296 per region).
public func localize(
  _ input: PruningInput, _ options: LocalizationOptions, _ models: ModelSet = ModelSet()
) throws(PruningError) -> Localization {
  try PreparedLocalization(input, options, models).run(on: input, models).region
}

/// A localization of which everything is decided that follows from options, layout and shapes; it holds for all inputs
/// that differ from the first in the elements of their tensors alone.
public struct PreparedLocalization: Sendable {
  private let images: [Image]
  /// Where the tokens of each image start.
  private let starts: [Int]

  /// What a run found.
  public struct Outcome: Sendable {
    public let region: Localization
    /// Those that a method may ask for as well.
    let scores: PruningInput.FoundScores?
  }

  /// - Throws: at the tensor or `/localize` member that is wrong; at `/layout` when the tokens' places are unknown.
  public init(
    _ input: PruningInput, _ options: LocalizationOptions, _ models: ModelSet
  ) throws(PruningError) {
    guard input.hasSeveralImages else {
      images = [try Image(input, options, models)]
      starts = [0]
      return
    }
    let parts = input.imageParts()
    var images: [Image] = []
    for (image, part) in parts.enumerated() {
      do throws(PruningError) {
        images.append(try Image(part.input, options, models))
      } catch {
        throw error.about(image: image)
      }
    }
    self.images = images
    starts = parts.map(\.tokens.lowerBound)
  }

  /// How many rectangle searches a run makes at most, as a measure of its cost; nil for searches whose cost depends on
  /// the size of the image.
  public var searchCount: Int? { images[0].options.searchCount.map { $0 * images.count } }

  /// The steps of products that ``searchCount`` does not count.
  public func otherSteps(on input: PruningInput) -> Double {
    images[0].source == .queryKey ? input.queryKeySteps : 0
  }

  /// The images of the layout.
  public var imageCount: Int { images.count }

  /// How many regions are found at most in each of them.
  public var maximumRegions: Int { images[0].options.maximumRegions }

  /// Whether a learned network gives the scores.
  public var usesModel: Bool { images[0].source == .model }

  /// The network that a run asks, for one image after the other; nil where none is.
  public func modelUse(on input: PruningInput) -> ModelUse? {
    guard usesModel else { return nil }
    let texts = input.tensors["text_features"].map { $0.rank == 2 ? $0.shape[0] : 1 } ?? 0
    return .localizing(input.tokenCount, texts: texts, with: images[0].options.model)
  }

  /// - Parameters:
  ///   - input: of the same shapes and layout as the one this was prepared for.
  ///   - models: those that are loaded now.
  public func run(on input: PruningInput, _ models: ModelSet) throws(PruningError) -> Outcome {
    guard images.count > 1 || input.hasSeveralImages else { return try images[0].run(on: input, models) }
    var found: [Localization] = []
    for (image, part) in input.imageParts().enumerated() {
      do throws(PruningError) {
        found.append(try images[image].run(on: part.input, models).region)
      } catch {
        throw error.about(image: image)
      }
    }
    return Outcome(region: Localization(joining: found, at: starts), scores: nil)
  }

  /// The part of one image.
  private final class Image: Sendable {
    let source: LocalizationSource
    let options: LocalizationOptions
    let layout: TokenLayout
    let resampler: BlockResampler

    init(
      _ input: PruningInput, _ options: LocalizationOptions, _ models: ModelSet
    ) throws(PruningError) {
      source = try LocalizationSource.chosen(options.source, from: input.tensors)
      layout = try input.spatialLayout()
      self.options = options
      resampler = BlockResampler(layout)
      if source == .model { _ = try models.localizer(named: options.model, at: "/localize/model") }
    }

    func run(on input: PruningInput, _ models: ModelSet) throws(PruningError) -> Outcome {
      var model: String?
      var found: PruningInput.FoundScores?
      let scores: [Double]
      switch source {
      case .relativeAttention:
        scores = try RelativeAttention.scores(
          try input.attentionScores(), to: try input.attentionScores(named: "reference_attention"))
      case .attention:
        scores = try input.attentionScores()
        found = .meanAttention(scores)
      case .queryKey:
        scores = try input.queryKeyAttention()
      case .model:
        let chosen = try models.localizer(named: options.model, at: "/localize/model")
        model = chosen.name
        scores = try chosen.model.scores(
          of: try input.features(), askedBy: try input.textFeatures(), in: layout, input.stepLimit)
      default:
        let cosines = try Relevance.cosines(of: input, sign: .positive)
        scores = SimilarityScores.saliency(cosines, sign: options.sign, temperature: options.temperature)
        found = .meanCosines(cosines)
      }
      let region = try Localization(
        scores: scores, from: source, model: model, options, resampler, layout: layout)
      return Outcome(region: region, scores: found)
    }
  }
}

extension PruningInput {
  /// The same with what localization computed on the way to its region.
  public func reusing(_ outcome: PreparedLocalization.Outcome) -> PruningInput {
    guard let scores = outcome.scores else { return self }
    var input = self
    input.found = scores
    return input
  }

  /// The layout given, or the square grid that N implies.
  fileprivate func spatialLayout() throws(PruningError) -> TokenLayout {
    guard tokenCount >= 1 else {
      throw PruningError(at: "/layout", "there are no visual tokens to localize in")
    }
    guard let layout = layout ?? TokenLayout.inferred(tokenCount: tokenCount) else {
      throw PruningError(
        at: "/layout",
        "is missing, and \(tokenCount) tokens do not form a square grid; give \"layout\" with rows and columns"
          + (TokenLayout.gridAndOne(tokenCount: tokenCount).map {
            ", or leave out the first token if it is [CLS]: \($0)"
          } ?? ""))
    }
    guard layout.tokenCount == tokenCount else {
      throw PruningError(
        at: "/layout", "describes \(layout.tokenCount) tokens, but the tensors have \(tokenCount)")
    }
    guard !layout.views.isEmpty else {
      throw PruningError(
        at: "/layout",
        "'\(layout.type)' has no token positions, so no region can be found; with region_policy 'none' "
          + "none is needed")
    }
    return layout
  }
}
