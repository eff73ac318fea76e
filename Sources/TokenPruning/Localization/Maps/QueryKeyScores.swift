import Tensors

/// Token scores from the query and the keys of one attention layer.
///
/// Callers on fused attention have no attention map; the one row that is needed costs O(heads N d).
enum QueryKeyScores {
  /// softmax(q . k / sqrt(d)) over the visual tokens, mean over heads, [N].
  ///
  /// `query` is [d] or [heads, d]; `key` is [N, d] or [kv_heads, N, d]. With grouped-query attention query head
  /// h reads key head h / (heads / kv_heads).
  /// - Throws: at `query` or `key` for a shape that does not fit, or a product too large for a Double.
  static func attention(of input: PruningInput) throws(PruningError) -> [Double] {
    let query = try LocalizationTensors.finite("query", in: input)
    let key = try LocalizationTensors.finite("key", in: input)
    let count = input.tokenCount
    guard (2...3).contains(key.rank), key.shape[key.rank - 2] == count, key.elementCount > 0 else {
      throw LocalizationTensors.wrongShape(
        "key", expected: "[N, d] or [kv_heads, N, d] with N = \(count)", key.shape)
    }
    let width = key.shape[key.rank - 1]
    guard (1...2).contains(query.rank), query.shape[query.rank - 1] == width, query.elementCount > 0 else {
      throw LocalizationTensors.wrongShape(
        "query", expected: "[d] or [heads, d] with d = \(width) as in key", query.shape)
    }
    let heads = query.rank == 2 ? query.shape[0] : 1
    let keyHeads = key.rank == 3 ? key.shape[0] : 1
    guard heads % keyHeads == 0 else {
      throw PruningError(
        at: "query", "has \(heads) heads, which is not a multiple of the \(keyHeads) heads of key")
    }
    let queries = query.doubles()
    let keys = key.doubles()
    let group = heads / keyHeads
    let scale = 1 / Double(width).squareRoot()
    var scores = [Double](repeating: 0, count: count)
    for head in 0..<heads {
      let row = queries[(head * width)..<((head + 1) * width)]
      let base = (head / group) * count
      let logits = (0..<count).map { token in
        RowArithmetic.dot(row, keys[((base + token) * width)..<((base + token + 1) * width)]) * scale
      }
      guard logits.allSatisfy(\.isFinite) else {
        throw PruningError(at: "query", "the product with key overflows in head \(head)")
      }
      for (token, share) in RowArithmetic.softmax(logits).enumerated() {
        scores[token] += share / Double(heads)
      }
    }
    return scores
  }
}
