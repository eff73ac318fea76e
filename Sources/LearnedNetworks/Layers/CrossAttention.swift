import Kernels
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
}

/// Attention in one of three orders of the same products.
///
/// With X readers, Y rows that are read, h heads and width d, keys and values of all Y rows take Y d^2 products each. Where
/// h X is smaller than that is worth, the key layer is applied to the queries instead, and the value layer to what was
/// read; where h Y is, the query layer to the keys and the output layer to the values:
///
///     q . (Wk y + bk) = (Wk^T q) . y + const        sum over y of a (Wv y + bv) = Wv (sum of a y) + bv
///     (Wq x + bq) . k = x . (Wq^T k) + bq . k       Wo [a_1 v_1, ...] = sum over heads and y of a (Wo_head v)
///
/// (The constant is the same for all y, and softmax does not see it.) A localizer's question has few rows and its image many.
extension CrossAttention {
  enum Order { case direct, fewReaders, fewSources }

  /// The order of the fewest products; depends on nothing but these numbers.
  func order(readers: Int, sources: Int) -> Order {
    let (own, outputs) = (width, output.outputs)
    let (wideReaders, wideSources) = (heads * readers, heads * sources)
    let direct = (readers + 2 * sources) * own + 2 * readers * sources + readers * outputs
    let fewReaders = readers * (own + outputs) + 2 * wideReaders * (sources + own)
    let fewSources = 2 * sources * own + wideSources * (own + outputs) + readers * wideSources * 2
    if fewSources < min(direct, fewReaders) { return .fewSources }
    return fewReaders < direct ? .fewReaders : .direct
  }

  /// What every row of `rows` reads from `source`, [rows, outputs of the last layer].
  func callAsFunction(
    _ rows: FloatRows, to source: FloatRows, _ steps: inout StepCounter
  ) throws(PruningError) -> FloatRows {
    guard order(readers: rows.rows, sources: source.rows) != .fewSources else {
      return try readFew(source, by: rows, &steps)
    }
    return try output(context(of: rows, from: source, positions: nil, &steps).rows, &steps)
  }

  /// What readers found, before the last layer.
  struct Context {
    /// [readers, width].
    var rows: FloatRows
    /// The attention to each row of the source, mean over heads, [readers, sources]; nobody's where it was not asked for.
    var meanWeights: FloatRows?

    fileprivate init(readers: Int, width: Int, sources: Int?) {
      rows = FloatRows(zeros: readers, width)
      meanWeights = sources.map { FloatRows(zeros: readers, $0) }
    }

    /// Adds one row's attention by one of the heads.
    fileprivate mutating func add(_ weights: UnsafePointer<Float>, of reader: Int, heads: Int) {
      guard let columns = meanWeights?.columns else { return }
      meanWeights?.values.withUnsafeMutableBufferPointer { means in
        for index in 0..<columns { means[reader * columns + index] += weights[index] / Float(heads) }
      }
    }
  }

  /// - Precondition: the source has a row.
  func context(
    of rows: FloatRows, from source: FloatRows, positions: FloatRows?, withWeights: Bool = false,
    _ steps: inout StepCounter
  ) throws(PruningError) -> Context {
    precondition(source.rows > 0)
    let queries = try query(try queryNorm(rows, &steps), &steps)
    let normalized = try keyNorm(source, &steps)
    var placed = normalized
    if let positions { placed += positions }
    var context = Context(readers: rows.rows, width: width, sources: withWeights ? source.rows : nil)
    if order(readers: rows.rows, sources: source.rows) == .fewReaders {
      try readByFew(queries, placed, normalized, into: &context, &steps)
    } else {
      try readDirectly(
        queries, try key(placed, &steps), try value(normalized, &steps), into: &context, &steps)
    }
    return context
  }

  private var scale: Float { 1 / Float(width / heads).squareRoot() }

  // MARK: Keys and values of all rows

