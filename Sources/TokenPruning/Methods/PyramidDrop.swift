import JSON
import PruningNumerics
import Tensors

/// PyramidDrop drops tokens at the boundaries of a few stages of the LLM, ranked by the last prompt token.
///
/// score[i] = mean over heads of the attention of the last prompt token to i in the layer that follows. Where that is
/// not at hand it is computed from the hidden states that enter the layer: RMSNorm, query of the last token, keys of
/// all, rotary positions 0, 1, ..., softmax over the whole sequence.
struct PyramidDrop: ScoringMethod {
  static let descriptor = MethodDescriptor(
    name: "pyramiddrop",
    summary: "Drops tokens in stages, ranked by the last prompt token's attention in the layer that follows.",
    paper: "Xing et al., CVPR 2025, arXiv 2410.17247",
    alternativeInputs: ["attention", "hidden_states"],
    optionalInputs: [
      "attention", "hidden_states", "norm_weight", "query_weight", "key_weight", "query_bias", "key_bias",
    ],
    parameters: [
      .init("heads", .integer(1...1024), default: 32, "heads of query_weight"),
      .init(
        "kv_heads", .integer(1...1024), default: nil,
        "heads of key_weight, a divisor of `heads` (grouped-query attention); absent: follows from its rows"),
      .init(
        "image_start", .integer(0...(1 << 28)), default: 0,
        "row of hidden_states that holds the first visual token; those of all images follow each other"),
      .init("rope_base", .number(1...1e12), default: 10_000, "the base of the frequencies"),
      .init("epsilon", .number(0...1), default: 1e-6, "of the RMSNorm"),
    ],
    deviations: [
      "The caller chooses the counts, in `stages`; the authors' are available by name.",
      "Either `attention`, of which the last query row is taken, or `hidden_states` with the layer's weights (and"
        + " biases, where it has any) must be given; hidden states are those of one stage, so each stage is a request of its own.",
      "The keys of a whole sequence of a large model are more work than one request may do: send `attention`.",
      "The sequence ends with the last prompt token: the caller cuts off padding.",
    ],
    schedules: [
      PublishedSchedule("published", layers: [8, 16, 24], keepRatios: [0.5, 0.25, 0.125])
    ], properties: [.nested, .orderEquivariant],
    facts: MethodFacts(
      .languageModel, isQuestionAware: true, cost: "O(H N) or O(S D^2)",
      reported: ["55 % fewer FLOPs at inference on LLaVA-NeXT at comparable accuracy": "arXiv 2410.17247"],
      automatic: AutomaticUse(
        .languageModel, ["hidden_states", "norm_weight", "query_weight", "key_weight"],
        "recomputes the one row of attention that it needs from hidden states and weights")))

  private let heads: Int
  private let keyHeads: Int?
  private let imageStart: Int
  private let base: Double
  private let epsilon: Double
  /// Parameters that the request changes, which attention has no use for.
  private let changed: [String]

  init(_ parameters: Parameters) throws(PruningError) {
    changed = Self.descriptor.parameters.map(\.name).filter(parameters.isChanged)
    heads = parameters.integer("heads")
    keyHeads = parameters.optionalInteger("kv_heads")
    if let keyHeads, heads % keyHeads != 0 {
      throw PruningError(
        at: "/method_parameters/kv_heads", "must divide the \(heads) heads of the queries, not \(keyHeads)")
    }
    imageStart = parameters.integer("image_start")
    base = parameters.number("rope_base")
    epsilon = parameters.number("epsilon")
  }

  func scores(of input: PruningInput) throws(PruningError) -> [Double] {
    guard input.tensors["attention"] == nil, input.tensors["hidden_states"] != nil else {
      if let name = changed.first {
        throw PruningError(
          at: "/method_parameters/\(name)",
          "only applies to hidden_states; the request gives attention, or neither")
      }
      return try input.attentionScores(queries: .last)
    }
    let states = try rows("hidden_states", of: input, columns: nil)
    let (start, overflows) = imageStart.addingReportingOverflow(input.firstToken)
    let (end, overflow) = start.addingReportingOverflow(input.tokenCount)
    guard !overflow, !overflows, end <= states.rows else {
      throw PruningError(
        at: "hidden_states", "has \(states.rows) rows, but the image's \(input.tokenCount) start at \(start)")
    }
    let (query, key) = try projections(of: input, columns: states.columns)
    // One logit for each row and head; of a model's own states they are far fewer than the states' numbers.
    let (count, isLarge) = states.rows.multipliedReportingOverflow(by: heads)
    guard !isLarge, count <= max(states.rows * states.columns, 1 << 20) else {
      throw PruningError(
        at: "hidden_states",
        "has \(states.rows) rows of \(states.columns) numbers, too few for \(heads) heads (method parameter `heads`)"
      )
    }
    let normed = try normed(states, of: input)
    let logits = try logits(query.vectors(normed.last ?? [], states.rows - 1), normed, key, input.stepLimit)
    var scores = [Double](repeating: 0, count: input.tokenCount)
    for row in logits {
      guard row.allSatisfy(\.isFinite) else {
        throw PruningError(at: "hidden_states", "the product of query and keys overflows")
      }
      let shares = softmax(row)
      for token in scores.indices { scores[token] += shares[start + token] / Double(heads) }
    }
    return scores
  }

