/// y = W2 gelu(W1 norm(x)) with biases: the two-layer perceptron of a transformer block, pre-normalised.
struct FeedForward: Sendable, Equatable {
  let norm: LayerNorm
  let hidden: LinearLayer
  let output: LinearLayer

  /// What the block adds to each row, [rows, outputs].
  ///
  /// A few rows at a time, because the hidden layer is the widest and need not be kept.
  func callAsFunction(_ input: Activations, _ steps: inout StepCounter) throws(PruningError) -> Activations {
    var result = Activations(zeros: input.rows, output.outputs)
    let group = LinearLayer.groupSize
    var middle = [Double](repeating: 0, count: group * hidden.outputs)
    let cost = norm.cost + hidden.cost + Self.activationCost * hidden.outputs + output.cost
    for row in stride(from: 0, to: input.rows, by: group) {
      let count = min(group, input.rows - row)
      try steps.spend(count * cost)
      var normalized = Array(input.values[(row * input.columns)..<((row + count) * input.columns)])
      normalized.withUnsafeMutableBufferPointer { values in
        guard let base = values.baseAddress else { return }
        for index in 0..<count { norm.normalize(base + index * norm.width) }
        middle.withUnsafeMutableBufferPointer { between in
          guard let between = between.baseAddress else { return }
          hidden.apply(to: base, rows: count, into: between)
          for index in 0..<(count * hidden.outputs) { between[index] = Self.gelu(between[index]) }
          result.values.withUnsafeMutableBufferPointer { target in
            guard let into = target.baseAddress else { return }
            output.apply(to: between, rows: count, into: into + row * output.outputs)
          }
        }
      }
    }
    return result
  }

  private static let activationCost = 30

  /// The Gaussian error linear unit by its tanh formula (Hendrycks and Gimpel, arXiv 1606.08415, section 2):
  /// x / 2 (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), here as x sigmoid(2 u), which is the same and
  /// loses no digits where tanh is near -1.
  static func gelu(_ x: Double) -> Double {
    x * sigmoid(2 * 0.7978845608028654 * (x + 0.044715 * x * x * x))
  }
}

/// 1 / (1 + e^-x), which no input overflows.
func sigmoid(_ x: Double) -> Double {
  guard x < 0 else { return 1 / (1 + exponential(-x)) }
  let power = exponential(x)
  return power / (1 + power)
}
