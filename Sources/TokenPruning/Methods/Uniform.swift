import JSON
import PruningNumerics
import VisionLayouts

/// Keeps tokens at even steps: a control that looks at nothing but the count.
///
/// With a layout the steps go along a Hilbert curve through each view's grid, so that any count is spread
/// evenly in both directions; without one, along the sequence. Step t of K takes the middle of the t-th of K
/// equal segments. On a `grid` they are the middles of K cells.
struct Uniform: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "uniform",
    summary:
      "Keeps tokens at even steps over the grid (along a Hilbert curve) or, without one, the sequence.",
    parameters: [
      .init(
        "path", .choice(["auto", "sequence", "curve", "grid"]), default: "auto",
        "sequence: along the tokens as they come; curve: along a Hilbert curve through each view; grid: the middles of K"
          + " cells of the grid; auto: curve where there is a layout, else sequence")
    ],
    properties: [.scaleInvariant], cost: .linear, readsValues: false, memory: .scores,
    facts: MethodFacts(
      .control, isQuestionAware: false, cost: "O(N log N)",
      automatic: AutomaticUse(.positions, [], "spreads the budget evenly over the image")))

  private let path: String

  init(_ parameters: Parameters) { path = parameters.choice("path") }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    switch path {
    case "sequence": Self.evenly(task.count, along: task.candidates)
    case "grid": Self.gridCentres(task, of: input)
    case "auto" where input.layout == nil: Self.evenly(task.count, along: task.candidates)
    default: Self.alongCurve(task, of: input)
    }
  }

  /// The tokens in the middles of as many cells of the grid; of some candidates only, those at even steps of the curve.
  static func gridCentres(_ task: SelectionTask, of input: PruningInput) -> [Int] {
    let views = input.views
    let available = views.reduce(0) { $0 + $1.tokenCount }
    guard task.candidates.count == input.tokenCount, task.count <= available else {
      return alongCurve(task, of: input)
    }
    return GridCells(task.count, of: views).cells.map(\.centre)
  }

  private static func alongCurve(_ task: SelectionTask, of input: PruningInput) -> [Int] {
    let layout =
      input.layout
      ?? TokenLayout(type: "grid", tokenCount: input.tokenCount, views: input.views)
    return evenly(task.count, along: path(through: task.candidates, in: layout))
  }

  /// The middles of `count` equal segments of a path.
  private static func evenly(_ count: Int, along path: [Int]) -> [Int] {
    (0..<count).map { step in path[(2 * step + 1) * path.count / (2 * count)] }
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
