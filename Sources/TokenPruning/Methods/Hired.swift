import JSON
import PruningNumerics

/// HiRED divides the budget among the tiles of a high-resolution image by where the whole image's attention lies.
///
/// Tile 0 shows the whole image, the others its parts. The whole image gets a share of the budget. Its tokens with
/// the highest [CLS] attention in an early layer are counted by the part they lie in, and the rest of the budget is
/// divided in proportion; each tile keeps its highest [CLS] attention of a late layer.
struct Hired: PruningMethod {
  static let descriptor = MethodDescriptor(
    name: "hired",
    summary:
      "Divides the budget among an image's tiles by early [CLS] attention, and keeps the highest of each.",
    paper: "Arif et al., AAAI 2025, arXiv 2408.10945",
    requiredInputs: ["attention"], optionalInputs: ["early_attention"],
    parameters: [
      .init(
        "tile_rows", .integer(0...64), default: 0,
        "rows of tiles behind the whole image; 0 with `tile_columns` 0: the whole image is all there is"),
      .init("tile_columns", .integer(0...64), default: 0, "columns of tiles"),
      .init("alpha", .number(0...1), default: 0.5, "the whole image's share of the budget"),
      .init(
        "faithful", .boolean, default: false,
        "whether parts are counted as in the authors' code, as runs of consecutive tokens instead of by place,"
          + " and what rounding down leaves over is not spent"),
    ],
    deviations: [
      "The budget is exact: what rounding down or a full tile leaves over goes to the tokens with the highest"
        + " attention that are left; `faithful` keeps fewer, as the authors' code does.",
      "Attention is counted for the part of the image in which a token lies, as the paper says; the authors' code"
        + " cuts the raster into runs of equal length (`faithful`).",
      "Without `early_attention` the budget is divided by `attention`.",
      "The caller removes padding: all tokens given count.",
    ],
    budget: "The kept tokens of all tiles together, exactly that many; `faithful` may keep fewer.",
    properties: [.scaleInvariant, .orderEquivariant], cost: .linear, memory: .scores,
    facts: MethodFacts(
      .encoder, isQuestionAware: false, cost: "O(H N + N log N)", inexactParameter: "faithful",
      reported: ["4.7 times the throughput of LLaVA-NeXT-7B with 20 % of the tokens": "arXiv 2408.10945"]))

  private let tileRows: Int
  private let tileColumns: Int
  private let alpha: Double
  private let isFaithful: Bool

  init(_ parameters: Parameters) throws(PruningError) {
    tileRows = parameters.integer("tile_rows")
    tileColumns = parameters.integer("tile_columns")
    alpha = parameters.number("alpha")
    isFaithful = parameters.boolean("faithful")
    guard (tileRows == 0) == (tileColumns == 0) else {
      throw PruningError(
        at: "/method_parameters/\(tileRows == 0 ? "tile_rows" : "tile_columns")",
        "is 0, but the other is not; give both, or neither for an image without tiles")
    }
  }

  var mayKeepFewer: Bool { isFaithful }

  func select(_ task: SelectionTask, from input: PruningInput) throws(PruningError) -> [Int] {
    let scores = try input.attentionScores()
    let parts = tileRows * tileColumns
    guard parts > 0 else { return Ranking.highest(task.count, of: scores, among: task.candidates) }
    guard input.tokenCount % (parts + 1) == 0 else {
      throw PruningError(
        at: "/method_parameters/tile_rows",
        "\(tileRows) x \(tileColumns) tiles and the whole image do not divide \(input.tokenCount) tokens evenly"
      )
    }
    let size = input.tokenCount / (parts + 1)
    let early = try earlyScores(of: input, scores, size: size)
    var tiles = [[Int]](repeating: [], count: parts + 1)
    for token in task.candidates { tiles[token / max(size, 1)].append(token) }

    let whole = min(Int((Double(task.count) * alpha).rounded(.down)), size)
    let budgets = [whole] + shares(of: min(task.count - whole, parts * size), try marks(early, size), size)
    var kept: [Int] = []
    for (tile, budget) in zip(tiles, budgets) {
      kept += Ranking.highest(min(budget, tile.count), of: scores, among: tile)
    }
    return isFaithful ? kept : task.filled(kept, by: scores)
  }

  /// The early attention of the whole image's tokens: all tokens' or just those are given.
  private func earlyScores(
    of input: PruningInput, _ scores: [Double], size: Int
  ) throws(PruningError) -> [Double] {
    guard input.tensors["early_attention"] != nil else { return Array(scores.prefix(size)) }
    let counts = [size, input.tokenCount]
    return Array(try input.attentionScores(named: "early_attention", counts: counts).prefix(size))
  }

  /// How many of the floor(n (1 - alpha)) tokens with the highest early attention lie in each part.
  private func marks(_ early: [Double], _ size: Int) throws(PruningError) -> [Int] {
    let marked = Ranking.highest(
      Int((Double(size) * (1 - alpha)).rounded(.down)), of: early, among: Array(0..<size))
    let side = Int(Double(size).squareRoot())
    guard isFaithful || side * side == size else {
      throw PruningError(
        at: "/method_parameters/tile_rows", "tiles must be square, but one has \(size) tokens")
    }
    var counts = [Int](repeating: 0, count: tileRows * tileColumns)
    for token in marked {
      let part =
        isFaithful
        ? min(token / max(size / counts.count, 1), counts.count - 1)
        : token / side * tileRows / side * tileColumns + token % side * tileColumns / side
      counts[part] += 1
    }
    return counts
  }

  /// The rest of the budget in proportion to the marks, each rounded down in float32 as the authors do.
  private func shares(of rest: Int, _ marks: [Int], _ size: Int) -> [Int] {
    let total = marks.reduce(0, +)
    guard total > 0 else { return marks }
    return marks.map { min(Int(Float(rest) * (Float($0) / Float(total))), size) }
  }
}
