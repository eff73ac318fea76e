public import PruningNumerics
import VisionLayouts

/// Compresses visual tokens before the LLM by merging: CROP's pre-LLM compression without trained weights.
///
/// The region and the rest are two parts (one part without a region). In each, anchors are chosen and every
/// other token joins its most similar anchor of the same part, by cosine, ties to the lower index; a row is
/// the plain mean of its tokens, anchor included. Tokens never merge across the region's border, and the
/// number of rows is exact.
///
/// *Deviations*: the paper compresses with trained queries and keeps anchors beside them; how it chooses
/// anchors is not published. Merging is this project's training-free stand-in.
/// Any other method of the request does its own merging (``PruningMethod/merge(_:of:)``). Tokens of different images
/// never merge: a layout with several images is the list of those images, and the budget is each one's.
/// - Throws: ``PruningError`` at the tensor or request member that is wrong.
/// - Complexity: O(N K D), and O(P^2 D) per part of P tokens for density peaks.
public func compress(
  _ input: PruningInput, _ request: CompressRequest
) throws(PruningError) -> CompressResult {
  try compressing(input, request) { (input, request) throws(PruningError) -> CompressResult in
    request.method == CompressRequest.defaultMethod
      ? try mergeIntoAnchors(input, request)
      : try merge(
        input, request,
        by: MethodRegistry.standard.make(request.method, request.methodParameters, for: .compress))
  }
}

/// CROP's own merging of one image.
private func mergeIntoAnchors(
  _ input: PruningInput, _ request: CompressRequest
) throws(PruningError) -> CompressResult {
  let features = try input.features()
  var notes: [String] = []
  let parts = try parts(of: input.tokenCount, request, &notes)
  let counts = try rowCounts(of: parts, request, tokenCount: input.tokenCount)
  let scores = request.anchors == .attention ? try input.attentionScores() : []
  try refuseLargeDensityPeaks(request.anchors, parts)
  let space = CosineSpace(features)
  var anchors: [[Int]] = []
  for (part, count) in zip(parts, counts) {
    anchors.append(
      try AnchorChoice(strategy: request.anchors, scores: scores, stepLimit: input.stepLimit)
        .anchors(count, of: part, in: space))
  }
  // Before it starts: whoever asks for too much learns it at once.
  var steps = StepCounter(limit: input.stepLimit)
  for (part, count) in zip(parts, counts) {
    let (pairs, overflow) = part.count.multipliedReportingOverflow(by: count)
    let (cost, overflows) = pairs.multipliedReportingOverflow(
      by: StepCounter.comparison(columns: space.columns))
    try steps.spend(overflow || overflows ? .max : cost)
  }
  let merge = try TokenMerge(
    space: space, parts: parts, anchors: anchors, sharing: input.sharing, stepLimit: input.stepLimit)
  return CompressResult(
    tokenCount: input.tokenCount, features: merge.means(of: features), keptIndices: merge.anchors,
    assignments: merge.assignments, sizes: merge.sizes,
    rowPositions: merge.anchors.map { input.layout?.position(of: $0) },
    regionRowCount: parts.count == 2 ? counts[0] : nil, notes: notes)
}

/// - Throws: when density peaks would have to compare more tokens with each other than is reasonable.
func refuseLargeDensityPeaks(_ anchors: AnchorStrategy, _ parts: [[Int]]) throws(PruningError) {
  guard anchors == .densityPeaks,
    parts.contains(where: { $0.count > AnchorChoice.maximumDensityPeaksPart })
  else { return }
  throw PruningError(
    at: "/anchors",
    "density_peaks compares all tokens with each other and takes at most "
      + "\(AnchorChoice.maximumDensityPeaksPart) in a part; use diversity or strided")
}

/// Lets a method merge all tokens of the image.
private func merge(
  _ input: PruningInput, _ request: CompressRequest, by method: any PruningMethod
) throws(PruningError) -> CompressResult {
  guard let count = try request.resolvedBudget(total: input.tokenCount) else {
    throw PruningError(at: "/keep_tokens", "no budget is given")
  }
  let merged = try method.merge(count, of: input)
  let choice = try method.reason(for: input).map { (reason) throws(PruningError) in
    MethodChoice(method: try method.resolved(for: input).decidingName, reason: reason)
  }
  let positions = merged.kept.map { input.layout?.position(of: $0) }
  return CompressResult(
    tokenCount: input.tokenCount, features: merged.features, keptIndices: merged.kept,
    assignments: merged.assignments.map { $0 ?? -1 }, sizes: merged.sizes,
    rowPositions: positions
      + Array(repeating: nil, count: merged.features.rows - merged.kept.count),
    regionRowCount: nil, choice: choice, notes: [])
}

/// The region first and then the rest, ascending both; everything in one part when the region says nothing.
func parts(
  of tokenCount: Int, _ request: CompressRequest, _ notes: inout [String]
) throws(PruningError) -> [[Int]] {
  let everything = Array(0..<tokenCount)
  guard let tokens = request.regionTokens else {
    if request.split != nil { notes.append("there is no region, so nothing is divided") }
    return [everything]
  }
  guard tokens.allSatisfy({ (0..<tokenCount).contains($0) }) else {
    throw PruningError(at: "/region", "the region has tokens outside 0..<\(tokenCount)")
  }
  let region = Set(tokens)
  if region.isEmpty || region.count == tokenCount {
    notes.append("the region holds \(region.isEmpty ? "no token" : "every token"), so nothing is divided")
    return [everything]
  }
  return [everything.filter { region.contains($0) }, everything.filter { !region.contains($0) }]
}

/// Rows per part: at least one each, because a token without an anchor would have nowhere to go.
func rowCounts(
  of parts: [[Int]], _ request: CompressRequest, tokenCount: Int
) throws(PruningError) -> [Int] {
  guard tokenCount > 0 else { return [0] }
  var total = try request.resolvedBudget(total: tokenCount)
  if total == nil, case .ratios(let region, let background) = request.split {
    total =
      parts.count == 2
      ? max(roundHalfToEven(region, of: parts[0].count), 1)
        + max(roundHalfToEven(background, of: parts[1].count), 1)
      : max(roundHalfToEven(background, of: tokenCount), 1)
  }
  guard let total else { throw PruningError(at: "/keep_tokens", "no budget is given, and no ratios") }
  guard total >= parts.count else {
    throw PruningError(
      at: "/\(request.budget?.name ?? "keep_tokens")",
      "gives \(total) rows, but \(parts.count == 2 ? "the region and the rest need one each" : "at least 1 is needed")"
    )
  }
  guard parts.count == 2 else { return [total] }
  let inside: Int
  switch request.split ?? .share(CompressRequest.defaultShare) {
  case .share(let share):
    inside = insideCount(share: share, of: total, inside: parts[0].count, outside: parts[1].count)
  case .ratios(let region, let background):
    let wanted = region * Double(parts[0].count)
    let both = wanted + background * Double(parts[1].count)
    inside = insideCount(
      share: both > 0 ? wanted / both : CompressRequest.defaultShare, of: total, inside: parts[0].count,
      outside: parts[1].count)
  }
  let atLeastOne = min(max(inside, 1), total - 1)
  return [atLeastOne, total - atLeastOne]
}
