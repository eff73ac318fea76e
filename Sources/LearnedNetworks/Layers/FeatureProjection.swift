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
    var result = FloatRows(
      rows: rows.count, columns: outputs, values: Array(repeating: 0, count: rows.count * outputs))
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

  /// The same in float64.
  ///
  /// - Parameter rows: which rows of `features`, in order.
  /// - Complexity: O(rows x inputs x outputs).
  func callAsFunction(
    _ features: Matrix, rows: [Int], _ steps: inout StepCounter
  ) throws(PruningError) -> Activations {
    precondition(features.columns == layer.inputs)
    var result = Activations(zeros: rows.count, layer.outputs)
    for start in stride(from: 0, to: rows.count, by: LinearLayer.groupSize) {
      let group = rows[start..<min(start + LinearLayer.groupSize, rows.count)]
      try steps.spend(group.count * (norm.cost + layer.cost))
      var normalized: [Double] = []
      normalized.reserveCapacity(group.count * features.columns)
      for row in group { for value in features.row(row) { normalized.append(Double(value)) } }
      normalized.withUnsafeMutableBufferPointer { values in
        result.values.withUnsafeMutableBufferPointer { target in
          guard let from = values.baseAddress, let into = target.baseAddress else { return }
          for index in group.indices { norm.normalize(from + (index - start) * norm.width) }
          layer.apply(to: from, rows: group.count, into: into + start * layer.outputs)
        }
      }
    }
    return result
  }

  /// - Throws: at the tensor, when that many rows of this width are more than ``Activations/maximumCount``.
  func checkSize(rows: Int, of name: String, width: Int) throws(PruningError) {
    guard rows <= Activations.maximumCount / width else {
      throw PruningError(
        at: name,
        "\(rows) rows are more than a model of width \(width) takes: \(Activations.maximumCount / width)")
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
