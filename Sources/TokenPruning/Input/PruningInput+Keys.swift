import PruningNumerics
import Tensors

// The tensors of one attention layer or one sequence, as methods read them.

extension PruningInput {
  /// What tokens are compared by: `key`, its heads averaged, where it is given, else their features.
  ///
  /// - Throws: when `key` is of another shape, or not finite.
  func keys(or features: Matrix) throws(PruningError) -> Matrix {
    tensors["key"] == nil ? features : try keys()
  }

  /// `key` [N, d] as it is, [heads, N, d] averaged over heads in float64.
  private func keys() throws(PruningError) -> Matrix {
    let tensor = try headTensor(named: "key", rows: tokenCount)
    let width = tensor.shape[tensor.rank - 1]
    guard tensor.rank == 3, tensor.shape[0] > 1 else {
      return Matrix(rows: tokenCount, columns: width, values: tensor.floats())
    }
    let mean = tensor.meanRow(count: tensor.shape[0], width: tokenCount * width)
    return Matrix(rows: tokenCount, columns: width, values: mean.map { Float($0) })
  }

  /// A tensor [rows, d] or [heads, rows, d] as one matrix per head.
  ///
  /// - Parameter rows: nil where any number will do.
  /// - Throws: when absent, of another shape, without elements, or not finite.
  func headRows(named name: String, rows: Int?) throws(PruningError) -> [Matrix] {
    let tensor = try headTensor(named: name, rows: rows)
    let rows = tensor.shape[tensor.rank - 2]
    let width = tensor.shape[tensor.rank - 1]
    // Heads of no rows take no bytes, so there may be any number of them.
    guard rows > 0 else { return [Matrix(rows: 0, columns: width, values: [])] }
    let heads = tensor.rank == 3 ? (0..<tensor.shape[0]).map { tensor[$0] } : [tensor]
    return heads.map { Matrix(rows: rows, columns: width, values: $0.floats()) }
  }

  /// The tensor behind, checked.
  private func headTensor(named name: String, rows: Int?) throws(PruningError) -> Tensor {
    let tensor = try tensor(name)
    let count = rows.map(String.init) ?? "M"
    guard (2...3).contains(tensor.rank), rows == nil || tensor.shape[tensor.rank - 2] == rows,
      tensor.shape.dimensions.enumerated().allSatisfy({ $0.offset == tensor.rank - 2 || $0.element > 0 })
    else {
      throw PruningError(
        at: name,
        "shape must be [\(count), d] or [heads, \(count), d], with heads and d of 1 or more, not "
          + "\(tensor.shape)")
    }
    try requireFinite(tensor, named: name)
    return tensor
  }
}

// The attention of one query to the keys of its layer: callers on fused attention have no attention map, and the one row that
// is needed costs O(heads N d).
extension PruningInput {
  private static func stepsPerProduct(_ width: Int) -> Int {
    30 + StepCounter.plainComparison(columns: width)
  }

  /// What ``queryKeyAttention()`` takes; tensors may have any shape yet.
  var queryKeySteps: Double {
    guard let query = tensors["query"], let key = tensors["key"], key.rank >= 2 else { return 0 }
    let width = key.shape[key.rank - 1]
    let heads = Double(query.elementCount) / Double(max(width, 1))
    return heads * Double(key.shape[key.rank - 2]) * Double(Self.stepsPerProduct(width))
  }

  /// softmax(q . k / sqrt(d)) over the visual tokens, mean over heads, [N].
  ///
  /// `query` is [d] or [heads, d]; `key` is [N, d] or [kv_heads, N, d]. With grouped-query attention query head
  /// h reads key head h / (heads / kv_heads).
  /// - Throws: at `query` or `key` for a shape that does not fit, or a product too large for a Double; when it is more work than
  ///   one request may do.
  func queryKeyAttention() throws(PruningError) -> [Double] {
    let keys = try headRows(named: "key", rows: tokenCount)
    let query = try tensor("query")
    let width = keys[0].columns
    guard (1...2).contains(query.rank), query.shape[query.rank - 1] == width, query.elementCount > 0 else {
      throw PruningError(
        at: "query", "shape must be [d] or [heads, d] with d = \(width) as in key, not \(query.shape)")
    }
    try requireFinite(query, named: "query")
    let heads = query.elementCount / width
    guard heads % keys.count == 0 else {
      throw PruningError(
        at: "query", "has \(heads) heads, which is not a multiple of the \(keys.count) heads of key")
    }
    let queries = query.doubles()
    let scale = 1 / Double(width).squareRoot()
    var scores = [Double](repeating: 0, count: tokenCount)
    var steps = StepCounter(limit: stepLimit, work: "multiplying query and key")
    for head in 0..<heads {
      try steps.spend(tokenCount * Self.stepsPerProduct(width))
      let row = Array(queries[(head * width)..<((head + 1) * width)])
      let own = keys[head / (heads / keys.count)]
      let logits = (0..<tokenCount).map { own.product(of: $0, with: row) * scale }
      guard logits.allSatisfy(\.isFinite) else {
        throw PruningError(at: "query", "the product with key overflows in head \(head)")
      }
      for (token, share) in softmax(logits).enumerated() { scores[token] += share / Double(heads) }
    }
    return scores
  }
}
