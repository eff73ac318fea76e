import JSON
import PruningNumerics
import VisionLayouts

/// Pools the grid of tokens: the baseline that needs no choice at all.
///
/// Source: adaptive pooling to a square as in UniPruneBench (Peng et al., arXiv 2511.02650).
struct Pool: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "pool",
    summary:
      "Averages the tokens of each cell of a coarser grid, or takes their largest numbers (a baseline).",
    paper: "as in UniPruneBench, arXiv 2511.02650",
    requiredInputs: ["image_features"],
    parameters: [
      .init(
        "mode", .choice(["avg", "max"]), default: "avg", only: .compress,
        "what a row is: the mean, or the largest of each channel")
    ],
    deviations: [
      "Any K is exact: a square number that fits the grid gives a square of cells, which overlap where it does not divide"
        + " the grid, as published; any other is cut into bands of cells that do not overlap.",
      "Without a layout the grid is as nearly square as N allows, as published; `layout` names another.",
      "/prune has no rows to make and keeps the token in the middle of each cell.",
    ],
    budget: "The rows that are made, exactly that many.", properties: [.scaleInvariant],
    memory: MethodMemory(perElement: 8),
    facts: MethodFacts(.control, isQuestionAware: false, cost: "O(N D)"))

  private let isMaximum: Bool

  init(_ parameters: Parameters) { isMaximum = parameters.choice("mode") == "max" }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    _ = try input.features()
    return Uniform.gridCentres(task, of: input)
  }

  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    let features = try input.features()
    let grid = try GridCells(merging: input, into: count)
    var values: [Float] = []
    values.reserveCapacity(count * features.columns)
    var sizes: [Int] = []
    for cell in grid.cells {
      let (rows, columns) = grid.isSquare ? cell.overlappingWindow : (cell.rows, cell.columns)
      let tokens = rows.flatMap { row in columns.map { cell.view.token(row: row, column: $0) } }
      values += isMaximum ? features.largest(of: tokens) : features.mean(of: tokens)
      sizes.append(tokens.count)
    }
    return MergedTokens(
      features: Matrix(rows: grid.cells.count, columns: features.columns, values: values),
      kept: grid.cells.map(\.centre), assignments: grid.assignments(tokenCount: input.tokenCount),
      sizes: sizes)
  }
}

extension GridCells {
  /// One cell for each of `count` rows.
  init(merging input: PruningInput, into count: Int) throws(PruningError) {
    let views = input.views
    let available = views.reduce(0) { $0 + $1.tokenCount }
    guard count <= available else {
      throw PruningError(
        at: "/keep_tokens",
        "\(count) rows are asked for, but only \(available) tokens lie in a grid; separators show nothing")
    }
    self.init(count, of: views)
  }
}

extension GridCells.Cell {
  /// Every row and column that the cell touches: adaptive pooling, whose windows overlap where the number of cells does not
  /// divide that of tokens.
  var overlappingWindow: (rows: Range<Int>, columns: Range<Int>) {
    func touched(_ low: Double, _ high: Double, _ count: Int) -> Range<Int> {
      Int((low + 1e-9).rounded(.down))..<min(count, Int((high - 1e-9).rounded(.up)))
    }
    return (touched(top, bottom, view.rows), touched(left, right, view.columns))
  }
}
