public import LearnedNetworks
public import PruningNumerics
import VisionLayouts

/// Compresses visual tokens before the LLM by learned queries: CROP's pre-LLM compression with trained weights.
///
/// The region and the rest are two parts, each with its own queries; without a region the whole image is one part
/// and has the region's queries. Of a part's rows, the share `anchorShare` (rounded half to even, but leaving at
/// least one learned row) are anchors, tokens whose features pass through unchanged; the others are the part's
/// first learned queries, each of which reads all tokens of the part, anchors included (``ResamplerModel``). A
/// part that may keep every token keeps them all. The number of rows is exact.
///
/// *Deviations*: the paper (CROP, EMNLP 2025, section on pre-LLM compression) states the two parts with different
/// ratios, learnable queries, retained anchors and the residual connection. How many anchors there are, how they
/// are chosen and that a whole part may pass unchanged are this project's choices.
/// - Throws: ``PruningError`` at the tensor or request member that is wrong; at the budget when a part needs more
///   learned rows than the model has queries.
/// - Complexity: that of ``ResamplerModel`` per part, and of choosing the anchors.
public func resample(
  _ input: PruningInput, _ request: ResampleRequest, _ models: ModelSet
) throws(PruningError) -> CompressResult {
  try compressing(input, request.rows) { (input, rows) throws(PruningError) -> CompressResult in
    var own = request
    own.rows = rows
    return try resampleImage(input, own, models)
  }
}

private func resampleImage(
  _ input: PruningInput, _ request: ResampleRequest, _ models: ModelSet
) throws(PruningError) -> CompressResult {
  let (name, model) = try models.resampler(named: request.model, at: "/model")
  let features = try input.features()
  guard features.columns == model.imageWidth else {
    throw PruningError(
      at: "image_features",
      "has rows of \(features.columns) numbers; model '\(name)' reads [N, D] with D = \(model.imageWidth)")
  }
  guard let layout = input.layout, layout.tokenCount == input.tokenCount else {
    throw PruningError(
      at: "/layout",
      "is missing, and \(input.tokenCount) tokens do not form a square grid; a resampler needs token positions"
    )
  }
  var notes: [String] = []
  let parts = try parts(of: input.tokenCount, request.rows, &notes)
  let counts = try rowCounts(of: parts, request.rows, tokenCount: input.tokenCount)
  var plans: [PartPlan] = []
  for (index, tokens) in parts.enumerated() {
    plans.append(
      try PartPlan(
        tokens: tokens, rows: counts[index], isRegion: index == 0, request, model: name, model.queryCount))
  }
  for (index, anchors) in try chosenAnchors(of: plans, features, input, request).enumerated() {
    plans[index].anchors = anchors
  }
  var steps = StepCounter(limit: input.stepLimit, work: "running this model on these tensors")
  var outputs: [ResamplerModel.Rows?] = []
  for plan in plans {
    guard plan.learnedCount > 0 else {
      outputs.append(nil)
      continue
    }
    outputs.append(
      try model.rows(
        plan.learnedCount, of: plan.isRegion ? .region : .background, plan.tokens, features, in: layout,
        &steps))
  }
  return CompressResult(
    model: name, plans, outputs, features, layout, regionRows: parts.count == 2 ? counts[0] : nil, notes)
}

/// How the rows of one part are divided.
private struct PartPlan {
  let tokens: [Int]
  let isRegion: Bool
  let anchorCount: Int
  let learnedCount: Int
  var anchors: [Int] = []

  init(
    tokens: [Int], rows: Int, isRegion: Bool, _ request: ResampleRequest, model: String, _ queryCount: Int
  ) throws(PruningError) {
    self.tokens = tokens
    self.isRegion = isRegion
    anchorCount =
      rows >= tokens.count ? rows : min(roundHalfToEven(request.anchorShare, of: rows), max(rows - 1, 0))
    learnedCount = rows - anchorCount
    guard learnedCount <= queryCount else {
      throw PruningError(
        at: "/\(request.rows.budget?.name ?? "region_ratio")",
        "asks for \(learnedCount) learned rows \(isRegion ? "in the region" : "outside the region"), but model "
          + "'\(model)' has at most \(queryCount) per part; ask for fewer rows, or raise anchor_share")
    }
  }
}

private func chosenAnchors(
  of plans: [PartPlan], _ features: Matrix, _ input: PruningInput, _ request: ResampleRequest
) throws(PruningError) -> [[Int]] {
  let strategy = request.rows.anchors
  let scores = strategy == .attention ? try input.attentionScores() : []
  try refuseLargeDensityPeaks(strategy, plans.filter { $0.anchorCount > 0 }.map(\.tokens))
  let space = CosineSpace(features)
  var chosen: [[Int]] = []
  for plan in plans {
    guard plan.anchorCount > 0 else {
      chosen.append([])
      continue
    }
    chosen.append(
      try AnchorChoice(strategy: strategy, scores: scores, stepLimit: input.stepLimit)
        .anchors(plan.anchorCount, of: plan.tokens, in: space))
  }
  return chosen
}

extension CompressResult {
  fileprivate init(
    model: String, _ plans: [PartPlan], _ outputs: [ResamplerModel.Rows?], _ features: Matrix,
    _ layout: TokenLayout, regionRows: Int?, _ notes: [String]
  ) {
    let anchors = plans.flatMap(\.anchors).sorted()
    let learned = plans.reduce(0) { $0 + $1.learnedCount }
    var assignments = [Int](repeating: 0, count: features.rows)
    var values: [Float] = []
    values.reserveCapacity((anchors.count + learned) * features.columns)
    for anchor in anchors { values.append(contentsOf: features.row(anchor)) }
    var firstRow = anchors.count
    for (plan, output) in zip(plans, outputs) {
      guard let output else { continue }
      values += output.features
      for (token, row) in zip(plan.tokens, output.strongest) { assignments[token] = firstRow + row }
      firstRow += plan.learnedCount
    }
    // Last, because an anchor is attended to like any other token.
    for (row, anchor) in anchors.enumerated() { assignments[anchor] = row }
    var sizes = [Int](repeating: 0, count: firstRow)
    for row in assignments { sizes[row] += 1 }

    self.init(
      tokenCount: features.rows,
      features: Matrix(rows: firstRow, columns: features.columns, values: values), keptIndices: anchors,
      assignments: assignments, sizes: sizes,
      rowPositions: anchors.map { layout.position(of: $0) } + Array(repeating: nil, count: learned),
      regionRowCount: regionRows,
      learned: LearnedRows(
        model: model, region: plans.first?.learnedCount ?? 0,
        background: plans.count == 2 ? plans[1].learnedCount : 0),
      notes: notes)
  }
}
