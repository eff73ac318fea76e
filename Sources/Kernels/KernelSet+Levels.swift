import KernelsBaseline

#if arch(x86_64)
  import CProcessor
  import KernelsV3
  import KernelsV4
#endif

extension KernelSet {
  /// The set in use: the one chosen at the start of the program, else the fastest that this processor can run.
  public static let active: KernelSet = {
    #if arch(x86_64)
      let chosen = Int(crop_chosen_level())
      if available.indices.contains(chosen) { return available[chosen] }
    #endif
    return available.last ?? portable
  }()

  /// Makes the set of that name the ``active`` one.
  ///
  /// Only before the first use of ``active``, which then stays what it is: at the start of the program.
  /// - Returns: false when this processor has no such set.
  public static func choose(_ name: String) -> Bool {
    guard let index = available.firstIndex(where: { $0.name == name }) else { return false }
    #if arch(x86_64)
      crop_choose_level(Int32(index))
    #else
      precondition(index == 0)
    #endif
    return true
  }

  /// Every set this processor can run, slowest first.
  public static let available: [KernelSet] = {
    #if arch(x86_64)
      [portable] + (crop_processor_level() >= 3 ? [v3] : []) + (crop_processor_level() >= 4 ? [v4] : [])
    #else
      [portable]
    #endif
  }()

  #if arch(arm64)
    private static let portableName = "neon"
    private static let widensHalf = true
  #else
    private static let portableName = "baseline"
    // Many instructions for what is one at the other levels.
    private static let widensHalf = false
  #endif

  /// For any processor of the architecture: SSE2 on x86-64, NEON on arm64.
  public static let portable = KernelSet(
    name: portableName,
    dot: KernelsBaseline.SIMDKernels.dot,
    preciseDot: KernelsBaseline.SIMDKernels.preciseDot,
    widenedDot: KernelsBaseline.SIMDKernels.widenedDot,
    measuredDot: KernelsBaseline.SIMDKernels.measuredDot,
    absoluteSums: KernelsBaseline.SIMDKernels.absoluteSums,
    scale: KernelsBaseline.SIMDKernels.scale,
    tiles: TileKernelSet(
      preciseTile: KernelsBaseline.TileKernels.preciseTile,
      preciseColumn: KernelsBaseline.TileKernels.preciseColumn),
    factors: FactorKernelSet(
      panelProducts: KernelsBaseline.FactorKernels.panelProducts,
      panelPairs: KernelsBaseline.FactorKernels.panelPairs,
      advance: KernelsBaseline.FactorKernels.advance,
      condition: KernelsBaseline.ColumnKernels.condition, highest: KernelsBaseline.ColumnKernels.highest),
    search: SearchKernelSet(
      combine: KernelsBaseline.SearchKernels.combine, above: KernelsBaseline.SearchKernels.above,
      lowest: KernelsBaseline.SearchKernels.lowest, highest: KernelsBaseline.SearchKernels.highest,
      raise: KernelsBaseline.SearchKernels.raise),
    coverage: CoverageKernelSet(
      gain: KernelsBaseline.CoverageKernels.gain, cover: KernelsBaseline.CoverageKernels.cover,
      scale: KernelsBaseline.CoverageKernels.scale, powers: KernelsBaseline.CoverageKernels.powers,
      widePowers: KernelsBaseline.CoverageKernels.widePowers),
    widenFloat16: KernelsBaseline.FloatFormatKernels.widenFloat16,
    widenBFloat16: KernelsBaseline.FloatFormatKernels.widenBFloat16,
    float32: FormatKernels(KernelsBaseline.FormatTable.float32),
    float16: FormatKernels(KernelsBaseline.FormatTable.float16, isDirect: widensHalf),
    bfloat16: FormatKernels(KernelsBaseline.FormatTable.bfloat16),
    panelWidth: KernelsBaseline.BlockedProducts.panelWidth,
    pack: KernelsBaseline.BlockedProducts.pack,
    multiply: KernelsBaseline.BlockedProducts.multiply,
    symmetricProducts: KernelsBaseline.BlockedProducts.symmetricProducts,
    addWideProducts: KernelsBaseline.WideProducts.addProducts,
    wideRows: WideRowKernelSet(
      squaredDistance: KernelsBaseline.WideRowKernels.squaredDistance,
      addSquaredDifferences: KernelsBaseline.WideRowKernels.addSquaredDifferences,
      productsOfFour: KernelsBaseline.WideRowKernels.productsOfFour,
      multiplyAdding: KernelsBaseline.WideRowKernels.multiplyAdding,
      subtractMultiples: KernelsBaseline.WideRowKernels.subtractMultiples),
    networks: NetworkKernelSet(
      multiply: KernelsBaseline.FusedProducts.multiply, normalize: KernelsBaseline.NetworkKernels.normalize,
      addGELU: KernelsBaseline.NetworkKernels.addGELU, softmax: KernelsBaseline.NetworkKernels.softmax))

