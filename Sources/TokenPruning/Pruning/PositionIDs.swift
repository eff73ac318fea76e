public import Tensors

/// The position ids of the kept tokens.
///
/// Original ids, with gaps, by default: renumbering after pruning costs accuracy in most models
/// (arXiv 2506.21873), though some methods' published code does it.
public struct PositionIDs: Sendable, Hashable {
  /// One row of K ids; for multimodal RoPE three rows, time, height, width: [3, K].
  public let rows: [[Int]]
  /// For ids that are given or known from the layout: their maximum + 1 - K, `mrope_position_delta` of the
  /// pruned sequence.
  ///
  /// Added to the number of tokens so far it gives the position where text goes on, the same as without
  /// pruning. It counts the given tokens only; tokens before and after them keep their distance to it.
  public let delta: Int?
  /// For ids known from the layout, which start at 0.
  public let extent: RotaryExtent?

  /// Where text goes on after an image or video whose ids start at 0, by the conventions there are.
  public struct RotaryExtent: Sendable, Hashable {
    /// The larger of rows and columns, whatever the number of frames: `transformers`.
    public let nextPosition: Int
    /// Columns; vLLM's video sampling (EVS) goes on there, and carries it as a fourth row of its ids.
    public let gridWidth: Int
  }

  /// - Parameters:
  ///   - kept: ascending token indices.
  ///   - positions: `position_ids` [N] or [3, N], or [4, N] with those of text beside them; nil means those of the layout, or 0, 1, ..., N - 1.
  ///   - layout: for families with multimodal RoPE, see ``TokenLayout/rotaryPositions``.
  ///   - renumber: contiguous ids instead, from the first given one (0 without any), in every row.
  /// - Throws: at `position_ids` for another shape, a type that is not integer, or an id that does not fit, or
  ///   when the layout's ids depend on text.
  public init(
    keeping kept: [Int], of tokenCount: Int, positions: Tensor? = nil, layout: TokenLayout? = nil,
    renumber: Bool = false
  ) throws(PruningError) {
    precondition(kept.allSatisfy { (0..<tokenCount).contains($0) })
    guard let positions else {
      self = try Self(keeping: kept, of: layout, renumber: renumber)
      return
    }
    let given = try Self.rows(of: positions, tokenCount: tokenCount)
    self.init(keeping: kept, of: given, extent: nil, renumber: renumber)
  }

  private init(keeping kept: [Int], of layout: TokenLayout?, renumber: Bool) throws(PruningError) {
    guard let layout, layout.rotaryGrid != nil else {
      self.init(rows: [renumber ? Array(0..<kept.count) : kept])
      return
    }
    guard let known = layout.rotaryPositions, let view = layout.views.first else {
      throw PruningError(
        at: "position_ids",
        "are needed: in '\(layout.type)' text stands between the \(layout.imageCount > 1 ? "images" : "frames"), "
          + "and the ids depend on its length")
    }
    self.init(
      keeping: kept, of: known,
      extent: RotaryExtent(nextPosition: max(view.rows, view.columns), gridWidth: view.columns),
      renumber: renumber)
  }

  private init(rows: [[Int]]) {
    self.rows = rows
    delta = nil
    extent = nil
  }

  private init(keeping kept: [Int], of given: [[Int]], extent: RotaryExtent?, renumber: Bool) {
    self.extent = extent
    guard let largest = given.joined().max(), let start = given.compactMap(\.first).min() else {
      rows = given.map { _ in [] }
      delta = 0
      return
    }
    rows = given.map { row in
      renumber ? (0..<kept.count).map { start + $0 } : kept.map { row[$0] }
    }
    delta = (renumber ? start + kept.count : largest + 1) - kept.count
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
