import VisionLayouts

@testable import LearnedNetworks
@testable import PruningNumerics

/// The layers by their equations, one row after the other, in float64.
enum Reference {
  typealias Rows = [[Double]]

  static func rows(_ rows: FloatRows) -> Rows { (0..<rows.rows).map { rows.row($0).map { Double($0) } } }

  static func apply(_ layer: LinearLayer, to rows: Rows) -> Rows {
    let weights = (0..<layer.outputs).map { output in
      (0..<layer.inputs).map { Double(layer.weight(output: output, input: $0)) }
    }
    return rows.map { row in
      zip(weights, layer.bias).map { weights, bias in Double(bias) + product(weights[...], row[...]) }
    }
  }

  static func apply(_ norm: LayerNorm, to rows: Rows) -> Rows {
    rows.map { row in
      let mean = row.reduce(0, +) / Double(row.count)
      let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(row.count)
      let deviation = (variance + LayerNorm.epsilon).squareRoot()
      return row.indices.map { (row[$0] - mean) / deviation * Double(norm.gain[$0]) + Double(norm.bias[$0]) }
    }
  }

  /// What each reader finds, before the last layer, and its attention to each row of the source, mean over heads.
  static func context(
    _ layer: CrossAttention, of readers: Rows, from source: Rows, positions: Rows? = nil
  ) -> (rows: Rows, weights: Rows) {
    let queries = apply(layer.query, to: apply(layer.queryNorm, to: readers))
    let normalized = apply(layer.keyNorm, to: source)
    let keys = apply(layer.key, to: positions.map { sum(normalized, $0) } ?? normalized)
    let values = apply(layer.value, to: normalized)
    let width = layer.width / layer.heads
    var weights = readers.map { _ in source.map { _ in 0.0 } }
    let rows = queries.enumerated().map { reader, query in
      (0..<layer.heads).flatMap { head -> [Double] in
        let columns = head * width..<(head + 1) * width
        let shares = softmax(
          keys.map { key in product(query[columns], key[columns]) / Double(width).squareRoot() })
        for (index, share) in shares.enumerated() { weights[reader][index] += share / Double(layer.heads) }
        return columns.map { column in zip(shares, values).reduce(0) { $0 + $1.0 * $1.1[column] } }
      }
    }
    return (rows, weights)
  }

  static func apply(_ layer: CrossAttention, to readers: Rows, reading source: Rows) -> Rows {
    apply(layer.output, to: context(layer, of: readers, from: source).rows)
  }

  /// What a perceptron adds to each row.
  static func apply(_ block: FeedForward, to rows: Rows) -> Rows {
    let hidden = apply(block.hidden, to: apply(block.norm, to: rows))
    return apply(block.output, to: hidden.map { $0.map(gelu) })
  }

  /// The probability of each of the tokens, all of which show some of the image.
  static func scores(_ model: LocalizerModel, _ features: Matrix, _ question: Matrix, _ layout: TokenLayout)
    -> [Double]
  {
    func projected(_ projection: FeatureProjection, _ features: Matrix) -> Rows {
      let rows = FloatRows(rows: features.rows, columns: features.columns, values: features.values)
      return apply(projection.layer, to: apply(projection.norm, to: Self.rows(rows)))
    }
    let places = model.position.rows(for: Array(0..<features.rows), in: layout)
    var patches = sum(projected(model.image, features), rows(places))
    var words = [model.nullRow.map { Double($0) }] + projected(model.text, question)
    for block in model.blocks {
      words = sum(words, apply(block.gather, to: words, reading: patches))
      patches = sum(patches, apply(block.attend, to: patches, reading: words))
      patches = sum(patches, apply(block.perceptron, to: patches))
    }
    let mean = (0..<model.width).map { column in
      words.dropFirst().reduce(0) { $0 + $1[column] } / Double(words.count - 1)
    }
    let direction = apply(model.textHead, to: apply(model.textNorm, to: [mean]))[0]
    let normalized = apply(model.imageNorm, to: patches)
    let own = apply(model.scoreHead, to: normalized)
    return zip(apply(model.imageHead, to: normalized), own).map {
      sigmoid(product($0[...], direction[...]) / Double(model.width).squareRoot() + $1[0])
    }
  }

  /// The Gaussian error linear unit by its tanh formula (Hendrycks and Gimpel, arXiv 1606.08415, section 2).
  static func gelu(_ x: Double) -> Double {
    x * sigmoid(2 * 0.7978845608028654 * (x + 0.044715 * x * x * x))
  }

  static func sum(_ a: Rows, _ b: Rows) -> Rows { zip(a, b).map { zip($0, $1).map { $0 + $1 } } }

  private static func product(_ a: ArraySlice<Double>, _ b: ArraySlice<Double>) -> Double {
    var sum = 0.0
    for (a, b) in zip(a, b) { sum += a * b }
    return sum
  }
}
