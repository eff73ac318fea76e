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
