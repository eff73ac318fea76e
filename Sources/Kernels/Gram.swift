extension KernelSet {
  /// How many elements the packed form of that many rows takes.
  public func packedCount(rows: Int, columns: Int) -> Int { panelCount(rows: rows) * panelWidth * columns }

  public func panelCount(rows: Int) -> Int { (rows + panelWidth - 1) / panelWidth }

  /// How far `multiply` of rows of length 1 can lie from the exact value, with room to spare; see
  /// ``tolerance(columns:)``. Up to 256 products are added in one chain, and the chains' sums in another.
  public static func blockedTolerance(columns: Int) -> Float {
    (Float(min(columns, 256)) + Float(columns) / 256 + 16) * 0x1p-24
  }

  /// The same of `symmetricProducts`, whose chains have up to 64 products.
  public static func symmetricTolerance(columns: Int) -> Float {
    (Float(min(columns, 64)) + Float(columns) / 64 + 16) * 0x1p-24
  }

  /// 0..<rows in `parts` ranges (or fewer) of about equal work for ``symmetricProducts``: the work of a row grows
  /// with its index.
  ///
  /// Ranges begin at multiples of ``panelWidth``, where tiles are whole.
  public func symmetricParts(rows: Int, parts: Int) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var start = 0
    for part in 1...max(parts, 1) {
      let share = (Double(part) / Double(max(parts, 1))).squareRoot() * Double(rows)
      let end = part >= parts ? rows : Int((share / Double(panelWidth)).rounded()) * panelWidth
      guard end > start else { continue }
      ranges.append(start..<min(end, rows))
      start = min(end, rows)
    }
    return ranges
  }

  /// Panels that begin at such an address are read in whole cache lines; others are read as correctly.
  public static let panelAlignment = 64
}