  #if arch(x86_64)
    /// AVX2 (x86-64-v3).
    private static let v3 = KernelSet(
      name: "v3",
      dot: KernelsV3.SIMDKernels.dot,
      preciseDot: KernelsV3.SIMDKernels.preciseDot,
      widenedDot: KernelsV3.SIMDKernels.widenedDot,
      measuredDot: KernelsV3.SIMDKernels.measuredDot,
      absoluteSums: KernelsV3.SIMDKernels.absoluteSums,
      scale: KernelsV3.SIMDKernels.scale,
      tiles: TileKernelSet(
        preciseTile: KernelsV3.TileKernels.preciseTile,
        preciseColumn: KernelsV3.TileKernels.preciseColumn),
      factors: FactorKernelSet(
        panelProducts: KernelsV3.FactorKernels.panelProducts,
        panelPairs: KernelsV3.FactorKernels.panelPairs,
        advance: KernelsV3.FactorKernels.advance,
        condition: KernelsV3.ColumnKernels.condition, highest: KernelsV3.ColumnKernels.highest),
      search: SearchKernelSet(
        combine: KernelsV3.SearchKernels.combine, above: KernelsV3.SearchKernels.above,
        lowest: KernelsV3.SearchKernels.lowest, highest: KernelsV3.SearchKernels.highest,
        raise: KernelsV3.SearchKernels.raise),
      coverage: CoverageKernelSet(
        gain: KernelsV3.CoverageKernels.gain, cover: KernelsV3.CoverageKernels.cover,
        scale: KernelsV3.CoverageKernels.scale, powers: KernelsV3.CoverageKernels.powers,
        widePowers: KernelsV3.CoverageKernels.widePowers),
      widenFloat16: KernelsV3.FloatFormatKernels.widenFloat16,
      widenBFloat16: KernelsV3.FloatFormatKernels.widenBFloat16,
      float32: FormatKernels(KernelsV3.FormatTable.float32),
      float16: FormatKernels(KernelsV3.FormatTable.float16),
      bfloat16: FormatKernels(KernelsV3.FormatTable.bfloat16),
      panelWidth: KernelsV3.BlockedProducts.panelWidth,
      pack: KernelsV3.BlockedProducts.pack,
      multiply: KernelsV3.BlockedProducts.multiply,
      symmetricProducts: KernelsV3.BlockedProducts.symmetricProducts,
      addWideProducts: KernelsV3.WideProducts.addProducts,
      wideRows: WideRowKernelSet(
        squaredDistance: KernelsV3.WideRowKernels.squaredDistance,
        addSquaredDifferences: KernelsV3.WideRowKernels.addSquaredDifferences,
        productsOfFour: KernelsV3.WideRowKernels.productsOfFour,
        multiplyAdding: KernelsV3.WideRowKernels.multiplyAdding,
        subtractMultiples: KernelsV3.WideRowKernels.subtractMultiples),
      networks: NetworkKernelSet(
        multiply: KernelsV3.FusedProducts.multiply, normalize: KernelsV3.NetworkKernels.normalize,
        addGELU: KernelsV3.NetworkKernels.addGELU, softmax: KernelsV3.NetworkKernels.softmax))

