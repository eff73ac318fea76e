import JSON
import Localization
import TensorFormats
import Tensors
public import TokenPictures
import TokenPruning
import VisionLayouts

extension Answer {
  /// The media type of ``picture(photographs:)``.
  static let pictureType = "image/svg+xml"

  /// Images of a batch beyond these are not drawn.
  private static let drawnImages = 64

  /// The answer drawn: the grid of each image, score map, region, kept or merged tokens.
  ///
  /// - Parameter photographs: for each image of a layout, to draw on.
  /// - Complexity: O(tokens).
  public func picture(photographs: [PictureDocument.Photograph] = []) -> [UInt8] {
    document(photographs).svg()
  }

  /// - Throws: once `isInterrupted` says so, which is asked between images.
  func picture(_ isInterrupted: Interruption?) throws(Problem) -> [UInt8] {
    guard let bytes = document([]).svg(while: { isInterrupted?() != true }) else {
      throw .writingTookTooLong
    }
    return bytes
  }

  private func document(_ photographs: [PictureDocument.Photograph]) -> PictureDocument {
    var figures = samples.prefix(Self.drawnImages).enumerated().map { index, sample in
      figure(of: sample, index: isBatched ? index : nil)
    }
    if samples.count > figures.count, let last = figures.indices.last {
      figures[last].notes.append("\(samples.count - figures.count) more images are not drawn.")
    }
    let title = samples.count == 1 ? figures[0].caption : "\(subject), \(samples.count) images"
    let description = figures.map { ([$0.caption] + $0.notes).joined(separator: ". ") }.joined(
      separator: ". ")
    return PictureDocument(
      title: "crop: \(title)", description: description, figures: figures, photographs: photographs)
  }

  /// Which method or mode answered.
  private var subject: String {
    let name = shared["method"] ?? shared["mode"]
    return name?.stringValue ?? (samples[0].picturedRegionOnly ? "region" : "selection")
  }

  private func figure(of sample: Sample, index: Int?) -> Figure {
    var notes = sample.scene.notes
    let kind: String
    if let rows = sample.tensors.first?.tensor.shape[0] {
      kind = "\(rows) rows for \(sample.tokenCount) tokens"
    } else if sample.picturedRegionOnly {
      kind = "\(sample.keptCount) of \(sample.tokenCount) tokens"
    } else {
      kind = Scene.share(sample.keptCount, of: sample.tokenCount)
      if let decided = sample.members["decided_by"]?.stringValue, decided != subject {
        notes.insert("decided by \(decided)", at: 0)
      }
    }
    let image = index.map { "image \($0): " } ?? ""
    return Figure(
      caption: "\(image)\(subject), \(kind)", notes: notes,
      picture: sample.scene.picture(marks: sample.marks, tokenCount: sample.tokenCount))
  }
}

extension Answer.Sample {
  private func list(_ name: String) -> [Int]? { indices.first { $0.name == name }?.values }

  /// Of `/localize`, which prunes nothing.
  fileprivate var picturedRegionOnly: Bool { list("kept_indices") == nil }

  fileprivate var marks: TokenPicture.Marks {
    if let rows = list("assignments") {
      return .merged(rows: rows, anchors: list("kept_indices") ?? [])
    }
    guard let kept = list("kept_indices") else { return .inside(list("region_indices") ?? []) }
    let stages = (members["stages"]?.arrayValue ?? []).map { stage in
      (stage.objectValue?["kept_indices"]?.arrayValue ?? []).compactMap(\.integerValue)
    }
    return stages.isEmpty ? .kept(kept) : .stages(stages)
  }
}

/// Where the tokens of an image lie and what was found there: what a picture of an answer needs beside its indices.
public struct Scene: Sendable {
  private let image: PruningInput.Image?
  let localization: Localization?
  var layout: TokenLayout? { image?.layout }

  /// An answer of which nothing is known but its indices.
  public init() { self.init(nil) }

  init(_ image: PruningInput.Image?, _ localization: Localization? = nil) {
    self.image = image
    self.localization = localization
  }

  /// "64 of 576 tokens (11.1 %)"
  static func share(_ count: Int, of total: Int) -> String {
    guard total > 0 else { return "\(count) of \(total) tokens" }
    let tenths = Int((Double(count) / Double(total) * 1000).rounded())
    return "\(count) of \(total) tokens (\(tenths / 10).\(tenths % 10) %)"
  }

  var notes: [String] {
    var notes: [String] = []
    if let layout, !layout.views.isEmpty {
      if layout.views.count == 1 {
        notes.append("\(layout.type): \(layout.views[0].rows) rows of \(layout.views[0].columns) tokens")
      } else {
        notes.append("\(layout.type): \(layout.views.count) views")
      }
    } else {
      notes.append("no places known: tokens in their order, row by row")
    }
    if let localization {
      notes.append(
        "region (\(localization.source)): \(localization.tokens.count) tokens"
          + (localization.wholeImage ? ", the whole image" : ""))
    }
    return notes
  }

  func picture(marks: TokenPicture.Marks, tokenCount: Int) -> TokenPicture {
    let grids = layout?.views ?? []
    var regions: [TokenPicture.Region] = []
    if let localization, !localization.wholeImage {
      for (index, region) in localization.regions.enumerated() {
        regions.append(
          TokenPicture.Region(image: localization.images?[index] ?? 0, area: region.box))
      }
    }
    return TokenPicture(
      grids: grids.isEmpty ? Self.lines(of: tokenCount) : grids,
      aspectRatios: (layout?.imageSizes ?? []).map { Double($0.width) / Double(max($0.height, 1)) },
      marks: marks, regions: regions, maps: (localization?.maps ?? []).map(\.values))
  }

  /// Tokens whose places are not known, in their order: lines of one length, the last one shorter, near to a square.
  private static func lines(of tokenCount: Int) -> [TokenView] {
    guard tokenCount > 0 else { return [] }
    var columns = Int(Double(tokenCount).squareRoot())
    if columns * columns < tokenCount { columns += 1 }
    let (rows, rest) = tokenCount.quotientAndRemainder(dividingBy: columns)
    let height = 1 / Double(rest > 0 ? rows + 1 : rows)
    var grids: [TokenView] = []
    let full = Box(x0: 0, y0: 0, x1: 1, y1: Double(rows) * height)
    if rows > 0 {
      grids.append(TokenView(firstToken: 0, rows: rows, columns: columns, box: full, role: .tile))
    }
    if rest > 0 {
      let line = Box(x0: 0, y0: full.y1, x1: Double(rest) / Double(columns), y1: 1)
      grids.append(
        TokenView(firstToken: rows * columns, rows: 1, columns: rest, box: line, role: .tile))
    }
    return grids
  }
}
