import Kernels

/// y = W x + b, W [outputs, inputs] and b [outputs].
struct LinearLayer: Sendable, Equatable {
  let weight: Matrix
  let bias: [Float]

  var inputs: Int { weight.columns }
  var outputs: Int { weight.rows }

  /// - Precondition: `bias` has one element per row of `weight`.
  init(weight: Matrix, bias: [Float]) {
    precondition(bias.count == weight.rows)
    self.weight = weight
    self.bias = bias
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
  static let groupSize = 4

  /// The layer on 1...``groupSize`` rows that lie behind each other.
  ///
  /// A row's result is the same in whatever group it comes: the places of a group that is not full repeat its last
  /// row.
  func apply(to input: UnsafePointer<Double>, rows: Int, into output: UnsafeMutablePointer<Double>) {
    precondition((1...Self.groupSize).contains(rows))
    weight.values.withUnsafeBufferPointer { weights in
      guard let base = weights.baseAddress else { return }
      let dots = KernelSet.active.widenedDotFour
      func row(_ index: Int) -> UnsafePointer<Double> { input + min(index, rows - 1) * inputs }
      let sources = (row(0), row(1), row(2), row(3))
      for index in 0..<outputs {
        let sums = dots(base + index * inputs, sources.0, sources.1, sources.2, sources.3, inputs)
        for row in 0..<rows { output[row * outputs + index] = sums[row] + Double(bias[index]) }
      }
    }
  }

  /// Steps of one row.
  var cost: Int { outputs * StepCounter.exactComparison(columns: inputs) }
}
