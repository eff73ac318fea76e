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
    var isLeft = [Bool](repeating: false, count: layout.tokenCount)
    for token in candidates { isLeft[token] = true }
    var path: [Int] = []
    path.reserveCapacity(candidates.count)
    for view in layout.views {
      HilbertCurve(rows: view.rows, columns: view.columns).forEachCell { row, column in
        let token = view.token(row: row, column: column)
        if isLeft[token] {
          isLeft[token] = false
          path.append(token)
        }
      }
    }
    if path.count < candidates.count { path += candidates.filter { isLeft[$0] } }
    return path
  }
}

/// The Hilbert curve through the smallest square whose side is a power of two, without its cells outside of a grid.
///
/// O(rows x columns): squares of the curve that lie outside of the grid are not entered.
struct HilbertCurve {
  let rows: Int
  let columns: Int

  func forEachCell(_ body: (_ row: Int, _ column: Int) -> Void) {
    var side = 1
    while side < max(rows, columns) { side *= 2 }
    walk(row: 0, column: 0, side: side, isTransposed: false, isTurned: false, body)
  }

  /// Through one square, whose curve is transposed, turned by 180 degrees, or both.
  private func walk(
    row: Int, column: Int, side: Int, isTransposed: Bool, isTurned: Bool,
    _ body: (_ row: Int, _ column: Int) -> Void
  ) {
    guard row < rows, column < columns else { return }
    guard side > 1 else { return body(row, column) }
    let half = side / 2
    // Upper left, lower left, lower right, upper right; the outer two are turned so that the ends meet.
    for (quarter, (isLower, isRight)) in [(false, false), (true, false), (true, true), (false, true)]
      .enumerated()
    {
      let down = (isTransposed ? isRight : isLower) != isTurned
      let across = (isTransposed ? isLower : isRight) != isTurned
      walk(
        row: down ? row + half : row, column: across ? column + half : column, side: half,
        isTransposed: isTransposed != (quarter == 0 || quarter == 3), isTurned: isTurned != (quarter == 3),
        body)
    }
  }
}
