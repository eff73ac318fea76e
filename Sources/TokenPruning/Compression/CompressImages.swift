import Localization
import PruningNumerics
import Tensors
import VisionLayouts

/// Computes rows image by image, and without the separators that the policy takes out.
///
/// - Parameter run: computes one image all of whose tokens are candidates.
func compressing(
  _ input: PruningInput, _ request: CompressRequest,
  _ run: (PruningInput, CompressRequest) throws(PruningError) -> CompressResult
) throws(PruningError) -> CompressResult {
  guard input.hasSeveralImages else { return try compressingImage(input, request, run) }
  let parts = input.imageParts()
  let largest = parts.map { $0.input.candidateCount(request.newlines) }.max()
  var results: [CompressResult] = []
  for (image, part) in parts.enumerated() {
    do throws(PruningError) {
      var own = request
      own.regionTokens = request.regionTokens?.offsets(within: part.tokens)
      own.largestPeer = [request.largestPeer, largest].compactMap { $0 }.max()
      results.append(try compressingImage(part.input, own, run))
    } catch {
      throw error.about(image: image)
    }
  }
  return CompressResult(joining: results, parts)
}

private func compressingImage(
  _ input: PruningInput, _ request: CompressRequest,
  _ run: (PruningInput, CompressRequest) throws(PruningError) -> CompressResult
) throws(PruningError) -> CompressResult {
  guard let layout = input.layout, !layout.separators.isEmpty, request.newlines != .count,
    layout.tokenCount == input.tokenCount
  else { return try run(input, request) }
  let all = try input.features()
  let (patches, tokens) = input.leavingOut(layout.separators)
  var own = request
  if let region = request.regionTokens {
    let inside = Set(region)
    own.regionTokens = tokens.indices.filter { inside.contains(tokens[$0]) }
  }
  let result = try run(patches, own)
  return result.spread(over: tokens, request.newlines == .keep ? layout.separators : [], of: input, all)
}

extension CompressResult {
  /// The rows of one image after those of another.
  ///
  /// - Precondition: one result at least.
  init(joining results: [CompressResult], _ parts: [PruningInput.ImagePart]) {
    self = results[0]
    let regionRows = results.compactMap(\.regionRowCount)
    regionRowCount = regionRows.isEmpty ? nil : regionRows.reduce(0, +)
    imageRows = results.map(\.features.rows)
    notes = joinedNotes(results.map(\.notes))
    var values = results[0].features.values
    values.reserveCapacity(results.reduce(0) { $0 + $1.features.values.count })
    var firstView = parts[0].input.layout?.views.count ?? 0
    for (result, part) in zip(results, parts).dropFirst() {
      let firstRow = sizes.count
      values += result.features.values
      keptIndices += result.keptIndices.map { $0 + tokenCount }
      assignments += result.assignments.map { $0 < 0 ? -1 : $0 + firstRow }
      sizes += result.sizes
      tokenCount += result.tokenCount
      rowPositions += result.rowPositions.map { position in
        position.map { TokenPosition(view: $0.view + firstView, row: $0.row, column: $0.column) }
      }
      learned?.region += result.learned?.region ?? 0
      learned?.background += result.learned?.background ?? 0
      firstView += part.input.layout?.views.count ?? 0
    }
    features = Matrix(rows: sizes.count, columns: features.columns, values: values)
  }

  /// Where a row of a result without separators comes from.
  private enum RowSource {
    case row(Int)
    case separator(Int)
  }

