import Kernels
import PruningNumerics

/// y = W x + b, W [outputs, inputs] and b [outputs].
struct LinearLayer: Sendable, Equatable {
  let panels: FloatPanels
  let bias: [Float]

  var inputs: Int { panels.depth }
  var outputs: Int { panels.columns }

  /// - Precondition: `bias` has one element per row of `weight`.
  init(weight: Matrix, bias: [Float]) {
    precondition(bias.count == weight.rows)
    self.bias = bias
    panels = FloatPanels(FloatRows(rows: weight.rows, columns: weight.columns, values: weight.values))
  }

  func weight(output: Int, input: Int) -> Float { panels.element(column: output, depth: input) }

  /// The weights with inputs and outputs exchanged: x W for rows x [outputs].
  func transposedPanels() -> FloatPanels {
    let weights = FloatRows(rows: outputs, columns: inputs) { target in
      for output in 0..<outputs {
        for input in 0..<inputs { target[output * inputs + input] = weight(output: output, input: input) }
      }
    }
    return weights.values.withUnsafeBufferPointer { weights in
      guard let from = weights.baseAddress else { preconditionFailure("a layer has weights") }
      return FloatPanels(columnsOf: from, count: outputs, columns: inputs, stride: inputs)
    }
  }

  /// The layer on every row, [rows, outputs].
  ///
  /// - Complexity: O(rows x inputs x outputs).
  func callAsFunction(_ input: FloatRows, _ steps: inout StepCounter) throws(PruningError) -> FloatRows {
    precondition(input.columns == inputs)
    var result = FloatRows(zeros: input.rows, outputs)
    for row in stride(from: 0, to: input.rows, by: FloatRows.groupSize) {
      let count = min(FloatRows.groupSize, input.rows - row)
      try steps.spend(count * panels.cost)
      result.values.withUnsafeMutableBufferPointer { target in
        input.values.withUnsafeBufferPointer { source in
          guard let into = target.baseAddress, let from = source.baseAddress else { return }
          panels.multiply(from + row * inputs, rows: count, into: into + row * outputs, stride: outputs)
        }
      }
    }
    result += bias
    return result
  }
}
