import Kernels
import PruningNumerics

/// y = W2 gelu(W1 norm(x)) with biases: the two-layer perceptron of a transformer block, pre-normalised.
struct FeedForward: Sendable, Equatable {
  let norm: LayerNorm
  let hidden: LinearLayer
  let output: LinearLayer

  /// Adds to each row what the block makes of it.
  ///
  /// - Complexity: O(rows x width x hidden).
  func add(to rows: inout FloatRows, _ steps: inout StepCounter) throws(PruningError) {
    let (columns, group) = (rows.columns, min(FloatRows.groupSize, rows.rows))
    let cost = norm.cost + hidden.panels.cost + Self.fastActivationCost * hidden.outputs + output.panels.cost
    var outer = [Float](repeating: 0, count: group * columns)
    var inner = [Float](repeating: 0, count: group * hidden.outputs)
    for start in stride(from: 0, to: rows.rows, by: FloatRows.groupSize) {
      let count = min(FloatRows.groupSize, rows.rows - start)
      try steps.spend(count * cost)
      rows.values.withUnsafeMutableBufferPointer { rows in
        outer.withUnsafeMutableBufferPointer { outer in
          inner.withUnsafeMutableBufferPointer { inner in
            guard let base = rows.baseAddress, let outer = outer.baseAddress, let inner = inner.baseAddress
            else { return }
            add(to: base + start * columns, count, outer, inner)
          }
        }
      }
    }
  }

  /// - Parameters:
  ///   - outer: room for the rows.
  ///   - inner: room for as many rows of the hidden width.
  private func add(
    to rows: UnsafeMutablePointer<Float>, _ count: Int, _ outer: UnsafeMutablePointer<Float>,
    _ inner: UnsafeMutablePointer<Float>
  ) {
    let (columns, width) = (norm.width, hidden.outputs)
    for row in 0..<count { norm.normalize(rows + row * columns, into: outer + row * columns) }
    hidden.panels.multiply(outer, rows: count, into: inner, stride: width)
    hidden.bias.withUnsafeBufferPointer { bias in
      guard let bias = bias.baseAddress else { return }
      for row in 0..<count { KernelSet.active.networks.addGELU(inner + row * width, bias, width) }
    }
    output.panels.multiply(inner, rows: count, into: outer, stride: columns)
    for index in 0..<count * columns { rows[index] += outer[index] }
    for row in 0..<count { FloatRows.addRow(output.bias, to: rows + row * columns) }
  }

  private static let fastActivationCost = 3

  // MARK: In float64

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
