public import Tensors

/// The position ids of the kept tokens.
///
/// Original ids, with gaps, by default: renumbering after pruning costs accuracy in most models
/// (arXiv 2506.21873), though some methods' published code does it.
public struct PositionIDs: Sendable, Hashable {
  /// One row of K ids; for multimodal RoPE three rows, time, height, width: [3, K].
  public let rows: [[Int]]
  /// For given ids: their maximum + 1 - K, `mrope_position_delta` of the pruned sequence.
  ///
  /// Added to the number of tokens so far it gives the position where text goes on, the same as without
  /// pruning. It counts the given tokens only; tokens before and after them keep their distance to it.
  public let delta: Int?

  /// - Parameters:
  ///   - kept: ascending token indices.
  ///   - positions: `position_ids` [N] or [3, N]; nil means 0, 1, ..., N - 1.
  ///   - renumber: contiguous ids instead, from the first given one (0 without any), in every row.
  /// - Throws: at `position_ids` for another shape, a type that is not integer, or an id that does not fit.
  public init(
    keeping kept: [Int], of tokenCount: Int, positions: Tensor? = nil, renumber: Bool = false
  ) throws(PruningError) {
    precondition(kept.allSatisfy { (0..<tokenCount).contains($0) })
    guard let positions else {
      rows = [renumber ? Array(0..<kept.count) : kept]
      delta = nil
      return
    }
    let name = "position_ids"
    let shape = positions.shape.dimensions
    guard shape == [tokenCount] || shape == [3, tokenCount] else {
      throw PruningError(
        at: name, "shape must be [\(tokenCount)] or [3, \(tokenCount)], not \(positions.shape)")
    }
    guard let ids = positions.integers() else {
      throw PruningError(
        at: name, "must hold integers that fit 64 bits, signed, not \(positions.elementType.rawValue)")
    }
    guard let largest = ids.max(), let smallest = ids.min() else {
      rows = Array(repeating: [], count: shape.count == 1 ? 1 : 3)
      delta = 0
      return
    }
    // Sums with counts stay far from overflow, and no model comes near.
    guard largest < 1 << 48, smallest > -(1 << 48) else {
      throw PruningError(at: name, "ids must lie within +-2^48")
    }
    let rowCount = shape.count == 1 ? 1 : 3
    let start = (0..<rowCount).map { ids[$0 * tokenCount] }.min() ?? 0
    rows = (0..<rowCount).map { row in
      renumber ? (0..<kept.count).map { start + $0 } : kept.map { ids[row * tokenCount + $0] }
    }
    delta = (renumber ? start + kept.count : largest + 1) - kept.count
  }
}
