import Kernels
import PruningNumerics
import Tensors

// How methods read their tensors: as checked matrices and rows of scores, never as raw bytes.

extension PruningInput {
  /// The features every diversity and relevance method reads: `image_features` [N, D].
  ///
  /// - Throws: when absent, not [N, D] with N = ``tokenCount`` and D >= 1, or not finite.
  func features(named name: String = "image_features") throws(PruningError) -> Matrix {
    let tensor = try featureTensor(named: name)
    return try matrix(tensor, named: name, columns: tensor.shape[1])
  }

  /// The same where they lie, measured, and the inner product of each row with a direction where one is given.
  func measuredRows(
    named name: String = "image_features", comparedWith direction: [Double]? = nil
  ) throws(PruningError) -> (rows: MeasuredRows, products: [Double]) {
    let tensor = try featureTensor(named: name)
    let (rows, products) = MeasuredRows.reading(tensor, columns: tensor.shape[1], comparedWith: direction)
    if !rows.norms.allSatisfy(\.isFinite) { try requireFinite(tensor, named: name) }
    return (rows, products)
  }

  /// Features that have the shape they must have; their elements are not looked at.
  func featureTensor(named name: String) throws(PruningError) -> Tensor {
    let tensor = try tensor(name)
    guard tensor.rank == 2, tensor.shape[0] == tokenCount, tensor.shape[1] >= 1 else {
      throw PruningError(
        at: name, "shape must be [\(tokenCount), D] with D of 1 or more, not \(tensor.shape)")
    }
    return tensor
  }

  /// The same compared by cosine where they lie, for methods that only compare rows.
  ///
  /// - Throws: as ``features(named:)``.
  func cosineSpace(named name: String = "image_features") throws(PruningError) -> CosineSpace {
    guard let tensor = tensors[name], tensor.rank == 2, tensor.shape[0] == tokenCount, tensor.shape[1] >= 1,
      let rows = FeatureRows(tensor, columns: tensor.shape[1]), rows.format.isDirect
    else { return CosineSpace(try features(named: name)) }
    let squares = tensor.squares(columns: tensor.shape[1])
    if !squares.allSatisfy(\.isFinite) { try requireFinite(tensor, named: name) }
    return CosineSpace(rows, norms: squares.map { $0.squareRoot() })
  }

  /// The text side of a relevance: `text_features`, [D] read as one row, or [M, D].
  ///
  /// - Throws: when absent, of another rank, empty, or not finite.
  func textFeatures(named name: String = "text_features") throws(PruningError) -> Matrix {
    let tensor = try tensor(name)
    guard tensor.rank == 1 || tensor.rank == 2, tensor.elementCount > 0 else {
      throw PruningError(at: name, "shape must be [D] or [M, D] with no extent of 0, not \(tensor.shape)")
    }
    let columns = tensor.shape[tensor.rank - 1]
    return try matrix(tensor, named: name, columns: columns)
  }

  /// Which query rows of [heads, queries, N] count.
  enum QueryRows: Sendable {
    case mean
    /// The last row only: of a prompt's rows, the one that predicts the next token.
    case last
  }

  /// One score per token [N], the mean over heads, and over queries where there are several.
  ///
  /// Accepts [N], [heads, N] and [heads, queries, N]; sums in float64, in row order.
  /// - Parameter counts: the accepted lengths of the last axis; ``tokenCount`` unless told.
  /// - Throws: when absent, of another shape, without rows, or not finite.
  func attentionScores(
    named name: String = "attention", counts: [Int]? = nil, queries: QueryRows = .mean
  ) throws(PruningError) -> [Double] {
    if case .meanAttention(let mean)? = found, name == "attention", counts == nil, queries == .mean {
      return mean
    }
    let tensor = try tensor(name)
    guard (1...3).contains(tensor.rank), let count = tensor.shape.dimensions.last,
      counts?.contains(count) ?? (count == tokenCount)
    else {
      let forms = (counts ?? [tokenCount]).map { "[\($0)], [heads, \($0)] or [heads, queries, \($0)]" }
      throw PruningError(at: name, "shape must be \(forms.joined(separator: ", or ")), not \(tensor.shape)")
    }
    guard tensor.shape.dimensions.dropLast().allSatisfy({ $0 > 0 }) else {
      throw PruningError(at: name, "has no heads or queries to average over: its shape is \(tensor.shape)")
    }
    guard count > 0 else { return [] }
    let rows = RowSelection(tensor.shape, queries)
    let mean = tensor.meanRow(first: rows.first, step: rows.step, count: rows.count, width: count)
    // Rows that do not count are rejected as well, one row is read faster than its mean, float64 has to fit float32, and
    // 64-bit integers float64.
    let meanTells =
      rows.count > 1 && rows.count * count == tensor.elementCount && tensor.elementType.byteWidth < 8
    if !meanTells || !mean.allSatisfy(\.isFinite) { try requireFinite(tensor, named: name) }
    return mean
  }

  /// The tensor of that name.
  ///
  /// - Throws: when absent, naming the tensors that are there; `.workLimit` when it was read too often.
  func tensor(_ name: String) throws(PruningError) -> Tensor {
    if let tensor = tensors[name] {
      // Each reader goes through all of it, and stages and budgets have it read again.
      try stepLimit.spend(2 * tensor.elementCount, on: "reading these tensors")
      return tensor
    }
    let present = tensors.keys.sorted()
    throw PruningError(
      at: name,
      "tensor '\(name)' is required, but "
        + (present.isEmpty
          ? "the request has no tensors" : "there is only \(present.joined(separator: ", "))"))
  }

  /// Rejects NaN, infinity and integers that float64 does not hold, by tensor name and position.
  func requireFinite(_ tensor: Tensor, named name: String) throws(PruningError) {
    if let index = tensor.firstInexactIndex() {
      throw PruningError(
        at: name,
        "\(position(of: index, in: tensor.shape)) is beyond 2^53; larger integers are no exact numbers")
    }
    guard let index = tensor.firstNonFiniteIndex() else { return }
    throw PruningError(
      at: name,
      "\(position(of: index, in: tensor.shape)) is not finite as a 32-bit float; NaN and infinity are rejected"
    )
  }

  private func matrix(
    _ tensor: Tensor, named name: String, columns: Int
  ) throws(PruningError) -> Matrix {
    let matrix = Matrix(tensor, columns: columns)
    // Sums of squares are formed anyway, and one that is finite has finite elements only.
    if matrix.isFinite != true { try requireFinite(tensor, named: name) }
    return matrix
  }

  /// Rows `first`, `first + step`, ... of a tensor read as [rows, N].
  private struct RowSelection {
    let first: Int
    let step: Int
    let count: Int

    init(_ shape: Shape, _ queries: QueryRows) {
      let perHead = shape.rank == 3 ? shape[1] : 1
      let heads = shape.rank == 1 ? 1 : shape[0]
      first = queries == .last ? perHead - 1 : 0
      step = queries == .last ? perHead : 1
      count = queries == .last ? heads : heads * perHead
    }
  }

  private func position(of flat: Int, in shape: Shape) -> String {
    var rest = flat
    var indices: [Int] = []
    for extent in shape.dimensions.reversed() {
      indices.insert(rest % extent, at: 0)
      rest /= extent
    }
    return "element [\(indices.map(String.init).joined(separator: ", "))]"
  }
}
