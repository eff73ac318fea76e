import JSON
import Kernels
import PruningNumerics
import Tensors

/// The text tokens whose attention SparseVLM trusts: those relevant to the image.
///
/// P = softmax over the M text tokens of V X^T, V [N, D] the visual and X [M, D] the text embeddings as they are;
/// r = mean of P over the visual tokens; a rater has more than the mean of r.
enum TextRaters {
  /// The query rows that count: the raters, or all where nothing tells them.
  ///
  /// - Parameter count: the query rows of `attention`.
  /// - Throws: when text_features has another number of rows, or another width than image_features.
  /// - Complexity: O(N M D).
  static func rows(of input: PruningInput, count: Int) throws(PruningError) -> [Int] {
    let all = Array(0..<count)
    if let given = try given(in: input, count: count) { return given }
    guard count > 1, input.tensors["text_features"] != nil, input.tensors["image_features"] != nil else {
      return all
    }
    let text = try input.textFeatures()
    guard text.rows == count else {
      throw PruningError(
        at: "text_features",
        "has \(text.rows) rows, but attention has \(count) query rows; the raters are found among both")
    }
    let shares = try relevance(of: input.features(), to: text, stepLimit: input.stepLimit)
    let mean = shares.reduce(0, +) / Double(count)
    let raters = all.filter { shares[$0] > mean }
    return raters.isEmpty ? all : raters
  }

  /// What ``relevance(of:to:stepLimit:)`` takes where it is asked for; never more than it does for one text row.
  static func steps(on input: PruningInput) -> Double {
    guard input.tensors["text_raters"] == nil, input.tensors["image_features"] != nil,
      let text = input.tensors["text_features"], text.rank == 2
    else { return 0 }
    return Double(input.tokenCount) * Double(text.shape[0])
      * Double(30 + StepCounter.exactComparison(columns: text.shape[1]))
  }

  /// Those that `text_raters` [M] marks, for stages after the one that found them.
  private static func given(in input: PruningInput, count: Int) throws(PruningError) -> [Int]? {
    guard let tensor = input.tensors["text_raters"] else { return nil }
    guard tensor.shape.dimensions == [count] else {
      throw PruningError(
        at: "text_raters",
        "shape must be [\(count)], one for each query row of attention, not \(tensor.shape)")
    }
    let flags = try tensor.flags(named: "text_raters", "a text token whose attention counts")
    let raters = flags.indices.filter { flags[$0] }
    guard !raters.isEmpty else { throw PruningError(at: "text_raters", "marks no row") }
    return raters
  }

  /// r [M], which sums to 1.
  static func relevance(
    of visual: Matrix, to text: Matrix, stepLimit: StepLimit
  ) throws(PruningError) -> [Double] {
    guard visual.columns == text.columns else {
      throw PruningError(
        at: "text_features",
        "has \(text.columns) columns, but image_features has \(visual.columns); both are embeddings of one model"
      )
    }
    var steps = StepCounter(limit: stepLimit)
    var shares = [Double](repeating: 0, count: text.rows)
    let columns = visual.columns
    for first in stride(from: 0, to: visual.rows, by: 4) {
      let tokens = first..<min(first + 4, visual.rows)
      try steps.spend(tokens.count * text.rows * (30 + StepCounter.exactComparison(columns: columns)))
      let products = products(of: visual, tokens, with: text)
      for token in tokens.indices {
        let logits = (0..<text.rows).map { products[4 * $0 + token - first] }
        for (row, share) in softmax(logits).enumerated() { shares[row] += share }
      }
    }
    return shares.map { $0 / Double(max(visual.rows, 1)) }
  }
}

extension TextRaters {
  /// The inner products of up to four rows with all of `text`, [text rows, 4].
  private static func products(of visual: Matrix, _ tokens: Range<Int>, with text: Matrix) -> [Double] {
    let columns = visual.columns
    var products = [Double](repeating: 0, count: 4 * text.rows)
    products.withUnsafeMutableBufferPointer { target in
      visual.values.withUnsafeBufferPointer { left in
        text.values.withUnsafeBufferPointer { right in
          guard let into = target.baseAddress, let a = left.baseAddress, let b = right.baseAddress else {
            return
          }
          func token(_ index: Int) -> UnsafePointer<Float> {
            a + min(tokens.lowerBound + index, tokens.upperBound - 1) * columns
          }
          for row in 0..<text.rows {
            KernelSet.active.tiles.preciseColumn(
              token(0), token(1), token(2), token(3), b + row * columns, columns, into + 4 * row)
          }
        }
      }
    }
    return products
  }
}

/// `attention` as [heads, queries, N], read row by row.
struct TextAttention {
  let heads: Int
  let queries: Int
  private let tensor: Tensor
  private let tokenCount: Int

