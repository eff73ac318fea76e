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
}
