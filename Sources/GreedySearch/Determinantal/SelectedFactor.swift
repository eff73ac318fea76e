import Kernels

/// The Cholesky factor of a determinantal search: rows of its selections in blocks of eight, with their features
/// beside them, and rows of the candidates that were brought forward.
///
/// Memory comes in pieces that never move, and lives as long as this does. A class, because copies would share it.
final class SelectedFactor {
  static let blockSize = FactorKernelSet.panelRows

  /// What eight selections are to others.
  private struct Block {
    /// Their features, see ``FactorKernelSet``; rows that are not there yet are zero.
    public let panel: UnsafeMutablePointer<Float>
    /// Their rows of the factor, transposed: entry k of each at 8 k.
    public let factor: UnsafeMutablePointer<Double>
    /// Quality over norm of each, then one over the pivot of each; zero for what is not there yet.
    public let scales: UnsafeMutablePointer<Double>
  }

  public private(set) var count = 0
  private let columns: Int
  private let rowLength: Int
  private let kernels: FactorKernelSet
  private var blocks: [Block] = []
  private var pieces: [UnsafeMutablePointer<Double>] = []
  private var rowsLeft = 0

  /// - Parameter capacity: the most selections there will be.
  init(columns: Int, capacity: Int, kernels: FactorKernelSet) {
    self.columns = columns
    self.kernels = kernels
    rowLength = (capacity + Self.blockSize - 1) / Self.blockSize * Self.blockSize
    blocks.reserveCapacity(rowLength / Self.blockSize)
  }

  deinit {
    for block in blocks {
      block.panel.deallocate()
      block.factor.deallocate()
      block.scales.deallocate()
    }
    for piece in pieces { piece.deallocate() }
  }

  /// Room for a candidate's row of the factor.
  func makeRow() -> UnsafeMutablePointer<Double> {
    if rowsLeft == 0 {
      rowsLeft = max(1, 8192 / rowLength)
      pieces.append(.allocate(capacity: rowsLeft * rowLength))
    }
    rowsLeft -= 1
    return pieces[pieces.count - 1] + rowsLeft * rowLength
  }

  /// Adds a selection.
  ///
  /// - Parameters:
  ///   - features: its row.
  ///   - row: its row of the factor up to its pivot.
  ///   - residual: the square of the pivot.
  public func append(
    _ features: UnsafePointer<Float>, _ row: UnsafePointer<Double>, scale: Double, residual: Double
  ) {
    let (index, lane) = count.quotientAndRemainder(dividingBy: Self.blockSize)
    if lane == 0 { blocks.append(makeBlock(count + Self.blockSize)) }
    let block = blocks[index]
    for entry in 0..<count { block.factor[Self.blockSize * entry + lane] = row[entry] }
    block.scales[lane] = scale
    block.scales[Self.blockSize + lane] = 1 / residual.squareRoot()
    put(features, block.panel, lane)
    count += 1
  }

  private func makeBlock(_ length: Int) -> Block {
    let block = Block(
      panel: .allocate(capacity: Self.blockSize * columns),
      factor: .allocate(capacity: Self.blockSize * length), scales: .allocate(capacity: 2 * Self.blockSize))
    block.panel.initialize(repeating: 0, count: Self.blockSize * columns)
    block.factor.initialize(repeating: 0, count: Self.blockSize * length)
    block.scales.initialize(repeating: 0, count: 2 * Self.blockSize)
    return block
  }

  private func put(_ row: UnsafePointer<Float>, _ panel: UnsafeMutablePointer<Float>, _ lane: Int) {
    let whole = columns / 8 * 8
    for column in stride(from: 0, to: whole, by: 8) {
      let eight = UnsafeRawPointer(row + column).loadUnaligned(as: SIMD8<Float>.self)
      UnsafeMutableRawPointer(panel + 8 * (column + lane)).storeBytes(of: eight, as: SIMD8<Float>.self)
    }
    for column in whole..<columns {
      panel[FactorKernelSet.slot(row: lane, column: column, columns: columns)] = row[column]
    }
  }

  /// A candidate on its way through the selections.
  struct Traveller {
    /// Its features, and its quality over their norm.
    public let features: UnsafePointer<Float>
    public let scale: Double
    /// Its row of the factor.
    public let row: UnsafeMutablePointer<Double>
    /// How many selections it knows of, and what they left of its diagonal.
    public var seen: Int
    public var residual: Double
  }

  /// Brings a row forward through what it has not seen of a block of selections.
  ///
  /// - Precondition: there are selections that it has not seen.
  public func advance(_ traveller: inout Traveller) {
    let block = blocks[traveller.seen / Self.blockSize]
    withUnsafeTemporaryAllocation(of: Double.self, capacity: Self.blockSize) { products in
      guard let products = products.baseAddress else { return }
      kernels.panelProducts(traveller.features, block.panel, columns, products)
      advance(&traveller, through: block, products)
    }
  }

  /// The same for two rows that have come to the same block.
  public func advance(_ traveller: inout Traveller, _ other: inout Traveller) {
    let block = blocks[traveller.seen / Self.blockSize]
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * Self.blockSize) { products in
      guard let products = products.baseAddress else { return }
      kernels.panelPairs(traveller.features, other.features, block.panel, columns, products)
      advance(&traveller, through: block, products)
      advance(&other, through: block, products + Self.blockSize)
    }
  }

  private func advance(
    _ traveller: inout Traveller, through block: Block, _ products: UnsafeMutablePointer<Double>
  ) {
    let first = traveller.seen % Self.blockSize
    let start = traveller.seen - first
    let end = min(Self.blockSize, count - start)
    for lane in 0..<Self.blockSize { products[lane] = products[lane] * traveller.scale * block.scales[lane] }
    traveller.residual = kernels.advance(
      traveller.row, block.factor, start, first, end, products, block.scales + Self.blockSize,
      traveller.residual)
    traveller.seen = start + end
  }
}