  /// - Throws: when absent, not [N], [heads, N] or [heads, queries, N], without rows, or not finite.
  init(of input: PruningInput) throws(PruningError) {
    tensor = try input.tensor("attention")
    tokenCount = input.tokenCount
    let lead = tensor.shape.dimensions.dropLast()
    guard (1...3).contains(tensor.rank), tensor.shape.dimensions.last == tokenCount,
      lead.allSatisfy({ $0 > 0 })
    else {
      throw PruningError(
        at: "attention",
        "shape must be [\(tokenCount)], [heads, \(tokenCount)] or [heads, queries, \(tokenCount)] with heads and "
          + "queries of 1 or more, not \(tensor.shape)")
    }
    try input.requireFinite(tensor, named: "attention")
    // Rows of no columns take no bytes, so there may be any number of them.
    heads = tensor.rank == 1 || tokenCount == 0 ? 1 : tensor.shape[0]
    queries = tensor.rank == 3 && tokenCount > 0 ? tensor.shape[1] : 1
  }

  /// What a row costs beside its numbers, of which it may have only one.
  private static let stepsPerRow = 300

  func row(head: Int, query: Int, _ steps: inout StepCounter) throws(PruningError) -> [Double] {
    try steps.spend(Self.stepsPerRow + 2 * tokenCount)
    let first = (head * queries + query) * tokenCount
    return tensor.elements(first..<(first + tokenCount)).doubles()
  }

  /// The mean over all heads and the given query rows [N].
  func mean(over rows: [Int], _ steps: inout StepCounter) throws(PruningError) -> [Double] {
    var sums = [Double](repeating: 0, count: tokenCount)
    for head in 0..<heads {
      for query in rows {
        for (token, value) in try row(head: head, query: query, &steps).enumerated() { sums[token] += value }
      }
    }
    return sums.map { $0 / Double(heads * rows.count) }
  }

  /// The numerical rank of the head-averaged attention of the given query rows [rows, N].
  ///
  /// Singular values above max(rows, N) x 2^-23 of the largest count, as in `torch.linalg.matrix_rank` of float32
  /// matrices. They are the square roots of the eigenvalues of the rows' Gram matrix.
  func rank(of rows: [Int], stepLimit: StepLimit) throws(PruningError) -> Int {
    guard rows.count <= 512 else {
      throw PruningError(at: "attention", "has \(rows.count) raters; the rank rule takes at most 512")
    }
    guard rows.count * tokenCount <= 1 << 22 else {
      throw PruningError(
        at: "attention",
        "has \(rows.count) raters of \(tokenCount) tokens; the rank rule takes at most \(1 << 22) numbers together"
      )
    }
    var steps = StepCounter(limit: stepLimit)
    let averaged = try rows.map { (query) throws(PruningError) in
      var sums = [Double](repeating: 0, count: tokenCount)
      for head in 0..<heads {
        for (token, value) in try row(head: head, query: query, &steps).enumerated() { sums[token] += value }
      }
      return sums
    }
    let gram = try averaged.map { (a) throws(PruningError) in
      try steps.spend(rows.count * (tokenCount + 8))
      return averaged.map { b in innerProduct(a, b) }
    }
    let singular = try SymmetricEigenvalues.of(gram, &steps).map { max($0, 0).squareRoot() }
    let limit = Double(max(rows.count, tokenCount)) * 0x1p-23 * (singular.max() ?? 0)
    return singular.count { $0 > limit }
  }
}

/// The adaptive count of SparseVLM's paper and first release: as many tokens as the attention matrix has rank,
/// scaled.
struct RankRule {
  static let parameters = [
    ParameterDescriptor(
      "rank_scale", .number(0...1e6), default: nil,
      "turns on the rank rule of the paper: floor(rank x rank_scale + rank_bias) tokens, at most N - 1 and the"
        + " budget, rank that of the raters' mean attention; the first release has 13.5 for 192, 9 for 128 and 0.8"
        + " for 64 tokens"),
    ParameterDescriptor(
      "rank_bias", .number(-1e6...1e6), default: 0, "see `rank_scale`; 6 for 128 tokens, else 0"),
  ]

  private let scale: Double
  private let bias: Double

  /// nil where it is not asked for.
  ///
  /// - Throws: for a bias without a scale.
  init?(_ parameters: Parameters) throws(PruningError) {
    guard let scale = parameters.optionalNumber("rank_scale") else {
      try parameters.refuse("rank_bias", when: true, "belongs to rank_scale, which turns on the rank rule")
      return nil
    }
    self.scale = scale
    bias = parameters.number("rank_bias")
  }

  /// All of N where the rank is N: there is nothing redundant.
  func count(rank: Int, tokenCount: Int) -> Int {
    guard rank < tokenCount else { return tokenCount }
    let wanted = (Double(rank) * scale + bias).rounded(.down)
    return Int(min(max(wanted, 0), Double(tokenCount - 1)))
  }
}
