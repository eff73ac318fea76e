import Kernels
import PruningNumerics

/// The eager form of ``DeterminantalSearch``: every selection updates the gains of all rows at once.
///
/// Row t of the factor of Chen, Zhang and Zhou (algorithm 1) for all rows, a column each, so that lanes are rows and
/// nothing is looked up. Of narrow features that costs less than keeping bounds in order. The bits are those of the lazy
/// form.
/// - Complexity: O(T N (D + T)) for T selections, of which there are hardly more than D; T N numbers of memory.
final class DeterminantalColumns {
  private let features: MeasuredRows
  private let rows: [Int]
  private let quality: [Double]
  private let kernels: FactorKernelSet
  private let stride: Int
  /// Features transposed: [columns, stride].
  private let panel: [Float]
  /// By place, zero behind the last.
  private let scales: [Double]
  /// By place; minus infinity for what is selected or exhausted.
  private var gains: [Double]
  /// [selections, stride].
  private var factor: [Double] = []
  private var count = 0
  private var exhausted: [Int] = []

  /// - Parameters:
  ///   - rows: by slot.
  ///   - scales: by row, quality over length.
  ///   - capacity: the most selections there will be.
  ///   - gains: by slot; rows without any are exhausted from the start.
  init(
    _ features: MeasuredRows, rows: [Int], quality: [Double], scales: [Double], gains: [Double],
    capacity: Int, kernels: FactorKernelSet
  ) {
    self.features = features
    self.rows = rows
    self.quality = quality
    self.kernels = kernels
    let stride = (rows.count + 31) / 32 * 32
    self.stride = stride
    let padding = stride - rows.count
    self.scales = rows.map { scales[$0] } + Array(repeating: 0, count: padding)
    self.gains = gains.map { $0 > 0 ? $0 : -.infinity } + Array(repeating: -.infinity, count: padding)
    // Rows are hardly ever more independent than they are wide.
    factor.reserveCapacity(min(capacity, features.columns + 1) * stride)
    panel = [Float](unsafeUninitializedCapacity: features.columns * stride) { panel, written in
      written = features.columns * stride
      guard let panel = panel.baseAddress else { return }
      panel.initialize(repeating: 0, count: written)
      features.withReader { reader in
        for (slot, row) in rows.enumerated() {
          let values = reader.row(row)
          for column in 0..<features.columns { panel[column * stride + slot] = values[column] }
        }
      }
    }
  }

  /// Conditions on a row that is selected from the start, if anything of it is left.
  func selectGiven(_ slot: Int, _ steps: inout StepCounter) throws(PruningError) {
    if gains[slot] > -.infinity, !isExhausted(slot) { try select(slot, &steps) }
    gains[slot] = -.infinity
  }

  /// The row with the largest gain; nil once all are selected or exhausted.
  func selectBest(_ steps: inout StepCounter) throws(PruningError) -> Int? {
    while true {
      try steps.spend(StepCounter.scan(of: rows.count))
      let slot = kernels.highest(gains, stride)
      guard slot < rows.count, gains[slot] > -.infinity else { return nil }
      guard isExhausted(slot) else {
        try select(slot, &steps)
        return rows[slot]
      }
      gains[slot] = -.infinity
      exhausted.append(rows[slot])
    }
  }

  /// The rows that were found exhausted since they were last asked for.
  func takeExhausted() -> [Int] {
    defer { exhausted = [] }
    return exhausted
  }

  private func isExhausted(_ slot: Int) -> Bool {
    DeterminantalSearch.isExhausted(gains[slot], quality: quality[rows[slot]])
  }

  private func select(_ slot: Int, _ steps: inout StepCounter) throws(PruningError) {
    try steps.spend(stride * (features.columns + count + 8) / 8)
    let inversePivot = 1 / gains[slot].squareRoot()
    gains[slot] = -.infinity
    let weights = (0..<count).map { factor[$0 * stride + slot] }
    let row = (0..<features.columns).map { Double(panel[$0 * stride + slot]) }
    factor.append(contentsOf: repeatElement(0, count: stride))
    factor.withUnsafeMutableBufferPointer { factor in
      gains.withUnsafeMutableBufferPointer { gains in
        guard let factor = factor.baseAddress, let gains = gains.baseAddress else { return }
        kernels.condition(
          row, panel, features.columns, stride, factor, count, weights, scales, scales[slot],
          inversePivot, gains)
      }
    }
    count += 1
  }
}
