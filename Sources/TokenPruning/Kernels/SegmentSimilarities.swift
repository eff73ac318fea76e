/// The fast similarities of all rows to those of their own segment of a ``BoundTable``, by place: [N, 16].
///
/// The first pick needs them, and every later one raises the bounds of its neighbours with them at once.
struct SegmentSimilarities {
  private var similarities: [Float]

  init(_ blocks: RowBlocks) {
    similarities = Array(repeating: -.infinity, count: 4 * blocks.count * BoundTable.segment)
  }

  /// Notes the similarities of a block of four to another, or itself, of the same segment.
  mutating func put(_ tile: SimilarityTile, _ a: Int, _ b: Int) {
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

  /// Raises the bounds of all of a place's segment by how similar they are to it.
  func raiseNeighbours(of place: Int, in bounds: BoundTable) {
    let first = place / BoundTable.segment * BoundTable.segment
    similarities.withUnsafeBytes { bytes in
      for offset in stride(from: 0, to: BoundTable.segment, by: 4) where first + offset < bounds.count {
        let start = 4 * (BoundTable.segment * place + offset)
        bounds.raise(
          fourFrom: first + offset, to: bytes.loadUnaligned(fromByteOffset: start, as: SIMD4<Float>.self))
      }
    }
  }
}
