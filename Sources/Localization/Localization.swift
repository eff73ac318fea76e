package import PruningNumerics
public import VisionLayouts

/// One contextual region.
public struct LocatedRegion: Sendable, Hashable {
  /// The smallest rectangle of blocks that contains the box's blocks.
  public let blocks: BlockRegion
  /// Normalised, inside the image.
  public let box: Box
  /// The objective's value (``RectangleObjective``, or ViCrop's sharpness), nil for a region given by the caller.
  public let score: Double?
  /// Share of the image that the box covers, 0...1.
  public let area: Double

  init(blocks: BlockRegion, box: Box, score: Double?) {
    self.blocks = blocks
    self.box = box
    self.score = score
    self.area = box.area
  }

  static let wholeImage = LocatedRegion(
    blocks: BlockRegion(columns: 0..<BlockRegion.side, rows: 0..<BlockRegion.side), box: .unit, score: nil)
}

/// Where the question looks: regions of the original image and the tokens inside.
///
/// Held by reference, since an answer and its picture hand it on.
public final class Localization: Sendable {
  /// Best first, never empty: the whole image when nothing smaller was found.
  public let regions: [LocatedRegion]
  /// For each region its image, where the layout has several; nil where there is one.
  public let images: [Int]?
  /// The map of each image that regions were found on; none for regions given by the caller.
  public let maps: [SaliencyMap]
  /// The wire name of ``LocalizationSource``.
  public let source: String
  /// The learned model that gave the scores, where one did.
  public let model: String?
  /// Whether the regions are all of the image, found so or for want of a better answer.
  public let wholeImage: Bool
  /// Why it is the whole image, nil otherwise.
  public let reason: String?
  /// Ascending and unique. With ``wholeImage`` all tokens whose cell shows some of the image: padding and
  /// separators stay outside.
  public let tokens: [Int]

  init(
    regions: [LocatedRegion], map: SaliencyMap?, source: LocalizationSource, model: String? = nil,
    reason: String?, layout: TokenLayout, minimumOverlap: Double, images: [Int]? = nil
  ) {
    self.regions = regions
    self.images = layout.imageCount > 1 ? images : nil
    maps = map.map { [$0] } ?? []
    self.source = source.rawValue
    self.model = model
    // One whole image of several is a region like any other.
    self.wholeImage =
      layout.imageCount == 1 && regions.contains { $0.blocks.isWholeImage && $0.area > 0.99 }
    self.reason = wholeImage ? reason ?? "the region covers all blocks" : nil
    // The whole image has every token; a threshold made for the region's border must not cut at the image's.
    self.tokens =
      wholeImage
      ? layout.tokens(in: [.unit])
      : layout.tokens(in: regions.map(\.box), minimumOverlap: minimumOverlap, images: images)
  }

  /// What one score per token, [N], says of an image.
  ///
  /// - Parameter resampler: of the same layout.
  /// - Throws: at the first tensor of the source for a score beyond 1e300; at the member of `localize` that is missing.
  package convenience init(
    scores: [Double], from source: LocalizationSource, model: String?, _ options: LocalizationOptions,
    _ resampler: BlockResampler, layout: TokenLayout
  ) throws(PruningError) {
    // Well below the largest Double, so that no sum over tokens or blocks overflows.
    let limit = 1e300
    if !Self.areWithin(limit, scores), let token = scores.firstIndex(where: { !(abs($0) <= limit) }) {
      throw PruningError(at: source.requiredTensors[0], "gives token \(token) a score beyond \(limit)")
    }
    let map = SaliencyMap(values: resampler.blocks(of: scores))
    let result = try RegionSearch(map: map, scores: scores, layout: layout).regions(options)
    self.init(
      regions: result.regions, map: map, source: source, model: model, reason: result.reason,
      layout: layout, minimumOverlap: options.minimumOverlap)
  }

  /// Whether no score is beyond the limit, and none is NaN; two at a time.
  static func areWithin(_ limit: Double, _ scores: [Double]) -> Bool {
    let limits = SIMD2(repeating: limit)
    var are = SIMD2<Int64>(repeating: -1)
    var last = true
    scores.withUnsafeBytes { bytes in
      let pairs = scores.count / 2
      for pair in 0..<pairs {
        let two = bytes.loadUnaligned(fromByteOffset: 16 &* pair, as: SIMD2<Double>.self)
        are &= unsafeBitCast(two .<= limits, to: SIMD2<Int64>.self)
        are &= unsafeBitCast(two .>= -limits, to: SIMD2<Int64>.self)
      }
      if scores.count > 2 * pairs { last = abs(scores[2 * pairs]) <= limit }
    }
    return last && are[0] & are[1] == -1
  }

  /// What was found in each of several images, with the places of their first tokens.
  ///
  /// - Precondition: one result at least.
  package init(joining results: [Localization], at starts: [Int]) {
    regions = results.flatMap(\.regions)
    images = results.enumerated().flatMap { image, found in found.regions.map { _ in image } }
    maps = results.flatMap(\.maps)
    source = results[0].source
    model = results[0].model
    wholeImage = results.allSatisfy(\.wholeImage)
    let reasons = results.map { found in found.reason.map { [$0] } ?? [] }
    let all = joinedNotes(reasons).joined(separator: "; ")
    reason = all.isEmpty ? nil : all
    tokens = zip(results, starts).flatMap { found, start in found.tokens.map { $0 + start } }
  }

  /// The regions that the caller gave.
  ///
  /// - Parameter minimumOverlap: share of a token's cell that must lie in a box, 0..<1.
  public convenience init(_ given: RegionSpecification, layout: TokenLayout, minimumOverlap: Double = 0) {
    let found = zip(given.boxes, given.images).compactMap { box, image in
      BlockRegion(overlapping: box).map {
        (region: LocatedRegion(blocks: $0, box: box, score: nil), image: image)
      }
    }
    self.init(
      regions: found.map(\.region), map: nil, source: given.source, reason: nil, layout: layout,
      minimumOverlap: minimumOverlap, images: found.map(\.image))
  }
}

/// Notes of all images once, and others with the image they are about.
package func joinedNotes(_ notes: [[String]]) -> [String] {
  let common = (notes.first ?? []).filter { note in notes.allSatisfy { $0.contains(note) } }
  return common
    + notes.enumerated().flatMap { image, notes in
      notes.filter { !common.contains($0) }.map { "image \(image): \($0)" }
    }
}

extension Localization: Equatable {
  public static func == (a: Localization, b: Localization) -> Bool {
    a.regions == b.regions && a.images == b.images && a.maps == b.maps && a.source == b.source
      && a.model == b.model && a.wholeImage == b.wholeImage && a.reason == b.reason && a.tokens == b.tokens
  }
}
