import Kernels
import PruningNumerics

/// y = (x - mean) / sqrt(variance + 1e-5) * gain + bias over the columns of a row (Ba et al., arXiv 1607.06450).
///
/// The variance is that of the row itself (divided by the count, not by one less).
struct LayerNorm: Sendable, Equatable {
  static let epsilon = 1e-5

  let gain: [Float]
  let bias: [Float]

  /// - Precondition: as many gains as biases.
  init(gain: [Float], bias: [Float]) {
    precondition(gain.count == bias.count && !gain.isEmpty)
    self.gain = gain
    self.bias = bias
  }

  var width: Int { gain.count }

  /// - Complexity: O(rows x width).
  func callAsFunction(_ input: FloatRows, _ steps: inout StepCounter) throws(PruningError) -> FloatRows {
    precondition(input.columns == width)
    try steps.spend(input.rows * cost)
    return FloatRows(rows: input.rows, columns: width) { target in
      input.values.withUnsafeBufferPointer { source in
        guard let from = source.baseAddress else { return }
        for row in 0..<input.rows { normalize(from + row * width, into: target + row * width) }
      }
    }
  }

  func normalize(_ row: UnsafePointer<Float>, into target: UnsafeMutablePointer<Float>) {
    gain.withUnsafeBufferPointer { gain in
      bias.withUnsafeBufferPointer { bias in
        guard let gain = gain.baseAddress, let bias = bias.baseAddress else { return }
        KernelSet.active.networks.normalize(row, width, Self.epsilon, gain, bias, target)
      }
    }
  }

  /// Steps of one row.
  var cost: Int { 12 + 4 * width }
}
