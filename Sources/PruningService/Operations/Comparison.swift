public import JSON
import Localization
import TensorFormats
public import TokenPictures
import TokenPruning
import VisionLayouts

/// What several methods keep of one image.
public struct Comparison: Sendable {
  /// One method's part.
  public struct Entry: Sendable {
    public let method: String
    public let parameters: JSONObject?
    /// Its answer, or why it cannot run on these tensors.
    public let outcome: Result<Answer.Sample, Problem>
    /// How long it took. The one thing that differs when the same is asked again.
    public let duration: Duration

    public var kept: [Int]? {
      guard case .success(let sample) = outcome else { return nil }
      return sample.indices.first { $0.name == "kept_indices" }?.values
    }

    /// The method, with its parameters where it was given any.
    public var label: String {
      guard let parameters, !parameters.isEmpty else { return method }
      return "\(method) \(JSONValue.object(parameters))"
    }
  }

  public let tokenCount: Int
  let scene: Scene
  public let entries: [Entry]
  let reading: JSONObject

  public var keptCount: Int { entries.reduce(0) { $0 + ($1.kept?.count ?? 0) } }

  /// Facts for the access log.
  var annotations: [(name: String, value: String)] {
    [
      ("pruning_method", entries.map(\.method).joined(separator: ",")), ("images", "1"),
      ("tokens", String(tokenCount)), ("kept", String(keptCount)),
    ]
  }

  // MARK: Measures

  /// How many of the kept tokens lie in the region; nil without one.
  public func inRegion(_ kept: [Int]) -> Int? {
    guard let tokens = scene.localization?.tokens else { return nil }
    let region = TokenSet(tokens, below: tokenCount)
    return region.intersection(TokenSet(kept, below: tokenCount))
  }

  /// How far apart the kept tokens lie: the root of their mean squared distance from their mean place in each image, over
  /// that of all tokens. About 1 for an even choice, 0 for one place; nil where places are not known.
  public func spread(_ kept: [Int]) -> Double? {
    guard let layout = scene.layout, let all = Self.deviation(of: 0..<tokenCount, layout), all > 0,
      let own = Self.deviation(of: kept, layout)
    else { return nil }
    return own / all
  }

  private static func deviation(of tokens: some Sequence<Int>, _ layout: TokenLayout) -> Double? {
    var places: [(image: Int, x: Double, y: Double)] = []
    var sums = [(x: Double, y: Double, count: Double)](repeating: (0, 0, 0), count: layout.imageCount)
    for token in tokens {
      guard let position = layout.position(of: token) else { continue }
      let view = layout.views[position.view]
      let cell = view.cell(row: position.row, column: position.column)
      let (x, y) = ((cell.x0 + cell.x1) / 2, (cell.y0 + cell.y1) / 2)
      places.append((view.image, x, y))
      sums[view.image].x += x
      sums[view.image].y += y
      sums[view.image].count += 1
    }
    guard !places.isEmpty else { return nil }
    let squares = places.reduce(0.0) { sum, place in
      let mean = sums[place.image]
      let (x, y) = (place.x - mean.x / mean.count, place.y - mean.y / mean.count)
      return sum + x * x + y * y
    }
    return (squares / Double(places.count)).squareRoot()
  }

  /// The share of the tokens that either method keeps which both keep (Jaccard), for each pair; nil where one has no answer.
  public var overlap: [[Double?]] {
    let sets = entries.map { entry in entry.kept.map { TokenSet($0, below: tokenCount) } }
    return sets.map { first in
      sets.map { second in
        guard let first, let second else { return nil }
        let both = first.intersection(second)
        let either = first.count + second.count - both
        return either == 0 ? 1 : Double(both) / Double(either)
      }
    }
  }

  // MARK: Forms