  func otherSteps(on input: PruningInput) -> Double {
    guard input.tensors["attention"] == nil, let states = input.tensors["hidden_states"], states.rank == 2,
      let key = input.tensors["key_weight"], key.rank == 2
    else { return 0 }
    let products = key.shape[0] * (60 + StepCounter.exactComparison(columns: states.shape[1]))
    let logits = heads * (30 + StepCounter.plainComparison(columns: key.shape[0]))
    return Double(states.shape[0]) * (Double(products) + Double(logits))
  }

  /// The two projections [heads d, D] and [kv_heads d, D] with their biases, where there are any.
  private func projections(
    of input: PruningInput, columns: Int
  ) throws(PruningError) -> (query: LayerProjection, key: LayerProjection) {
    let query = try rows("query_weight", of: input, columns: columns)
    let key = try rows("key_weight", of: input, columns: columns)
    guard query.rows % heads == 0, query.rows / heads % 2 == 0 else {
      throw PruningError(
        at: "query_weight",
        "has \(query.rows) rows; expected an even number for each of the \(heads) heads (method parameter `heads`)"
      )
    }
    let width = query.rows / heads
    let keyHeads = keyHeads ?? key.rows / width
    guard keyHeads > 0, key.rows == keyHeads * width, heads % keyHeads == 0 else {
      throw PruningError(
        at: "key_weight",
        "has \(key.rows) rows; expected \(width), as each of the \(heads) heads of query_weight has, times a number "
          + "of heads that divides \(heads)" + (self.keyHeads.map { ", here `kv_heads` \($0)" } ?? ""))
    }
    return (
      LayerProjection(
        weights: query, bias: try bias("query_bias", of: input, count: query.rows), heads: heads, base: base),
      LayerProjection(
        weights: key, bias: try bias("key_bias", of: input, count: key.rows), heads: keyHeads, base: base)
    )
  }

  private func bias(_ name: String, of input: PruningInput, count: Int) throws(PruningError) -> [Double]? {
    guard let tensor = input.tensors[name] else { return nil }
    guard tensor.shape.dimensions == [count] else {
      throw PruningError(
        at: name, "shape must be [\(count)], one for each row of its weight, not \(tensor.shape)")
    }
    try input.requireFinite(tensor, named: name)
    return tensor.doubles()
  }

  /// q_h . k_g / sqrt(d) of every row, by head h of the queries, which reads head g = h / (heads / kv_heads) of the keys.
  private func logits(
    _ query: [[Double]], _ normed: [[Double]], _ key: LayerProjection, _ stepLimit: StepLimit
  ) throws(PruningError) -> [[Double]] {
    var steps = StepCounter(limit: stepLimit)
    var logits = [[Double]](repeating: [], count: heads)
    for (position, row) in normed.enumerated() {
      try steps.spend(
        key.weights.rows * (60 + StepCounter.exactComparison(columns: row.count))
          + heads * (30 + StepCounter.plainComparison(columns: key.weights.rows / key.heads)))
      let vectors = key.vectors(row, position)
      for head in 0..<heads {
        let vector = vectors[head / (heads / vectors.count)]
        let scale = 1 / Double(vector.count).squareRoot()
        logits[head].append(innerProduct(query[head], vector) * scale)
      }
    }
    return logits
  }

  /// x / sqrt(mean of x^2 + epsilon) times the weights.
  private func normed(_ states: Matrix, of input: PruningInput) throws(PruningError) -> [[Double]] {
    let tensor = try input.tensor("norm_weight")
    guard tensor.shape.dimensions == [states.columns] else {
      throw PruningError(at: "norm_weight", "shape must be [\(states.columns)], not \(tensor.shape)")
    }
    try input.requireFinite(tensor, named: "norm_weight")
    let weights = tensor.doubles()
    return (0..<states.rows).map { index in
      let row = states.row(index).map { Double($0) }
      let meanSquare = row.reduce(0) { $0 + $1 * $1 } / Double(row.count)
      let length = (meanSquare + epsilon).squareRoot()
      return zip(row, weights).map { length > 0 ? $0 / length * $1 : 0 }
    }
  }

  private func rows(
    _ name: String, of input: PruningInput, columns: Int?
  ) throws(PruningError) -> Matrix {
    let tensor = try input.tensor(name)
    guard tensor.rank == 2, tensor.elementCount > 0, columns == nil || tensor.shape[1] == columns else {
      throw PruningError(
        at: name, "shape must be [rows, \(columns.map(String.init) ?? "D")], not \(tensor.shape)")
    }
    try input.requireFinite(tensor, named: name)
    return Matrix(rows: tensor.shape[0], columns: tensor.shape[1], values: tensor.floats())
  }
}

/// One projection of an attention layer [heads d, D], with rotary positions.
private struct LayerProjection {
  let weights: Matrix
  /// [heads d].
  let bias: [Double]?
  let heads: Int
  let rotation: RotaryFrequencies

  init(weights: Matrix, bias: [Double]?, heads: Int, base: Double) {
    self.weights = weights
    self.bias = bias
    self.heads = heads
    rotation = RotaryFrequencies(width: weights.rows / heads, base: base)
  }

  /// The vector of each head for one hidden state at one position.
  func vectors(_ state: [Double], _ position: Int) -> [[Double]] {
    let width = weights.rows / heads
    let products = (0..<weights.rows).map { weights.product(of: $0, with: state) + (bias?[$0] ?? 0) }
    return (0..<heads).map { head in
      rotation.rotated(Array(products[(head * width)..<((head + 1) * width)]), to: position)
    }
  }
}
