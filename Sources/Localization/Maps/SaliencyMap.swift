import VisionLayouts

/// How salient each block of the 8 x 8 grid over the *original* image is.
public struct SaliencyMap: Sendable, Hashable {
  /// 64 finite numbers, row-major.
  public let values: [Double]

  /// - Precondition: 64 finite values.
  init(values: [Double]) {
    precondition(values.count == BlockRegion.side * BlockRegion.side && values.allSatisfy(\.isFinite))
    self.values = values
  }

  subscript(row row: Int, column column: Int) -> Double { values[row * BlockRegion.side + column] }

  /// Token scores resampled to blocks, see ``BlockResampler``.
  ///
  /// - Parameter scores: one finite number per token, [N].
  /// - Precondition: `scores.count == layout.tokenCount`.
  init(scores: [Double], layout: TokenLayout) {
    self.init(values: BlockResampler(layout).blocks(of: scores))
  }
}
