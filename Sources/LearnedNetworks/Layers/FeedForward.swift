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
    let cost = norm.cost + hidden.panels.cost + Self.activationCost * hidden.outputs + output.panels.cost
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

  private static let activationCost = 3
}

/// 1 / (1 + e^-x), which no input overflows.
func sigmoid(_ x: Double) -> Double {
  guard x < 0 else { return 1 / (1 + exponential(-x)) }
  let power = exponential(x)
  return power / (1 + power)
}
