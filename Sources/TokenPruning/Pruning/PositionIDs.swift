public import PruningNumerics
public import Tensors
public import VisionLayouts

/// The position ids of the kept tokens.
///
/// Original ids, with gaps, by default: renumbering after pruning costs accuracy in most models
/// (arXiv 2506.21873), though some methods' published code does it.
public struct PositionIDs: Sendable, Hashable {
  /// One row of K ids; for multimodal RoPE three rows, time, height, width: [3, K].
  public let rows: [[Int]]
  /// For ids that are given or known from the layout: what becomes of `mrope_position_delta`, the position where text
  /// goes on less the tokens up to there.
  ///
  /// It is that of the whole sequence before pruning plus the tokens that are gone, as far as the visual tokens
  /// contribute to it: the ids that each image spans less its rows. Text before, between and behind images adds as
  /// many ids as tokens, hence nothing.
  public let delta: Int?
  /// For the same ids: where text goes on after the last image, as `transformers` has it: behind the larger of rows
  /// and columns, whatever the number of frames.
  public let nextPosition: Int?
  /// For ids known from the layout: columns. vLLM's video sampling (EVS) goes on there, and carries it as a fourth row
  /// of its ids.
  public let gridWidth: Int?

  /// - Parameters:
  ///   - kept: token indices in the order of the answer's.
  ///   - rows: how many rows stand for all tokens where there are others than those of kept tokens.
  ///   - positions: `position_ids` [N] or [3, N], or [4, N] with those of text beside them; nil means those of the layout,
  ///     or 0, 1, ..., N - 1.
  ///   - layout: for families with multimodal RoPE, see ``TokenLayout/rotaryPositions``.
  ///   - renumber: contiguous ids instead, one for each row, from the first given one (0 without any).
  /// - Throws: at `position_ids` for another shape, a type that is not integer, or an id that does not fit, or
  ///   when the layout's ids depend on text.
  public init(
    keeping kept: [Int], of tokenCount: Int, rows rowCount: Int? = nil, positions: Tensor? = nil,
    layout: TokenLayout? = nil, renumber: Bool = false
  ) throws(PruningError) {
    precondition(kept.allSatisfy { (0..<tokenCount).contains($0) })
    let given: [[Int]]?
    if let positions {
      given = try Self.rows(of: positions, tokenCount: tokenCount)
    } else if let layout, layout.rotaryGrid != nil {
      given = try Self.known(from: layout)
    } else {
      given = nil
    }
    let rowCount = rowCount ?? kept.count
    gridWidth = positions == nil && given != nil ? layout?.views.first?.columns : nil
    guard let given else {
      rows = [renumber ? Array(0..<rowCount) : kept]
      delta = nil
      nextPosition = nil
      return
    }
    let spans = Self.spans(of: given, layout?.segments ?? [0..<tokenCount])
    let start = spans.first?.start ?? 0
    if renumber {
      rows = given.map { _ in (0..<rowCount).map { start + $0 } }
      delta = 0
      nextPosition = start + rowCount
    } else {
      rows = given.map { row in kept.map { row[$0] } }
      delta = spans.reduce(-rowCount) { $0 + $1.next - $1.start }
      nextPosition = spans.last?.next
    }
  }

  private static func known(from layout: TokenLayout) throws(PruningError) -> [[Int]] {
    if let known = layout.rotaryPositions { return known }
    throw PruningError(
      at: "position_ids",
      "are needed: in '\(layout.type)' text stands between the \(layout.imageCount > 1 ? "images" : "frames"), "
        + "and the ids depend on its length")
  }

  /// Of each run of tokens without text between the first id, and the one where text goes on.
  private static func spans(of ids: [[Int]], _ segments: [Range<Int>]) -> [(start: Int, next: Int)] {
    // The time of a frame moves no text (get_rope_index in transformers).
    let spatial = ids.count == 3 ? Array(ids[1...]) : ids
    return segments.filter { !$0.isEmpty }.map { segment in
      let start = ids.reduce(Int.max) { min($0, $1[segment.lowerBound]) }
      let last = spatial.reduce(start) { max($0, $1[segment].max() ?? start) }
      return (start, last + 1)
    }
  }

  private static func rows(of positions: Tensor, tokenCount: Int) throws(PruningError) -> [[Int]] {
    let name = "position_ids"
    let shape = positions.shape.dimensions
    guard shape == [tokenCount] || shape == [3, tokenCount] || shape == [4, tokenCount] else {
      throw PruningError(
        at: name,
        "shape must be [\(tokenCount)], [3, \(tokenCount)] or [4, \(tokenCount)], not \(positions.shape)")
    }
    guard let ids = positions.integers() else {
      throw PruningError(
        at: name, "must hold integers that fit 64 bits, signed, not \(positions.elementType.rawValue)")
    }
    // Sums with counts stay far from overflow, and no model comes near.
    guard ids.allSatisfy({ $0 < 1 << 48 && $0 > -(1 << 48) }) else {
      throw PruningError(at: name, "ids must lie within +-2^48")
    }
    return (0..<(shape.count == 1 ? 1 : shape[0])).map { row in
      Array(ids[(row * tokenCount)..<((row + 1) * tokenCount)])
    }
  }
}

extension TokenLayout {
  /// Runs of tokens between which text may stand: images, or frames where the family writes before each.
  fileprivate var segments: [Range<Int>] {
    guard rotaryGrid?.hasTextBetweenFrames == true, imageCount > 1 || views.count > 1 else {
      return imageParts.map(\.tokens)
    }
    let starts = views.map(\.firstToken)
    return zip(starts, starts.dropFirst() + [tokenCount]).map { $0..<$1 }
  }
}
