import PruningNumerics

/// The fast similarities of all rows to those of their own segment of a ``BoundTable``, by slot: [N, 16].
///
/// The first pick needs them, and every later one raises the bounds of its neighbours with them at once.
struct SegmentSimilarities {
  private var similarities: [Float]

  init(_ blocks: RowBlocks) {
    similarities = Array(repeating: -.infinity, count: 4 * blocks.count * BoundTable.segment)
  }

  /// Notes the similarities of a block of four to another, or itself, of the same segment.
  public mutating func put(_ tile: SimilarityTile, _ a: Int, _ b: Int) {
    similarities.withUnsafeMutableBytes { bytes in
      func put(_ tile: SimilarityTile, from: Int, to: Int) {
        let start = 16 * BoundTable.segment * from + 16 * (to % (BoundTable.segment / 4))
        let columns = tile.columns
        bytes.storeBytes(of: columns.0, toByteOffset: start, as: SIMD4<Float>.self)
        bytes.storeBytes(of: columns.1, toByteOffset: start + 4 * BoundTable.segment, as: SIMD4<Float>.self)
        bytes.storeBytes(of: columns.2, toByteOffset: start + 8 * BoundTable.segment, as: SIMD4<Float>.self)
        bytes.storeBytes(of: columns.3, toByteOffset: start + 12 * BoundTable.segment, as: SIMD4<Float>.self)
      }
      put(tile, from: b, to: a)
      put(tile.transposed, from: a, to: b)
    }
  }

  /// Raises the bounds of all of a slot's segment by how similar they are to it.
  func raiseNeighbours(of slot: Int, in bounds: BoundTable) {
    similarities.withUnsafeBytes { bytes in
      bounds.raise(
        sixteenFrom: slot / BoundTable.segment * BoundTable.segment, to: Self.row(bytes, slot))
    }
  }

  /// Raises the bound of each slot of a segment by how similar the others are to it.
  ///
  /// - Parameter segment: its first slot.
  func raiseAll(ofSegment segment: Int, in bounds: BoundTable) {
    similarities.withUnsafeBytes { bytes in
      var largest = SIMD16<Float>(repeating: -.infinity)
      // What is behind the last place resembles the last row, and says nothing of others.
      let end = min(segment + BoundTable.segment, bounds.count)
      for slot in segment..<end {
        let sixteen = Self.row(bytes, slot)
        largest.replace(with: sixteen, where: sixteen .> largest)
      }
      bounds.raise(sixteenFrom: segment, to: largest)
    }
  }

  @inline(__always)
  private static func row(_ bytes: UnsafeRawBufferPointer, _ slot: Int) -> SIMD16<Float> {
    bytes.loadUnaligned(fromByteOffset: 4 * BoundTable.segment * slot, as: SIMD16<Float>.self)
  }

  /// Of the selections in a slot's segment the most similar, and how similar it is; nil where there is none, or it is
  /// not that close.
  ///
  /// - Parameter order: of each slot which selection it is, or -1.
  func nearestChosen(to slot: Int, _ order: [Int32]) -> (selection: Int, similarity: Float)? {
    let first = slot / BoundTable.segment * BoundTable.segment
    var nearest: (selection: Int, similarity: Float)?
    for other in first..<min(first + BoundTable.segment, order.count) where order[other] >= 0 {
      let similarity = similarities[BoundTable.segment * slot + other - first]
      if similarity > nearest?.similarity ?? 0 { nearest = (Int(order[other]), similarity) }
    }
    return nearest
  }
}
