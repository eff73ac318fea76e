import JSON
import PruningNumerics
import VisionLayouts

/// Resizes the grid of tokens: what feeding a smaller image would come to.
struct Downsample: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "downsample",
    summary: "Resizes the grid of tokens to the budget, bilinearly or by area (a baseline).",
    paper: nil,
    requiredInputs: ["image_features"],
    parameters: [
      .init(
        "mode", .choice(["bilinear", "area"]), default: "bilinear", only: .compress,
        "bilinear: between the four tokens around the centre of a cell, edges at half a token; area: the mean of what the"
          + " cell covers, parts of tokens by their part")
    ],
    deviations: [
      "Any K is exact: cells form a rectangle where a number of rows divides K well, else bands whose numbers of cells"
        + " differ by one.",
      "Without a layout the grid is as nearly square as N allows.",
      "/prune has no rows to make and keeps the token in the middle of each cell.",
    ],
    budget: "The rows that are made, exactly that many.", properties: [.scaleInvariant],
    memory: MethodMemory(perElement: 8),
    facts: MethodFacts(.control, isQuestionAware: false, cost: "O(N D)"))

  private let isArea: Bool

  init(_ parameters: Parameters) { isArea = parameters.choice("mode") == "area" }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    _ = try input.features()
    return Uniform.gridCentres(task, of: input)
  }

  func merge(_ count: Int, of input: PruningInput) throws(PruningError) -> MergedTokens {
    let features = try input.features()
    let grid = try GridCells(merging: input, into: count)
    var values: [Float] = []
    values.reserveCapacity(count * features.columns)
    for cell in grid.cells {
      let rows =
        isArea ? Self.parts(cell.top, cell.bottom) : Self.neighbours(cell.top, cell.bottom, cell.view.rows)
      let columns =
        isArea ? Self.parts(cell.left, cell.right) : Self.neighbours(cell.left, cell.right, cell.view.columns)
      var sums = [Double](repeating: 0, count: features.columns)
      for (row, height) in rows {
        for (column, width) in columns {
          features.add(cell.view.token(row: row, column: column), times: height * width, to: &sums)
        }
      }
      values += sums.map { Float($0) }
    }
    return MergedTokens(
      features: Matrix(rows: grid.cells.count, columns: features.columns, values: values),
      kept: grid.cells.map(\.centre), assignments: grid.assignments(tokenCount: input.tokenCount))
  }

  /// The places that an interval covers, and which part of the interval each covers.
  private static func parts(_ low: Double, _ high: Double) -> [(slot: Int, weight: Double)] {
    let first = Int(low.rounded(.down))
    // Rounding of a bound must not reach for a place that is not there.
    let end = max(Int((high - 1e-9).rounded(.up)), first + 1)
    let parts = (first..<end).map { slot in
      (slot, max(min(high, Double(slot + 1)) - max(low, Double(slot)), 0))
    }
    let sum = parts.reduce(0) { $0 + $1.1 }
    return parts.map { (slot: $0.0, weight: $0.1 / sum) }
  }

  /// The two places around the middle of an interval, and the weight of each.
  private static func neighbours(_ low: Double, _ high: Double, _ count: Int) -> [(
    slot: Int, weight: Double
  )] {
    let middle = min(max((low + high) / 2 - 0.5, 0), Double(count - 1))
    let first = min(Int(middle), count - 1)
    let part = middle - Double(first)
    return part > 0 && first + 1 < count ? [(first, 1 - part), (first + 1, part)] : [(first, 1)]
  }
}