  private func readDirectly(
    _ queries: FloatRows, _ keys: FloatRows, _ values: FloatRows, into context: inout Context,
    _ steps: inout StepCounter
  ) throws(PruningError) {
    let headWidth = width / heads
    for head in 0..<heads {
      let column = head * headWidth
      try steps.spend(keys.rows * headWidth)
      let keyPanels = FloatPanels(keys.columns(column, headWidth))
      let valuePanels = values.columnPanels(column, headWidth)
      let own = queries.columns(column, headWidth)
      for start in stride(from: 0, to: queries.rows, by: FloatRows.groupSize) {
        let count = min(FloatRows.groupSize, queries.rows - start)
        try steps.spend(count * (keyPanels.cost + keys.rows + valuePanels.cost))
        let shares = softmax(keyPanels(own.group(start, count)), segment: keys.rows)
        shares.withRows { row, weights in context.add(weights, of: start + row, heads: heads) }
        valuePanels.multiply(shares, into: &context.rows, row: start, column: column)
      }
    }
  }

  // MARK: Few readers

  private func readByFew(
    _ queries: FloatRows, _ placed: FloatRows, _ normalized: FloatRows, into context: inout Context,
    _ steps: inout StepCounter
  ) throws(PruningError) {
    try steps.spend(2 * placed.rows * width)
    let sources = FloatPanels(placed)
    let contents = normalized.columnPanels(0, width)
    let headWidth = width / heads
    let expanded = queries.expanded(heads: heads)
    for start in stride(from: 0, to: expanded.rows, by: FloatRows.groupSize) {
      let count = min(FloatRows.groupSize, expanded.rows - start)
      try steps.spend(
        count * (transposedKey.cost + sources.cost + placed.rows + contents.cost + value.panels.cost))
      let shares = softmax(sources(transposedKey(expanded.group(start, count))), segment: placed.rows)
      let read = value.panels(contents(shares))
      shares.withRows { row, weights in
        let (head, reader) = (start + row).quotientAndRemainder(dividingBy: queries.rows)
        context.add(weights, of: reader, heads: heads)
        for column in (head * headWidth)..<((head + 1) * headWidth) {
          context.rows.values[reader * width + column] =
            read.values[row * width + column] + value.bias[column]
        }
      }
    }
  }

  // MARK: Few sources

  private func readFew(
    _ source: FloatRows, by rows: FloatRows, _ steps: inout StepCounter
  ) throws(PruningError) -> FloatRows {
    let normalized = try keyNorm(source, &steps)
    let keys = try key(normalized, &steps).expanded(heads: heads)
    let values = try value(normalized, &steps).expanded(heads: heads)
    try steps.spend(keys.rows * (transposedQuery.cost + output.panels.cost + width))
    let questions = FloatPanels(transposedQuery(keys))
    let offsets = keys.products(with: query.bias)
    let answers = output.panels(values).columnPanels(0, output.outputs)
    var result = FloatRows(zeros: rows.rows, output.outputs)
    for start in stride(from: 0, to: rows.rows, by: FloatRows.groupSize) {
      let count = min(FloatRows.groupSize, rows.rows - start)
      try steps.spend(count * (questions.cost + keys.rows + answers.cost))
      var logits = questions(try queryNorm(rows.group(start, count), &steps))
      logits += offsets
      answers.multiply(softmax(logits, segment: source.rows), into: &result, row: start, column: 0)
    }
    result += output.bias
    return result
  }

  /// The softmax of every `segment` logits, scaled.
  private func softmax(_ logits: FloatRows, segment: Int) -> FloatRows {
    var shares = logits
    let (count, scale) = (logits.values.count, scale)
    shares.values.withUnsafeMutableBufferPointer { values in
      guard let base = values.baseAddress else { return }
      for start in stride(from: 0, to: count, by: segment) {
        KernelSet.active.networks.softmax(base + start, segment, scale)
      }
    }
    return shares
  }
}
