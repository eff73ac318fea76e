package import PruningNumerics
package import VisionLayouts

/// Learned queries that read the tokens of one part and become rows of the answer.
///
/// With Q queries per part, features f [n, D] of the part, W, b linear layers and LN layer norms:
///
///     z = W_i LN(f) + b_i
///     a, o = attention of the first r queries to z (keys with position, ``CrossAttention``), output width D
///     row = o + sum over tokens of mean-over-heads(a) f
///
/// The second term is the residual path: with an output layer of zeros a row is a weighted mean of the tokens it
/// attends to, so training starts from soft pooling and rows stay in the space of the features.
///
/// The first r of the queries are taken where fewer rows are needed; a model should be trained with random
/// prefixes for that (as Matryoshka Query Transformer, arXiv 2405.19315).
///
/// *Deviations*: the paper states learnable queries, two ratios, retained anchors and a residual connection; the
/// equations, the one layer of attention, which weights the parts share (all but the queries) and the form of the
/// residual are this project's.
package struct ResamplerModel: Sendable, Equatable {
  /// Which of the two sets of queries reads a part.
  package enum Part: Sendable { case region, background }

  package let imageWidth: Int
  /// Q.
  package let queryCount: Int
  let width: Int
  private let position: PositionEncoding
  private let image: FeatureProjection
  private let regionQueries: Matrix
  private let backgroundQueries: Matrix
  private let attention: CrossAttention

  init(_ configuration: ModelConfiguration, _ tensors: inout ModelTensors) throws(ModelError) {
    imageWidth = configuration.imageWidth
    queryCount = configuration.queries
    width = configuration.width
    position = PositionEncoding(width: width)
    image = try tensors.projection("image", from: imageWidth, to: width)
    regionQueries = try tensors.matrix("region.queries", rows: queryCount, columns: width)
    backgroundQueries = try tensors.matrix("background.queries", rows: queryCount, columns: width)
    attention = try tensors.attention(
      "attention", width: width, heads: configuration.heads, outputs: imageWidth)
  }

  /// Rows made of one part, and the row that each of its tokens is attended to most by.
  package struct Rows: Sendable, Equatable {
    /// [count, D].
    package let features: [Float]
    /// One row index per token of the part; ties to the lower row.
    package let strongest: [Int]
  }

  /// - Precondition: 1 <= count <= `queryCount`; tokens is not empty; features has `imageWidth` columns.
  /// - Throws: when it is more work, or more memory, than one request may ask for, or where a number exceeds float32.
  /// - Complexity: O(n d (D + d) + count n (d + D)).
  package func rows(
    _ count: Int, of part: Part, _ tokens: [Int], _ features: Matrix, in layout: TokenLayout,
    _ steps: inout StepCounter
  ) throws(PruningError) -> Rows {
    precondition((1...queryCount).contains(count) && !tokens.isEmpty && features.columns == imageWidth)
    try image.checkSize(rows: tokens.count, of: "image_features", width: width)
    try image.checkSize(rows: count, of: "image_features", width: imageWidth)
    let projected = try image.projected(features, rows: tokens, &steps)
    let learned = part == .region ? regionQueries : backgroundQueries
    let context = try attention.context(
      of: FloatRows(rows: count, columns: width, values: Array(learned.values.prefix(count * width))),
      from: projected,
      positions: position.rows(for: tokens, in: layout), withWeights: true, &steps)
    guard let weights = context.meanWeights else { preconditionFailure("the weights were asked for") }
    let own = tokens.elementsEqual(0..<features.rows) ? features : features.gathered(tokens)
    let panels = FloatRows(rows: own.rows, columns: own.columns, values: own.values).columnPanels(
      0, imageWidth)
    try steps.spend(count * (panels.cost + tokens.count) + tokens.count * imageWidth)
    var rows = panels(weights)
    rows += try attention.output(context.rows, &steps)
    for result in [weights, rows] { try result.refuseOverflow() }
    var largest = [Float](repeating: -1, count: tokens.count)
    var strongest = [Int](repeating: 0, count: tokens.count)
    weights.withRows { row, shares in
      for index in tokens.indices where shares[index] > largest[index] {
        largest[index] = shares[index]
        strongest[index] = row
      }
    }
    return Rows(features: rows.values, strongest: strongest)
  }
}
