import KernelsBaseline

#if arch(x86_64)
  import CProcessor
  import KernelsV3
  import KernelsV4
#endif

extension KernelSet {
  /// The set in use: the fastest that this processor can run. The only place that chooses.
  public static let active = available.last ?? portable

  /// Every set this processor can run, slowest first.
  public static let available: [KernelSet] = {
    #if arch(x86_64)
      [portable] + (crop_processor_level() >= 3 ? [v3] : []) + (crop_processor_level() >= 4 ? [v4] : [])
    #else
      [portable]
    #endif
  }()

  /// For any processor of the architecture: SSE2 on x86-64, NEON on arm64.
  public static let portable = KernelSet(
    name: "baseline",
    dot: KernelsBaseline.SIMDKernels.dot,
    dotFour: KernelsBaseline.SIMDKernels.dotFour,
    dotTile: KernelsBaseline.DotTiles.dotTile,
    preciseDot: KernelsBaseline.SIMDKernels.preciseDot,
    widenedDot: KernelsBaseline.SIMDKernels.widenedDot,
    widenedDotFour: KernelsBaseline.SIMDKernels.widenedDotFour,
    scale: KernelsBaseline.SIMDKernels.scale,
    accumulate: KernelsBaseline.SIMDKernels.accumulate,
    tiles: TileKernelSet(
      tile: KernelsBaseline.TileKernels.tile, preciseTile: KernelsBaseline.TileKernels.preciseTile,
      preciseColumn: KernelsBaseline.TileKernels.preciseColumn,
      factorProducts: KernelsBaseline.TileKernels.factorProducts),
    widenFloat16: KernelsBaseline.SIMDKernels.widenFloat16,
    widenBFloat16: KernelsBaseline.SIMDKernels.widenBFloat16,
    panelWidth: KernelsBaseline.BlockedProducts.panelWidth,
    pack: KernelsBaseline.BlockedProducts.pack,
    multiply: KernelsBaseline.BlockedProducts.multiply,
    symmetricProducts: KernelsBaseline.BlockedProducts.symmetricProducts)

  #if arch(x86_64)
    /// AVX2 (x86-64-v3).
    private static let v3 = KernelSet(
      name: "v3",
      dot: KernelsV3.SIMDKernels.dot,
      dotFour: KernelsV3.SIMDKernels.dotFour,
      dotTile: KernelsV3.DotTiles.dotTile,
      preciseDot: KernelsV3.SIMDKernels.preciseDot,
      widenedDot: KernelsV3.SIMDKernels.widenedDot,
      widenedDotFour: KernelsV3.SIMDKernels.widenedDotFour,
      scale: KernelsV3.SIMDKernels.scale,
      accumulate: KernelsV3.SIMDKernels.accumulate,
      tiles: TileKernelSet(
        tile: KernelsV3.TileKernels.tile, preciseTile: KernelsV3.TileKernels.preciseTile,
        preciseColumn: KernelsV3.TileKernels.preciseColumn,
        factorProducts: KernelsV3.TileKernels.factorProducts),
      widenFloat16: KernelsV3.SIMDKernels.widenFloat16,
      widenBFloat16: KernelsV3.SIMDKernels.widenBFloat16,
      panelWidth: KernelsV3.BlockedProducts.panelWidth,
      pack: KernelsV3.BlockedProducts.pack,
      multiply: KernelsV3.BlockedProducts.multiply,
      symmetricProducts: KernelsV3.BlockedProducts.symmetricProducts)

    /// AVX-512 (x86-64-v4).
    private static let v4 = KernelSet(
      name: "v4",
      dot: KernelsV4.SIMDKernels.dot,
      dotFour: KernelsV4.SIMDKernels.dotFour,
      dotTile: KernelsV4.DotTiles.dotTile,
      preciseDot: KernelsV4.SIMDKernels.preciseDot,
      widenedDot: KernelsV4.SIMDKernels.widenedDot,
      widenedDotFour: KernelsV4.SIMDKernels.widenedDotFour,
      scale: KernelsV4.SIMDKernels.scale,
      accumulate: KernelsV4.SIMDKernels.accumulate,
      tiles: TileKernelSet(
        tile: KernelsV4.TileKernels.tile, preciseTile: KernelsV4.TileKernels.preciseTile,
        preciseColumn: KernelsV4.TileKernels.preciseColumn,
        factorProducts: KernelsV4.TileKernels.factorProducts),
      widenFloat16: KernelsV4.SIMDKernels.widenFloat16,
      widenBFloat16: KernelsV4.SIMDKernels.widenBFloat16,
      panelWidth: KernelsV4.BlockedProducts.panelWidth,
      pack: KernelsV4.BlockedProducts.pack,
      multiply: KernelsV4.BlockedProducts.multiply,
      symmetricProducts: KernelsV4.BlockedProducts.symmetricProducts)
  #endif
}
