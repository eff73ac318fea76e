/// The eigenvalues of a small symmetric matrix, by cyclic Jacobi rotations (Golub and Van Loan, Matrix
/// Computations, section 8.5), in no particular order.
public enum SymmetricEigenvalues {
  /// - Complexity: O(n^3) per sweep; a handful of sweeps.
  /// - Throws: when it is more work than the limit allows.
  public static func of(_ rows: [[Double]], _ steps: inout StepCounter) throws(PruningError) -> [Double] {
    var matrix = rows
    let count = rows.count
    let scale = rows.indices.reduce(0.0) { max($0, rows[$1][$1].magnitude) }
    for _ in 0..<30 {
      var largest = 0.0
      for p in 0..<count {
        try steps.spend((count - p) * (20 + 8 * count))
        for q in (p + 1)..<max(count, p + 1) {
          largest = max(largest, matrix[p][q].magnitude)
          rotate(&matrix, p, q)
        }
      }
      if largest <= scale * 1e-15 { break }
    }
    return matrix.indices.map { matrix[$0][$0] }
  }

  /// Turns the plane of axes p and q so that the two no longer couple.
  private static func rotate(_ matrix: inout [[Double]], _ p: Int, _ q: Int) {
    let coupling = matrix[p][q]
    guard coupling != 0 else { return }
    let theta = (matrix[q][q] - matrix[p][p]) / (2 * coupling)
    let tangent =
      (theta >= 0 ? 1 : -1) / (theta.magnitude + (theta * theta + 1).squareRoot())
    let cosine = 1 / (tangent * tangent + 1).squareRoot()
    let sine = tangent * cosine
    for k in matrix.indices {
      let (a, b) = (matrix[k][p], matrix[k][q])
      matrix[k][p] = cosine * a - sine * b
      matrix[k][q] = sine * a + cosine * b
    }
    for k in matrix.indices {
      let (a, b) = (matrix[p][k], matrix[q][k])
      matrix[p][k] = cosine * a - sine * b
      matrix[q][k] = sine * a + cosine * b
    }
  }
}
