import Kernels
package import PruningNumerics
package import VisionLayouts

/// A small network that says how likely each visual token belongs to the region of the question.
///
/// Patches p [n, d] and question tokens t [M, d] read each other in L blocks; a token's score is a bilinear match
/// with the question plus a term of its own. With W, b linear layers, LN layer norms, A ``CrossAttention``:
///
///     p = W_i LN(image_features) + b_i + position        t = W_t LN(text_features) + b_t, and a learned row t_0
///     in each block:  t += A_gather(t, p)                the question, null row included, reads the image
///                     p += A_attend(p, t)                the patches read the question or the null row
///                     p += perceptron(p)
///     score = sigmoid(U LN(p) . V LN(mean of t without t_0) / sqrt(d) + w . LN(p) + c)
///
/// The null row lets a patch read nothing, which attention to a single text row could not express. Tokens that
/// show nothing of the image (padding, separators) take no part and score 0.
///
/// *Deviations*: the paper's localizer is a fine-tuned vision-language model of two billion parameters that says
/// four block coordinates; this network is the project's own and gives scores, from which the region is found as
/// from every other source.
package struct LocalizerModel: Sendable, Equatable {
  struct Block: Sendable, Equatable {
    let gather: CrossAttention
    let attend: CrossAttention
    let perceptron: FeedForward
  }

  let width: Int
  let imageWidth: Int
  let textWidth: Int
  let heads: Int
  let hiddenWidth: Int
  let position: PositionEncoding
  let image: FeatureProjection
  let text: FeatureProjection
  let nullRow: [Float]
  let blocks: [Block]
  let imageNorm: LayerNorm
  let textNorm: LayerNorm
  let imageHead: LinearLayer
  let textHead: LinearLayer
  let scoreHead: LinearLayer
  private let transposedImageHead: FloatPanels

  /// - Throws: at the first tensor that is missing, of another shape or type, or not finite.
  init(_ configuration: ModelConfiguration, _ tensors: inout ModelTensors) throws(ModelError) {
    width = configuration.width
    imageWidth = configuration.imageWidth
    textWidth = configuration.textWidth
    heads = configuration.heads
    hiddenWidth = configuration.hiddenWidth
    position = PositionEncoding(width: width)
    image = try tensors.projection("image", from: imageWidth, to: width)
    text = try tensors.projection("text", from: textWidth, to: width)
    nullRow = try tensors.take("text.null", [width])
    var blocks: [Block] = []
    for layer in 0..<configuration.layers {
      let name = "blocks.\(layer)"
      blocks.append(
        Block(
          gather: try tensors.attention("\(name).gather", width: width, heads: heads, outputs: width),
          attend: try tensors.attention("\(name).attend", width: width, heads: heads, outputs: width),
          perceptron: try tensors.feedForward(
            "\(name).mlp", width: width, hidden: configuration.hiddenWidth)))
    }
    self.blocks = blocks
    imageNorm = try tensors.norm("head.image_norm", width: width)
    textNorm = try tensors.norm("head.text_norm", width: width)
    imageHead = try tensors.linear("head.image", inputs: width, outputs: width)
    textHead = try tensors.linear("head.text", inputs: width, outputs: width)
    scoreHead = try tensors.linear("head.score", inputs: width, outputs: 1)
    transposedImageHead = imageHead.transposedPanels()
  }

  /// One probability per token of the layout, [N], from the rows of `image_features` and `text_features`.
  ///
  /// - Throws: at the tensor whose width is not the model's, or that has too many rows; at `image_features` when
  ///   it is more work than one request may do, or where a number exceeds float32.
  /// - Complexity: O(N d (D + d) + layers (N d (d + hidden) + N M d)).
  package func scores(
    of features: Matrix, askedBy question: Matrix, in layout: TokenLayout, _ limit: StepLimit
  ) throws(PruningError) -> [Double] {
    var run = try Run(self, features, question, layout, limit)
    let logits = try logits(&run)
    var scores = [Double](repeating: 0, count: layout.tokenCount)
    for (token, logit) in zip(run.tokens, logits) { scores[token] = sigmoid(logit) }
    return scores
  }

  /// What one request gives a model to work on, checked.
  private struct Run {
    let features: Matrix
    let question: Matrix
    let layout: TokenLayout
    /// Those that show some of the image.
    let tokens: [Int]
    var steps: StepCounter

    init(
      _ model: LocalizerModel, _ features: Matrix, _ question: Matrix, _ layout: TokenLayout,
      _ limit: StepLimit
    ) throws(PruningError) {
      self.features = features
      self.question = question
      self.layout = layout
      try LocalizerModel.check(features, "image_features", "[N, D]", model.imageWidth)
      try LocalizerModel.check(question, "text_features", "[E] or [M, E]", model.textWidth)
      tokens = layout.tokens(in: [.unit])
      try model.image.checkSize(rows: tokens.count, of: "image_features", width: model.width)
      try model.text.checkSize(rows: question.rows + 1, of: "text_features", width: model.width)
      steps = StepCounter(limit: limit, work: "running this model on these tensors")
    }
  }

  /// One logit per token that takes part.
  private func logits(_ run: inout Run) throws(PruningError) -> [Double] {
    var patches = try image.projected(run.features, rows: run.tokens, &run.steps)
    patches += position.rows(for: run.tokens, in: run.layout)
    let words = try text.projected(run.question, rows: Array(0..<run.question.rows), &run.steps)
    var rows = FloatRows(rows: words.rows + 1, columns: width, values: nullRow + words.values)
    for block in blocks {
      rows += try block.gather(rows, to: patches, &run.steps)
      patches += try block.attend(patches, to: rows, &run.steps)
      try block.perceptron.add(to: &patches, &run.steps)
    }
    let head = try head(for: rows, &run.steps)
    let normalized = try imageNorm(patches, &run.steps)
    for result in [patches, rows, normalized] { try result.refuseOverflow() }
    guard head.direction.allSatisfy(\.isFinite) else { throw FloatRows.overflow }
    try run.steps.spend(patches.rows * width)
    return head.direction.withUnsafeBufferPointer { direction in
      var logits: [Double] = []
      logits.reserveCapacity(patches.rows)
      normalized.withRows { _, row in
        guard let direction = direction.baseAddress else { return }
        logits.append(KernelSet.active.preciseDot(row, direction, width) + head.offset)
      }
      return logits
    }
  }

  /// The two terms of a score as one product with the normalised patch p, since the head of the question c is the same for
  /// all patches: (U p + b) . c / sqrt(d) + w . p + a = (U^T c / sqrt(d) + w) . p + (b . c / sqrt(d) + a).
  private func head(
    for question: FloatRows, _ steps: inout StepCounter
  ) throws(PruningError) -> (direction: [Float], offset: Double) {
    var mean = FloatRows(zeros: 1, width)
    for row in 1..<question.rows {
      for column in 0..<width {
        mean.values[column] += question.values[row * width + column] / Float(question.rows - 1)
      }
    }
    let matched = try textHead(try textNorm(mean, &steps), &steps)
    try steps.spend(transposedImageHead.cost)
    let scale = 1 / Float(width).squareRoot()
    let turned = transposedImageHead(matched).values
    let direction = (0..<width).map { turned[$0] * scale + scoreHead.weight(output: 0, input: $0) }
    let offset = Double(matched.products(with: imageHead.bias)[0] * scale) + Double(scoreHead.bias[0])
    return (direction, offset)
  }

  private static func check(
    _ features: Matrix, _ name: String, _ form: String, _ width: Int
  ) throws(PruningError) {
    guard features.columns == width else {
      throw PruningError(
        at: name, "has rows of \(features.columns) numbers; this model reads \(form) with rows of \(width)")
    }
  }
}
