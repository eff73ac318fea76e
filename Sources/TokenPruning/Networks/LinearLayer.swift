import Kernels

/// y = W x + b, W [outputs, inputs] and b [outputs].
///
/// The weights are held in panels of `panelWidth` outputs, what is missing of the last zero: the weight of output o
/// and input i lies in panel o / panelWidth at i * panelWidth + o % panelWidth.
struct LinearLayer: Sendable, Equatable {
  private let panels: [Float]
  let bias: [Float]
  let inputs: Int
  let outputs: Int

  private static let panelWidth = 16

  /// - Precondition: `bias` has one element per row of `weight`.
  init(weight: Matrix, bias: [Float]) {
    precondition(bias.count == weight.rows)
    self.bias = bias
    inputs = weight.columns
    outputs = weight.rows
    let width = Self.panelWidth
    var panels = [Float](repeating: 0, count: (weight.rows + width - 1) / width * width * weight.columns)
    for output in 0..<weight.rows {
      let start = output / width * width * weight.columns + output % width
      for (input, value) in weight.row(output).enumerated() { panels[start + input * width] = value }
    }
    self.panels = panels
  }

  func weight(output: Int, input: Int) -> Float {
    let width = Self.panelWidth
    return panels[output / width * width * inputs + input * width + output % width]
  }

  /// The layer on every row of `input`, [rows, outputs].
  ///
  /// - Complexity: O(rows x inputs x outputs).
  func callAsFunction(
    _ input: Activations, _ steps: inout StepCounter
  ) throws(PruningError) -> Activations {
    precondition(input.columns == inputs)
    var result = Activations(zeros: input.rows, outputs)
    for row in stride(from: 0, to: input.rows, by: Self.groupSize) {
      let count = min(Self.groupSize, input.rows - row)
      try steps.spend(count * cost)
      result.values.withUnsafeMutableBufferPointer { target in
        input.values.withUnsafeBufferPointer { source in
          guard let into = target.baseAddress, let from = source.baseAddress else { return }
          apply(to: from + row * inputs, rows: count, into: into + row * outputs)
        }
      }
    }
    return result
  }

  /// How many rows share one pass over the weights.
  static let groupSize = 16

  /// The layer on 1...``groupSize`` rows that lie behind each other.
  ///
  /// Every output is its bias plus its products in the order of inputs, so a row's result is the same in whatever
  /// group it comes.
  func apply(to input: UnsafePointer<Double>, rows: Int, into output: UnsafeMutablePointer<Double>) {
    precondition((1...Self.groupSize).contains(rows))
    for row in 0..<rows {
      for index in 0..<outputs { output[row * outputs + index] = Double(bias[index]) }
    }
    panels.withUnsafeBufferPointer { panels in
      guard let base = panels.baseAddress else { return }
      let width = Self.panelWidth
      for first in stride(from: 0, to: outputs, by: width) {
        KernelSet.active.addWideProducts(
          input, inputs, rows, base + first * inputs, width, inputs, output + first, outputs,
          min(width, outputs - first))
      }
    }
  }

  /// Steps of one row.
  var cost: Int { outputs * StepCounter.exactComparison(columns: inputs) }
}