    /// AVX-512 (x86-64-v4).
    private static let v4 = KernelSet(
      name: "v4",
      dot: KernelsV4.SIMDKernels.dot,
      preciseDot: KernelsV4.SIMDKernels.preciseDot,
      widenedDot: KernelsV4.SIMDKernels.widenedDot,
      measuredDot: KernelsV4.SIMDKernels.measuredDot,
      absoluteSums: KernelsV4.SIMDKernels.absoluteSums,
      scale: KernelsV4.SIMDKernels.scale,
      tiles: TileKernelSet(
        preciseTile: KernelsV4.TileKernels.preciseTile,
        preciseColumn: KernelsV4.TileKernels.preciseColumn),
      factors: FactorKernelSet(
        panelProducts: KernelsV4.FactorKernels.panelProducts,
        panelPairs: KernelsV4.FactorKernels.panelPairs,
        advance: KernelsV4.FactorKernels.advance,
        condition: KernelsV4.ColumnKernels.condition, highest: KernelsV4.ColumnKernels.highest),
      search: SearchKernelSet(
        combine: KernelsV4.SearchKernels.combine, above: KernelsV4.SearchKernels.above,
        lowest: KernelsV4.SearchKernels.lowest, highest: KernelsV4.SearchKernels.highest,
        raise: KernelsV4.SearchKernels.raise),
      coverage: CoverageKernelSet(
        gain: KernelsV4.CoverageKernels.gain, cover: KernelsV4.CoverageKernels.cover,
        scale: KernelsV4.CoverageKernels.scale, powers: KernelsV4.CoverageKernels.powers,
        widePowers: KernelsV4.CoverageKernels.widePowers),
      widenFloat16: KernelsV4.FloatFormatKernels.widenFloat16,
      widenBFloat16: KernelsV4.FloatFormatKernels.widenBFloat16,
      float32: FormatKernels(KernelsV4.FormatTable.float32),
      float16: FormatKernels(KernelsV4.FormatTable.float16),
      bfloat16: FormatKernels(KernelsV4.FormatTable.bfloat16),
      panelWidth: KernelsV4.BlockedProducts.panelWidth,
      pack: KernelsV4.BlockedProducts.pack,
      multiply: KernelsV4.BlockedProducts.multiply,
      symmetricProducts: KernelsV4.BlockedProducts.symmetricProducts,
      addWideProducts: KernelsV4.WideProducts.addProducts,
      wideRows: WideRowKernelSet(
        squaredDistance: KernelsV4.WideRowKernels.squaredDistance,
        addSquaredDifferences: KernelsV4.WideRowKernels.addSquaredDifferences,
        productsOfFour: KernelsV4.WideRowKernels.productsOfFour,
        multiplyAdding: KernelsV4.WideRowKernels.multiplyAdding,
        subtractMultiples: KernelsV4.WideRowKernels.subtractMultiples),
      networks: NetworkKernelSet(
        multiply: KernelsV4.FusedProducts.multiply, normalize: KernelsV4.NetworkKernels.normalize,
        addGELU: KernelsV4.NetworkKernels.addGELU, softmax: KernelsV4.NetworkKernels.softmax))
  #endif
}

extension FormatKernels {
  fileprivate init(_ table: KernelsBaseline.FormatTable, isDirect: Bool = true) {
    self.init(
      widen: table.widen, measure: table.measure, measureFour: table.measureFour,
      measureWith: table.measureWith, isDirect: isDirect, accumulate: table.accumulate,
      column: table.column, tile: table.tile, product: table.product)
  }

  #if arch(x86_64)
    fileprivate init(_ table: KernelsV3.FormatTable, isDirect: Bool = true) {
      self.init(
        widen: table.widen, measure: table.measure, measureFour: table.measureFour,
        measureWith: table.measureWith, isDirect: isDirect, accumulate: table.accumulate,
        column: table.column, tile: table.tile, product: table.product)
    }

    fileprivate init(_ table: KernelsV4.FormatTable, isDirect: Bool = true) {
      self.init(
        widen: table.widen, measure: table.measure, measureFour: table.measureFour,
        measureWith: table.measureWith, isDirect: isDirect, accumulate: table.accumulate,
        column: table.column, tile: table.tile, product: table.product)
    }
  #endif
}
