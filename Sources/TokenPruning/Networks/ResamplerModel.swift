import Kernels

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
struct ResamplerModel: Sendable, Equatable {
  /// Which of the two sets of queries reads a part.
  enum Part: Sendable { case region, background }

  let imageWidth: Int
  /// Q.
  let queryCount: Int
  private let width: Int
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
  struct Rows: Sendable, Equatable {
    /// [count, D].
    let features: Activations
    /// One row index per token of the part; ties to the lower row.
    let strongest: [Int]
  }

  /// - Precondition: 1 <= count <= `queryCount`; tokens is not empty; features has `imageWidth` columns.
  /// - Throws: when it is more work, or more memory, than one request may ask for.
  /// - Complexity: O(n d (D + d) + count n (d + D)).
  func rows(
    _ count: Int, of part: Part, _ tokens: [Int], _ features: Matrix, in layout: TokenLayout,
    _ steps: inout StepCounter
  ) throws(PruningError) -> Rows {
    precondition((1...queryCount).contains(count) && !tokens.isEmpty && features.columns == imageWidth)
    try image.checkSize(rows: tokens.count, of: "image_features", width: width)
    try image.checkSize(rows: count, of: "image_features", width: imageWidth)
    let projected = try image(features, rows: tokens, &steps)
    let memory = try attention.memory(
      of: projected, positions: position.rows(for: tokens, in: layout), &steps)
    let learned = part == .region ? regionQueries : backgroundQueries
    let first = Matrix(rows: count, columns: width, values: Array(learned.values.prefix(count * width)))
    let queries = try attention.queries(Activations(first), &steps)

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
    return Rows(features: rows, strongest: strongest)
  }

  /// The rows of a part, [tokens.count, D].
  private static func gathered(_ tokens: [Int], of features: Matrix) -> Matrix {
    guard !tokens.elementsEqual(0..<features.rows) else { return features }
    var values: [Float] = []
    values.reserveCapacity(tokens.count * features.columns)
    for token in tokens { values.append(contentsOf: features.row(token)) }
    return Matrix(rows: tokens.count, columns: features.columns, values: values)
  }

  /// How many tokens' features are added at a time: so many streams of memory, and so many pages.
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
