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

  // MARK: In float64

  func callAsFunction(_ input: Activations, _ steps: inout StepCounter) throws(PruningError) -> Activations {
    precondition(input.columns == width)
    var result = input
    for row in 0..<input.rows {
      try steps.spend(cost)
      result.values.withUnsafeMutableBufferPointer { values in
        guard let base = values.baseAddress else { return }
        normalize(base + row * width)
      }
    }
    return result
  }

  /// One row, in place.
  func normalize(_ row: UnsafeMutablePointer<Double>) {
    let count = Double(width)
    let mean = WideRows.sum(row, width) / count
    let squares = WideRows.squares(row, width, around: mean)
    let deviation = (squares / count + Self.epsilon).squareRoot()
    gain.withUnsafeBufferPointer { gain in
      bias.withUnsafeBufferPointer { bias in
        for index in 0..<width {
          row[index] = (row[index] - mean) / deviation * Double(gain[index]) + Double(bias[index])
        }
      }
    }
  }

  /// Steps of one row.
  var cost: Int { 12 + 4 * width }
}
