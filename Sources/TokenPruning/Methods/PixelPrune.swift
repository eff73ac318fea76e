import JSON
import PruningNumerics
import Tensors
import VisionLayouts

/// PixelPrune drops the patches that a lossless image coder would predict from their neighbours, before the encoder.
///
/// In raster order, A the left, B the upper, C the upper left neighbour: the prediction is B where C is similar to A and
/// not to B, else A; in the first row A, in the first column B. A token is dropped where it is similar to its prediction.
/// Anchored, neighbours are what would be reconstructed, so that nothing is further off than the threshold.
///
/// Source: "PixelPrune: Pixel-Level Adaptive Visual Token Reduction via Predictive Coding", 2026, arXiv 2604.00886; the
/// prediction follows LOCO-I (Weinberger, Seroussi and Sapiro, 2000).
struct PixelPrune: ScoringMethod {
  static let descriptor = MethodDescriptor(
    name: "pixelprune",
    summary:
      "Drops patches whose pixels their left, upper or upper left neighbours predict, before the encoder.",
    paper: "2026, arXiv 2604.00886",
    requiredInputs: ["pixel_values"],
    parameters: [
      .init(
        "metric", .choice(["max", "mae", "rmse", "exact"]), default: "max",
        "the distance of two patches: largest, mean or root mean square difference; exact: largest, at threshold 0"
      ),
      .init("threshold", .number(0...1e9), default: 0, "tau: patches this far apart or less are similar"),
      .init(
        "anchored", .boolean, default: true,
        "whether neighbours are what would be reconstructed, so that errors do not add up; of no effect at threshold 0"
      ),
      .init(
        "adaptive", .boolean, default: false,
        "whether exactly the tokens are kept that are not predicted, as published; the budget is then the most"
      ),
    ],
    deviations: [
      "The published method keeps what is not predicted, however many (`adaptive` with keep_ratio 1). With a budget the K"
        + " tokens furthest from their predictions are kept, the first of each view before all.",
      "Frames, images and tiles of a layout are each predicted by themselves; the authors' code takes one image.",
    ],
    budget: "The kept tokens, exactly that many; at most with `adaptive`.", properties: [.nested],
    memory: MethodMemory(perElement: 8),
    facts: MethodFacts(
      .pixels, isQuestionAware: false, cost: "O(pixels)", inexactParameter: "adaptive",
      reported: ["up to 4.2 times faster on documents and screens": "arXiv 2604.00886"],
      automatic: AutomaticUse(
        .pixels, ["pixel_values"],
        "keeps the patches whose pixels their neighbours do not predict, which suits documents and screens")))

  private let metric: PixelDistance
  private let threshold: Double
  private let isAnchored: Bool
  private let isAdaptive: Bool

  init(_ parameters: Parameters) throws(PruningError) {
    let name = parameters.choice("metric")
    metric = PixelDistance(rawValue: name) ?? .max
    threshold = parameters.number("threshold")
    isAnchored = parameters.boolean("anchored") && threshold > 0
    isAdaptive = parameters.boolean("adaptive")
    guard name != "exact" || threshold == 0 else {
      throw PruningError(
        at: "/method_parameters/threshold", "must be 0 with metric 'exact', not \(threshold); or choose 'max'"
      )
    }
  }

  var mayKeepFewer: Bool { isAdaptive }

  /// The score of the first token of a view, beyond any distance of float32 numbers.
  private static let firstScore = 0x1p900

  func scores(of input: PruningInput) throws(PruningError) -> [Double] {
    let pixels = try Self.pixels(of: input)
    var steps = StepCounter(limit: input.stepLimit, work: "comparing these patches")
    var scores = [Double](repeating: 0, count: input.tokenCount)
    let views = input.layout?.views ?? [TokenView(firstToken: 0, rows: 1, columns: input.tokenCount)]
    // Which token's pixels stand at each place: its own, or those that it is reconstructed by.
    var shown = Array(0..<pixels.rows)
    for view in views { try score(view, pixels, &shown, &scores, &steps) }
    return scores
  }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let scores = try scores(of: input)
    let unpredicted = isAdaptive ? task.candidates.count { scores[$0] > threshold } : task.count
    return Ranking.highest(min(task.count, unpredicted), of: scores, among: task.candidates)
  }

  /// The distance of every token of a view to its prediction.
  private func score(
    _ view: TokenView, _ pixels: Matrix, _ shown: inout [Int], _ scores: inout [Double],
    _ steps: inout StepCounter
  ) throws(PruningError) {
    func isSimilar(_ a: Int, _ b: Int) -> Bool { metric.distance(a, b, pixels) <= threshold }
    for row in 0..<view.rows {
      for column in 0..<view.columns {
        let token = view.token(row: row, column: column)
        try steps.spend(4 * pixels.columns)
        if row == 0 && column == 0 {
          scores[token] = Self.firstScore
          continue
        }
        let left = column > 0 ? shown[view.token(row: row, column: column - 1)] : nil
        let upper = row > 0 ? shown[view.token(row: row - 1, column: column)] : nil
        var prediction = left ?? upper ?? token
        if let left, let upper {
          let corner = shown[view.token(row: row - 1, column: column - 1)]
          if isSimilar(corner, left), !isSimilar(corner, upper) { prediction = upper }
        }
        scores[token] = metric.distance(token, prediction, pixels)
        if isAnchored, scores[token] <= threshold { shown[token] = prediction }
      }
    }
  }

  /// A row for each token: the patches that the encoder will merge into it, one after the other.
  private static func pixels(of input: PruningInput) throws(PruningError) -> Matrix {
    let tensor = try input.tensor("pixel_values")
    let count = input.tokenCount
    guard tensor.rank == 2, tensor.shape[1] > 0, tensor.shape[0] >= count,
      count == 0 || tensor.shape[0] % count == 0
    else {
      throw PruningError(
        at: "pixel_values",
        "shape must be [\(count) x patches of a token, numbers of a patch], the patches of a token adjacent, not "
          + "\(tensor.shape)")
    }
    try input.requireFinite(tensor, named: "pixel_values")
    guard count > 0 else { return Matrix(rows: 0, columns: 1, values: []) }
    return Matrix(rows: count, columns: tensor.elementCount / count, values: tensor.floats())
  }
}

/// How far two patches are apart.
private enum PixelDistance: String {
  case max, mae, rmse, exact

  func distance(_ a: Int, _ b: Int, _ pixels: Matrix) -> Double {
    if a == b { return 0 }
    return pixels.values.withUnsafeBufferPointer { values in
      let count = pixels.columns
      var (largest, sum, squares) = (0.0, 0.0, 0.0)
      for column in 0..<count {
        let difference = (Double(values[a * count + column]) - Double(values[b * count + column])).magnitude
        largest = Swift.max(largest, difference)
        sum += difference
        squares += difference * difference
      }
      switch self {
      case .max, .exact: return largest
      case .mae: return sum / Double(count)
      case .rmse: return (squares / Double(count)).squareRoot()
      }
    }
  }
}
