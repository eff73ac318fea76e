import PruningNumerics

/// Multi-head attention of one set of rows to another (Vaswani et al., arXiv 1706.03762, section 3.2), both
/// normalised first.
///
/// Of width d with h heads, head i reads columns i d/h ..< (i + 1) d/h of
///
///     q = Wq norm_q(x) + bq,   k = Wk (norm_k(y) + position) + bk,   v = Wv norm_k(y) + bv
///     a_i = softmax over y of (q_i . k_i / sqrt(d / h)),   result = Wo [a_1 v_1, ..., a_h v_h] + bo
struct CrossAttention: Sendable, Equatable {
  let heads: Int
  let queryNorm: LayerNorm
  let keyNorm: LayerNorm
  let query: LinearLayer
  let key: LinearLayer
  let value: LinearLayer
  let output: LinearLayer
  /// Weights that are applied to the other side of a product where that is less work.
  let transposedQuery: FloatPanels
  let transposedKey: FloatPanels

  init(
    heads: Int, queryNorm: LayerNorm, keyNorm: LayerNorm, query: LinearLayer, key: LinearLayer,
    value: LinearLayer,
    output: LinearLayer
  ) {
    self.heads = heads
    self.queryNorm = queryNorm
    self.keyNorm = keyNorm
    self.query = query
    self.key = key
    self.value = value
    self.output = output
    transposedQuery = query.transposedPanels()
    transposedKey = key.transposedPanels()
  }

  var width: Int { query.outputs }

  // MARK: In float64

  /// Keys and values of what is attended to, [rows, width] each.
  struct Memory: Sendable {
    let keys: Activations
    let values: Activations
  }

  func memory(
    of rows: Activations, positions: Activations? = nil, _ steps: inout StepCounter
  ) throws(PruningError) -> Memory {
    let normalized = try keyNorm(rows, &steps)
    var placed = normalized
    if let positions { placed += positions }
    return Memory(keys: try key(placed, &steps), values: try value(normalized, &steps))
  }

  func queries(_ rows: Activations, _ steps: inout StepCounter) throws(PruningError) -> Activations {
    try query(try queryNorm(rows, &steps), &steps)
  }

  /// What every row of `rows` reads from `source`, [rows, outputs of the last layer].
  ///
  /// - Complexity: O(rows x source rows x width) beside the projections.
  func callAsFunction(
    _ rows: Activations, to source: Activations, _ steps: inout StepCounter
  ) throws(PruningError) -> Activations {
    let memory = try memory(of: source, &steps)
    let queries = try queries(rows, &steps)
    var context = Activations(zeros: rows.rows, width)
    var weights = [Double](repeating: 0, count: source.rows)
    for row in 0..<rows.rows {
      try steps.spend(cost(of: memory))
      attend(row, of: queries, to: memory, meanWeights: &weights, into: &context)
    }
    return try output(context, &steps)
  }

  /// Steps of one row of queries.
  func cost(of memory: Memory) -> Int { memory.keys.rows * (heads * 36 + width) }

  /// One row of queries: its context, before the last layer, goes to that row of `context`.
  ///
  /// - Parameter meanWeights: becomes the attention to each row of the memory, mean over heads, which sums to 1.
  /// - Precondition: the memory has a row.
  func attend(
    _ row: Int, of queries: Activations, to memory: Memory, meanWeights: inout [Double],
    into context: inout Activations
  ) {
    let count = memory.keys.rows
    precondition(count > 0 && meanWeights.count == count)
    let headWidth = width / heads
    let scale = 1 / Double(headWidth).squareRoot()
    var logits = [Double](repeating: 0, count: count)
    for index in 0..<count { meanWeights[index] = 0 }
    for head in 0..<heads {
      let column = head * headWidth
      let largest = fill(&logits, row * width + column, column, of: queries, memory.keys, scale)
      var sum = 0.0
      for index in 0..<count {
        logits[index] = exponential(logits[index] - largest)
        sum += logits[index]
      }
      context.values.withUnsafeMutableBufferPointer { target in
        memory.values.values.withUnsafeBufferPointer { source in
          guard let into = target.baseAddress, let from = source.baseAddress else { return }
          for index in 0..<count {
            let share = logits[index] / sum
            meanWeights[index] += share / Double(heads)
            WideRows.add(
              from + index * width + column, times: share, to: into + row * width + column, headWidth)
          }
        }
      }
    }
  }

  /// Writes scaled products of one head and returns the largest.
  private func fill(
    _ logits: inout [Double], _ queryStart: Int, _ column: Int, of queries: Activations,
    _ keys: Activations, _ scale: Double
  ) -> Double {
    let headWidth = width / heads
    var largest = -Double.infinity
    queries.values.withUnsafeBufferPointer { left in
      keys.values.withUnsafeBufferPointer { right in
        guard let query = left.baseAddress, let base = right.baseAddress else { return }
        for index in logits.indices {
          logits[index] =
            WideRows.dot(query + queryStart, base + index * width + column, headWidth) * scale
          largest = max(largest, logits[index])
        }
      }
    }
    return largest
  }
}
