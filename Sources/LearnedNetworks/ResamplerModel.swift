import Kernels
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
    package let features: [Double]
    /// One row index per token of the part; ties to the lower row.
    package let strongest: [Int]
  }

  /// Computed in float32; where a sum exceeds that, in float64.
  ///
  /// - Precondition: 1 <= count <= `queryCount`; tokens is not empty; features has `imageWidth` columns.
  /// - Throws: when it is more work, or more memory, than one request may ask for.
  /// - Complexity: O(n d (D + d) + count n (d + D)).
  package func rows(
    _ count: Int, of part: Part, _ tokens: [Int], _ features: Matrix, in layout: TokenLayout,
    _ steps: inout StepCounter
  ) throws(PruningError) -> Rows {
    precondition((1...queryCount).contains(count) && !tokens.isEmpty && features.columns == imageWidth)
    try image.checkSize(rows: tokens.count, of: "image_features", width: width)
    try image.checkSize(rows: count, of: "image_features", width: imageWidth)
    if let rows = try fastRows(count, of: part, tokens, features, in: layout, &steps) { return rows }
    return try preciseRows(count, of: part, tokens, features, in: layout, &steps)
  }

  /// The first `count` queries of a part.
  private func queries(_ count: Int, of part: Part) -> Matrix {
    let learned = part == .region ? regionQueries : backgroundQueries
    return Matrix(rows: count, columns: width, values: Array(learned.values.prefix(count * width)))
  }

  /// nil where a number went beyond float32.
  private func fastRows(
    _ count: Int, of part: Part, _ tokens: [Int], _ features: Matrix, in layout: TokenLayout,
    _ steps: inout StepCounter
  ) throws(PruningError) -> Rows? {
    let projected = try image.projected(features, rows: tokens, &steps)
    let learned = queries(count, of: part)
    let context = try attention.context(
      of: FloatRows(rows: count, columns: width, values: learned.values), from: projected,
      positions: position.rows(for: tokens, in: layout), withWeights: true, &steps)
    guard let weights = context.meanWeights, !weights.hasOverflowed else { return nil }
    let own = Self.gathered(tokens, of: features)
    let panels = FloatRows(rows: own.rows, columns: own.columns, values: own.values).columnPanels(
      0, imageWidth)
    try steps.spend(count * (panels.cost + tokens.count) + tokens.count * imageWidth)
    var rows = panels(weights)
    rows += try attention.output(context.rows, &steps)
    guard !rows.hasOverflowed else { return nil }
    var largest = [Float](repeating: -1, count: tokens.count)
    var strongest = [Int](repeating: 0, count: tokens.count)
    weights.withRows { row, shares in
      for index in tokens.indices where shares[index] > largest[index] {
        largest[index] = shares[index]
        strongest[index] = row
      }
    }
    return Rows(features: rows.values.map { Double($0) }, strongest: strongest)
  }

  // MARK: In float64

  /// The reference of ``rows(_:of:_:_:in:_:)``.
  func preciseRows(
    _ count: Int, of part: Part, _ tokens: [Int], _ features: Matrix, in layout: TokenLayout,
    _ steps: inout StepCounter
  ) throws(PruningError) -> Rows {
    let projected = try image(features, rows: tokens, &steps)
    let memory = try attention.memory(
      of: projected, positions: position.activations(for: tokens, in: layout), &steps)
    let queries = try attention.queries(Activations(queries(count, of: part)), &steps)

    let part = Self.gathered(tokens, of: features)
    var context = Activations(zeros: count, width)
    var residual = Activations(zeros: count, imageWidth)
    var weights = [Double](repeating: 0, count: tokens.count)
    var group: [Double] = []
    group.reserveCapacity(LinearLayer.groupSize * tokens.count)
    var largest = [Double](repeating: -1, count: tokens.count)
    var strongest = [Int](repeating: 0, count: tokens.count)
    for row in 0..<count {
      try steps.spend(attention.cost(of: memory) + tokens.count * (4 + imageWidth / 2))
      attention.attend(row, of: queries, to: memory, meanWeights: &weights, into: &context)
      for index in tokens.indices where weights[index] > largest[index] {
        largest[index] = weights[index]
        strongest[index] = row
      }
      group.append(contentsOf: weights)
      guard row + 1 == count || group.count == LinearLayer.groupSize * tokens.count else { continue }
      Self.addMeans(of: part, by: group, to: &residual, endingWith: row)
      group.removeAll(keepingCapacity: true)
    }
    var rows = try attention.output(context, &steps)
    rows += residual
    return Rows(features: rows.values, strongest: strongest)
  }

  /// The rows of a part, [tokens.count, D].
  private static func gathered(_ tokens: [Int], of features: Matrix) -> Matrix {
    guard !tokens.elementsEqual(0..<features.rows) else { return features }
    var values: [Float] = []
    values.reserveCapacity(tokens.count * features.columns)
    for token in tokens { values.append(contentsOf: features.row(token)) }
    return Matrix(rows: tokens.count, columns: features.columns, values: values)
  }

  /// How many tokens' features are added at a time: that many streams of memory, and so many pages.
  private static let tokenBlock = 64

  /// Adds the features, weighted by each row of `weights` [rows, tokens], to the rows of `sums` up to `last`.
  ///
  /// - Complexity: O(rows x tokens x D); features are read once for all rows.
  private static func addMeans(
    of features: Matrix, by weights: [Double], to sums: inout Activations, endingWith last: Int
  ) {
    let rows = weights.count / features.rows
    let width = features.columns
    sums.values.withUnsafeMutableBufferPointer { target in
      weights.withUnsafeBufferPointer { left in
        features.values.withUnsafeBufferPointer { source in
          guard let base = target.baseAddress, let left = left.baseAddress, let from = source.baseAddress
          else { return }
          for token in stride(from: 0, to: features.rows, by: tokenBlock) {
            KernelSet.active.addWideProducts(
              left + token, features.rows, rows, from + token * width, width,
              min(tokenBlock, features.rows - token), base + (last + 1 - rows) * width, width, width)
          }
        }
      }
    }
  }
}