  /// The result for all tokens of an input of which separators were left out.
  ///
  /// Kept separators pass through as rows of their own: in their places where kept rows ascend, else behind them.
  /// - Parameters:
  ///   - tokens: those that the result is about, ascending.
  ///   - separators: those that stay, ascending.
  fileprivate func spread(
    over tokens: [Int], _ separators: [Int], of input: PruningInput, _ all: Matrix
  ) -> CompressResult {
    let kept = keptIndices.map { tokens[$0] }
    var order: [(token: Int, source: RowSource)] = kept.enumerated().map { ($0.element, .row($0.offset)) }
    order += separators.map { ($0, .separator($0)) }
    if zip(kept, kept.dropFirst()).allSatisfy({ $0 < $1 }) { order.sort { $0.token < $1.token } }
    let extra = (kept.count..<features.rows).map { RowSource.row($0) }

    var spread = self
    spread.tokenCount = input.tokenCount
    spread.keptIndices = order.map(\.token)
    spread.assignments = Array(repeating: -1, count: input.tokenCount)
    spread.sizes = []
    var slot = [Int](repeating: 0, count: features.rows)
    var values: [Float] = []
    values.reserveCapacity((order.count + extra.count) * features.columns)
    for source in order.map(\.source) + extra {
      switch source {
      case .row(let row):
        slot[row] = spread.sizes.count
        spread.sizes.append(sizes[row])
        values += features.row(row)
      case .separator(let token):
        spread.assignments[token] = spread.sizes.count
        spread.sizes.append(1)
        values += all.row(token)
      }
    }
    spread.features = Matrix(rows: spread.sizes.count, columns: features.columns, values: values)
    for (token, row) in zip(tokens, assignments) where row >= 0 { spread.assignments[token] = slot[row] }
    spread.rowPositions =
      spread.keptIndices.map { input.layout?.position(of: $0) } + extra.map { _ in TokenPosition?.none }
    return spread
  }
}

extension PruningInput {
  fileprivate func candidateCount(_ newlines: NewlinePolicy) -> Int {
    newlines == .count ? tokenCount : tokenCount - (layout?.separators.count ?? 0)
  }

  /// The input without some tokens, and the tokens that are left.
  fileprivate func leavingOut(_ gone: [Int]) -> (input: PruningInput, tokens: [Int]) {
    let isGone = Set(gone)
    let tokens = (0..<tokenCount).filter { !isGone.contains($0) }
    var own = tensors
    for (name, tensor) in tensors {
      guard let axis = TokenAxis.of(name, rank: tensor.rank), tokenCount > 0 else { continue }
      let (rows, rest) = tensor.shape[axis].quotientAndRemainder(dividingBy: tokenCount)
      guard rest == 0, rows == 1 || (rows > 1 && TokenAxis.hasPatches(name)) else { continue }
      own[name] = tensor.gather(
        rows == 1 ? tokens : tokens.flatMap { $0 * rows..<($0 + 1) * rows }, axis: axis)
    }
    return (
      PruningInput(
        Image(
          tokenCount: tokens.count, layout: layout?.withoutSeparators, seed: seed, previous: nil,
          firstToken: firstToken, requestTokenCount: requestTokenCount),
        tensors: own, stepLimit: stepLimit, sharing: sharing), tokens
    )
  }
}

extension TokenLayout {
  /// The same views over the tokens that lie in some view; nil where rows are not evenly spaced without separators.
  var withoutSeparators: TokenLayout? {
    var slot = [Int](repeating: 0, count: tokenCount)
    var next = 0
    var isSeparator = [Bool](repeating: false, count: tokenCount)
    for token in separators { isSeparator[token] = true }
    for token in 0..<tokenCount {
      slot[token] = next
      if !isSeparator[token] { next += 1 }
    }
    var moved: [TokenView] = []
    for view in views where view.rows > 0 && view.columns > 0 {
      let first = slot[view.firstToken]
      let stride = view.rows > 1 ? slot[view.token(row: 1, column: 0)] - first : view.columns
      for row in 0..<view.rows {
        let last = slot[view.token(row: row, column: view.columns - 1)]
        guard slot[view.token(row: row, column: 0)] == first + row * stride,
          last == first + row * stride + view.columns - 1
        else { return nil }
      }
      moved.append(
        TokenView(
          firstToken: first, rows: view.rows, columns: view.columns, rowStride: stride, box: view.box,
          image: view.image, role: view.role))
    }
    return TokenLayout(
      type: type, tokenCount: next, views: moved, imageSizes: imageSizes, rotaryGrid: rotaryGrid)
  }
}
