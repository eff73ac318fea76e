import Kernels
package import PruningNumerics
package import Tensors

/// Token scores from the query and the keys of one attention layer.
///
/// Callers on fused attention have no attention map; the one row that is needed costs O(heads N d).
package enum QueryKeyScores {
  private static func stepsPerProduct(_ width: Int) -> Int {
    30 + StepCounter.plainComparison(columns: width)
  }

  /// What ``attention(of:_:_:)`` takes; tensors may have any shape yet.
  package static func steps(of tensors: [String: Tensor]) -> Double {
    guard let query = tensors["query"], let key = tensors["key"], key.rank >= 2 else { return 0 }
    let width = key.shape[key.rank - 1]
    let heads = Double(query.elementCount) / Double(max(width, 1))
    return heads * Double(key.shape[key.rank - 2]) * Double(stepsPerProduct(width))
  }

  /// softmax(q . k / sqrt(d)) over the visual tokens, mean over heads, [N].
  ///
  /// `query` is [d] or [heads, d]; `key` is [N, d] or [kv_heads, N, d]. With grouped-query attention query head
  /// h reads key head h / (heads / kv_heads).
  /// - Throws: at `query` or `key` for a shape that does not fit, or a product too large for a Double; when it is more work than
  ///   one request may do.
  package static func attention(
    of tensors: [String: Tensor], _ count: Int, _ stepLimit: StepLimit
  ) throws(PruningError) -> [Double] {
    let query = try LocalizationTensors.finite("query", in: tensors)
    let key = try LocalizationTensors.finite("key", in: tensors)
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
    let products = KeyProducts(key, width: width)
    let group = heads / keyHeads
    let scale = 1 / Double(width).squareRoot()
    var scores = [Double](repeating: 0, count: count)
    var steps = StepCounter(limit: stepLimit, work: "multiplying query and key")
    for head in 0..<heads {
      try steps.spend(count * Self.stepsPerProduct(width))
      let row = queries[(head * width)..<((head + 1) * width)]
      let base = (head / group) * count
      let logits = products.rows(base..<(base + count), times: row).map { $0 * scale }
      guard logits.allSatisfy(\.isFinite) else {
        throw PruningError(at: "query", "the product with key overflows in head \(head)")
      }
      for (token, share) in softmax(logits).enumerated() {
        scores[token] += share / Double(heads)
      }
    }
    return scores
  }
}

/// The rows of the keys, to be multiplied by queries: as float32 where that holds them exactly.
private struct KeyProducts {
  private let width: Int
  private let floats: [Float]
  private let doubles: [Double]

  init(_ key: Tensor, width: Int) {
    self.width = width
    let isNarrow = key.elementType.byteWidth <= 4 && key.elementType.isFloatingPoint
    floats = isNarrow ? key.floats() : []
    doubles = isNarrow ? [] : key.doubles()
  }

  /// The inner products, in float64.
  func rows(_ range: Range<Int>, times query: ArraySlice<Double>) -> [Double] {
    guard doubles.isEmpty else {
      return range.map { RowArithmetic.dot(query, doubles[($0 * width)..<(($0 + 1) * width)]) }
    }
    return floats.withUnsafeBufferPointer { rows in
      query.withUnsafeBufferPointer { query in
        guard let base = rows.baseAddress, let query = query.baseAddress else { return [] }
        return range.map { KernelSet.active.widenedDot(base + $0 * width, query, width) }
      }
    }
  }
}