  public var json: JSONObject {
    var members: JSONObject = ["tokens": .integer(tokenCount)]
    if let localization = scene.localization { members["region"] = .object(localization.regionMembers) }
    members["methods"] = .array(entries.map { .object(self.members(of: $0)) })
    members["overlap"] = .array(
      overlap.map { row in .array(row.map { $0.map { .number(Self.rounded($0)) } ?? .null }) })
    members.append(reading)
    return members
  }

  private func members(of entry: Entry) -> JSONObject {
    var members: JSONObject = ["method": .string(entry.method)]
    members["method_parameters"] = entry.parameters.map { .object($0) }
    switch entry.outcome {
    case .failure(let problem): members["problem"] = .object(problem.partMembers)
    case .success(let sample):
      let kept = entry.kept ?? []
      members["decided_by"] = sample.members["decided_by"]
      for name in ["keep_tokens", "keep_ratio"] { members[name] = sample.members[name] }
      members["kept_indices"] = .list(kept)
      if let inside = inRegion(kept) {
        members["in_region"] = .integer(inside)
        members["region_share"] =
          kept.isEmpty ? .null : .number(Self.rounded(Double(inside) / Double(kept.count)))
      }
      members["spread"] = spread(kept).map { .number(Self.rounded($0)) } ?? .null
      if let notes = sample.members["notes"] { members["notes"] = notes }
    }
    let microseconds = Double(entry.duration.wholeNanoseconds / 1_000)
    members["milliseconds"] = .number(microseconds / 1_000)
    return members
  }

  /// Four decimals: more say nothing about which tokens to keep.
  private static func rounded(_ value: Double) -> Double { (value * 10_000).rounded() / 10_000 }

  /// The methods beside each other.
  public func picture(photographs: [PictureDocument.Photograph] = []) -> [UInt8] {
    document(photographs).svg()
  }

  /// - Throws: once `isInterrupted` says so, which is asked between methods.
  func picture(_ isInterrupted: Interruption) throws(Problem) -> [UInt8] {
    guard let bytes = document([]).svg(while: { !isInterrupted() }) else { throw .writingTookTooLong }
    return bytes
  }

  private func document(_ photographs: [PictureDocument.Photograph]) -> PictureDocument {
    let figures = entries.map { figure(of: $0) }
    let title = "\(entries.count) methods on \(tokenCount) tokens"
    let words = figures.map { "\($0.caption): \($0.notes.joined(separator: ", "))" }
    return PictureDocument(
      title: "crop: \(title)", description: words.joined(separator: ". "), figures: figures,
      photographs: photographs)
  }

  private func figure(of entry: Entry) -> Figure {
    guard let kept = entry.kept else {
      let why = if case .failure(let problem) = entry.outcome { problem.line } else { "" }
      return Figure(
        caption: entry.label, notes: ["cannot run: \(why.excerpt)"],
        picture: scene.picture(marks: .kept([]), tokenCount: tokenCount))
    }
    var notes = [Scene.share(kept.count, of: tokenCount)]
    if let inside = inRegion(kept), let region = scene.localization {
      notes.append("in the region: \(inside) of \(region.tokens.count)")
    }
    if let spread = spread(kept) {
      let hundredths = Int((spread * 100).rounded())
      notes.append("spread \(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)")
    }
    return Figure(
      caption: entry.label, notes: notes, picture: scene.picture(marks: .kept(kept), tokenCount: tokenCount))
  }
}

/// Token indices as bits.
private struct TokenSet {
  private var words: [UInt64]
  let count: Int

  /// - Precondition: indices below `limit`, each once.
  init(_ tokens: [Int], below limit: Int) {
    words = [UInt64](repeating: 0, count: (limit + 63) / 64)
    for token in tokens { words[token / 64] |= 1 << UInt64(token % 64) }
    count = tokens.count
  }

  func intersection(_ other: TokenSet) -> Int {
    zip(words, other.words).reduce(0) { $0 + ($1.0 & $1.1).nonzeroBitCount }
  }
}
