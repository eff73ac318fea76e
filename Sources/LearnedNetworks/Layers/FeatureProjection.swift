import PruningNumerics

/// Features of a tower brought to the width of a network: W norm(x) + b, norm over the tower's own width.
///
/// Normalised first, because towers differ in scale by orders of magnitude.
struct FeatureProjection: Sendable, Equatable {
  let norm: LayerNorm
  let layer: LinearLayer

  /// The projected rows of `features`, [rows.count, outputs].
  ///
  /// - Parameter rows: which rows of `features`, in order.
  /// - Complexity: O(rows x inputs x outputs).
  func projected(
    _ features: Matrix, rows: [Int], _ steps: inout StepCounter
  ) throws(PruningError) -> FloatRows {
    precondition(features.columns == layer.inputs)
    let (inputs, outputs) = (layer.inputs, layer.outputs)
    var result = FloatRows(zeros: rows.count, outputs)
    var normalized = [Float](repeating: 0, count: min(FloatRows.groupSize, rows.count) * inputs)
    for start in stride(from: 0, to: rows.count, by: FloatRows.groupSize) {
      let group = rows[start..<min(start + FloatRows.groupSize, rows.count)]
      try steps.spend(group.count * (norm.cost + layer.panels.cost))
      normalized.withUnsafeMutableBufferPointer { between in
        features.values.withUnsafeBufferPointer { source in
          result.values.withUnsafeMutableBufferPointer { target in
            guard let from = source.baseAddress, let between = between.baseAddress,
              let into = target.baseAddress
            else { return }
            for (slot, row) in group.enumerated() {
              norm.normalize(from + row * inputs, into: between + slot * inputs)
            }
            layer.panels.multiply(between, rows: group.count, into: into + start * outputs, stride: outputs)
          }
        }
      }
    }
    result += layer.bias
    return result
  }

  /// - Throws: at the tensor, when that many rows of this width are more than ``FloatRows/maximumCount``.
  func checkSize(rows: Int, of name: String, width: Int) throws(PruningError) {
    guard rows <= FloatRows.maximumCount / width else {
      throw PruningError(
        at: name,
        "\(rows) rows are more than a model of width \(width) takes: \(FloatRows.maximumCount / width)")
    }
  }
}

extension ModelTensors {
  /// `<name>.norm` and `<name>.projection`.
  mutating func projection(_ name: String, from inputs: Int, to width: Int) throws(ModelError)
    -> FeatureProjection
  {
    FeatureProjection(
      norm: try norm("\(name).norm", width: inputs),
      layer: try linear("\(name).projection", inputs: inputs, outputs: width))
  }
}
