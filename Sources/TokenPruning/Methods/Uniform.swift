/// Keeps tokens at even steps: a control that looks at nothing but the count.
///
/// With a layout the steps go along a Hilbert curve through each view's grid, so that any count is spread
/// evenly in both directions; without one, along the sequence. Step t of K takes the middle of the t-th of K
/// equal segments.
/// - Complexity: O(N log N).
struct Uniform: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "uniform",
    summary:
      "Keeps tokens at even steps over the grid (along a Hilbert curve) or, without one, the sequence.",
    properties: [.scaleInvariant], cost: .linear, readsValues: false)

  init(_ parameters: Parameters) {}

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let path = input.layout.map { Self.path(through: task.candidates, in: $0) } ?? task.candidates
    return (0..<task.count).map { step in path[(2 * step + 1) * path.count / (2 * task.count)] }
  }

  /// The candidates in curve order view by view; those outside every view follow in sequence.
  private static func path(through candidates: [Int], in layout: TokenLayout) -> [Int] {
    var rank = [Int](repeating: .max, count: layout.tokenCount)
    var first = 0
    for view in layout.views {
      var side = 1
      while side < max(view.rows, view.columns) { side *= 2 }
      for row in 0..<view.rows {
        for column in 0..<view.columns {
          rank[view.token(row: row, column: column)] =
            first + hilbertDistance(x: column, y: row, side: side)
        }
      }
      first += side * side
    }
    return candidates.sorted { a, b in rank[a] != rank[b] ? rank[a] < rank[b] : a < b }
  }

  /// How far along the Hilbert curve of a side x side square (a power of two) the cell (x, y) lies.
  static func hilbertDistance(x: Int, y: Int, side: Int) -> Int {
    var x = x
    var y = y
    var distance = 0
    var half = side / 2
    while half > 0 {
      let right = x & half != 0
      let lower = y & half != 0
      distance += half * half * ((right ? 3 : 0) ^ (lower ? 1 : 0))
      // Each quadrant holds a smaller curve, turned so that the ends meet.
      if !lower {
        if right {
          x = side - 1 - x
          y = side - 1 - y
        }
        swap(&x, &y)
      }
      half /= 2
    }
    return distance
  }
}
