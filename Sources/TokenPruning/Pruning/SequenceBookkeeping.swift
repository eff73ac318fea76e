public import PruningNumerics
public import VisionLayouts

/// What an engine must keep in step with the kept tokens: counts, placeholders, sequence lengths, positions, timestamps.
///
/// *Segments* are the runs of visual tokens that stand together in the prompt: images, and for families that write a time
/// stamp before each frame, frames.
public struct SequenceBookkeeping: Sendable, Hashable {
  /// Kept tokens of each image, separators included.
  public let imageTokens: [Int]
  /// Kept tokens of each view: tile, frame or image.
  public let viewTokens: [Int]
  /// 0, and the sums of kept tokens up to each view: the borders of attention within views.
  public let cumulativeLengths: [Int]
  /// Start and length of each segment's placeholders: in the pruned prompt where its text is known, else among the visual
  /// tokens.
  public let placeholderSpans: [[Int]]
  /// The times of the frames that keep tokens, with the number they keep; nil without times.
  public let frames: [Frame]?
  /// Position ids of the whole pruned prompt, one row or three, where its text is known.
  public let positionIDs: [[Int]]?
  /// The largest position id + 1 - the length of the pruned prompt: `rope_delta`.
  public let positionDelta: Int?

  public struct Frame: Sendable, Hashable {
    public let index: Int
    public let time: Double
    public let tokens: Int
  }

  /// - Parameters:
  ///   - kept: ascending.
  ///   - textTokens: text tokens before each segment and after the last.
  ///   - times: of each view, in seconds.
  ///   - renumber: contiguous position ids instead of the original ones.
  /// - Throws: at `/bookkeeping` for lists that do not fit the layout.
  public init(
    keeping kept: [Int], in layout: TokenLayout, textTokens: [Int]? = nil, times: [Double]? = nil,
    renumber: Bool = false
  ) throws(PruningError) {
    let owners = try Self.owners(in: layout)
    try Self.validate(textTokens: textTokens, times: times, in: layout)
    var views = [Int](repeating: 0, count: layout.views.count)
    var images = [Int](repeating: 0, count: layout.imageCount)
    for token in kept {
      images[layout.views[owners[token]].image] += 1
      if layout.position(of: token) != nil { views[owners[token]] += 1 }
    }
    viewTokens = views
    imageTokens = images
    cumulativeLengths = views.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1) }
    let byFrame = Self.countsByFrame(layout)
    var start = 0
    placeholderSpans = (byFrame ? views : images).enumerated().map { segment, count in
      start += textTokens?[segment] ?? 0
      defer { start += count }
      return [start, count]
    }
    frames = times.map { times in
      times.indices.filter { views[$0] > 0 }.map { Frame(index: $0, time: times[$0], tokens: views[$0]) }
    }
    guard let textTokens else {
      positionIDs = nil
      positionDelta = nil
      return
    }
    let ids = Self.positions(
      keeping: kept, layout, owners, segment: { byFrame ? $0 : layout.views[$0].image }, textTokens,
      renumber: renumber)
    positionIDs = ids
    positionDelta = (ids.joined().max().map { $0 + 1 } ?? 0) - (ids.first?.count ?? 0)
  }

  private static func owners(in layout: TokenLayout) throws(PruningError) -> [Int] {
    guard let owners = layout.viewOfEachToken() else {
      throw PruningError(
        at: "/bookkeeping", "counts tokens by image and view, and layout '\(layout.type)' does not tell them")
    }
    return owners
  }

  /// Whether the segments are frames, not images.
  private static func countsByFrame(_ layout: TokenLayout) -> Bool {
    layout.rotaryGrid?.hasTextBetweenFrames ?? false
  }

  /// Rejects what ``init(keeping:in:textTokens:times:renumber:)`` would reject, whichever tokens are kept.
  ///
  /// - Complexity: O(N), however long the text is.
  public static func validate(
    textTokens: [Int]?, times: [Double]?, in layout: TokenLayout
  ) throws(PruningError) {
    _ = try owners(in: layout)
    let byFrame = countsByFrame(layout)
    let count = byFrame ? layout.views.count : layout.imageCount
    if let textTokens, textTokens.count != count + 1 {
      throw PruningError(
        at: "/bookkeeping/text_tokens",
        "must tell the text before each of \(count) \(byFrame ? "frames" : "images") and after the last: "
          + "\(count + 1) numbers, not \(textTokens.count)")
    }
    if let times, times.count != layout.views.count {
      throw PruningError(
        at: "/bookkeeping/timestamps",
        "must have one time per frame, \(layout.views.count), not \(times.count)")
    }
  }

  /// The ids of the kept tokens and of all text.
  ///
  /// Text counts on from the largest id before it in all rows (Qwen2-VL, arXiv 2409.12191, section 2.1); of the original
  /// ones those of pruned tokens stay free.
  private static func positions(
    keeping kept: [Int], _ layout: TokenLayout, _ owners: [Int], segment: (Int) -> Int, _ textTokens: [Int],
    renumber: Bool
  ) -> [[Int]] {
    let length = kept.count + textTokens.reduce(0, +)
    let grid = layout.rotaryGrid
    if renumber { return Array(repeating: Array(0..<length), count: grid == nil ? 1 : 3) }
    var tokens = [[Int]](repeating: [], count: textTokens.count - 1)
    for token in 0..<layout.tokenCount { tokens[segment(owners[token])].append(token) }
    let isKept = Set(kept)
    var rows = [[Int]](repeating: [], count: grid == nil ? 1 : 3)
    for row in rows.indices { rows[row].reserveCapacity(length) }
    var next = 0
    for (index, text) in textTokens.enumerated() {
      for position in next..<(next + text) { for row in rows.indices { rows[row].append(position) } }
      next += text
      guard index < tokens.count else { break }
      let base = next
      let firstView = tokens[index].first.map { owners[$0] } ?? 0
      for (slot, token) in tokens[index].enumerated() {
        guard let grid, let position = layout.position(of: token) else {
          if isKept.contains(token) { rows[0].append(base + slot) }
          next = base + slot + 1
          continue
        }
        let frame = owners[token] - firstView
        let time = Int(Float(frame) * Float(grid.temporalStep))
        next = max(next, base + max(time, position.row, position.column) + 1)
        guard isKept.contains(token) else { continue }
        rows[0].append(base + time)
        rows[1].append(base + position.row)
        rows[2].append(base + position.column)
      }
    }
    return rows
  }
}
